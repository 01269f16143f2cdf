"""A real Ray cluster of two nodes on this machine, for tests. (tests/conftest.py keeps it on loopback.)"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock


@contextmanager
def two_nodes(**of_each: Any) -> Iterator[Any]:
    """Give a ray.cluster_utils.Cluster of two nodes with these resources."""
    from ray._private.node import Node
    from ray.cluster_utils import Cluster

    from hpo.engines.ray.compat import DASHBOARD, SPARED

    before = os.environ.get("RAY_TMPDIR")
    folder = tempfile.mkdtemp(prefix="hr-", dir="/tmp")  # Ray's socket names allow no long path
    os.environ["RAY_TMPDIR"] = folder
    try:
        of_each = {**SPARED, **of_each}
        with mock.patch.object(Node, DASHBOARD):
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
