"""The process that workers will be forks of, begun before it is known what they are to run.

Python itself, and what all workers import, then load while the sweep file is checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hpo.forking import ForkServer

WORKER_MODULE = "hpo.engines.worker"


@contextmanager
def early_server() -> Iterator[ForkServer]:
    """Give it for a block, at the end of which it ends, if no engine has ended it (`ready_server` in make.py)."""
    server = ForkServer((WORKER_MODULE,), {})
    try:
        server.begin()
        yield server
    finally:
        server.close(at_once=True)
