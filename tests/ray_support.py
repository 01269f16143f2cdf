"""A real Ray cluster of two nodes on this machine, for tests. (tests/conftest.py keeps it on loopback.)"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


def skip_where_ray_starts_no_workers() -> None:
    """With a runtime environment Ray hands Python's path to a shell as it is. Tune sets one, and so does the engine for
    a cluster, but not for a Ray of its own."""
    if shlex.quote(sys.executable) != sys.executable:
        pytest.skip(f"Ray starts no worker with a runtime environment by {sys.executable!r}")


@contextmanager
def two_nodes(**of_each: Any) -> Iterator[Any]:
    """Give a ray.cluster_utils.Cluster of two nodes with these resources."""
    skip_where_ray_starts_no_workers()
    from ray.cluster_utils import Cluster

    before = os.environ.get("RAY_TMPDIR")
    folder = tempfile.mkdtemp(prefix="hr-", dir="/tmp")  # Ray's socket names allow no long path
    os.environ["RAY_TMPDIR"] = folder
    try:
        cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **of_each})
        try:
            cluster.add_node(**of_each)
            yield cluster
        finally:
            cluster.shutdown()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        del os.environ["RAY_TMPDIR"]
        os.environ |= {"RAY_TMPDIR": before} if before else {}
