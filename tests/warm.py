"""Processes of a sweep without the seconds in which each loads MLflow or Torch, the largest part of a short sweep.

A server process loads the library once in a run of tests (tests/shared.py), and each process is a fork of it
(multiprocessing's own `forkserver` in place of `spawn`): still a process of its own, which is given the same pickled
arguments, answers, is killed, and ends with its driver. What differs: it is no child of its driver's, and it is there
at once. Where either may matter, as in the tests of faults and engines, processes start cold, as users' do.

    Warm.WRITERS.serve()                         the server's address, for commands that have it in `variable`
    python tests/warm.py sweep FILE ...          such a command, else as `python -m hpo sweep FILE ...`
    Warm.WRITERS.use_here()                      for processes of this process, too
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import cache
from multiprocessing import forkserver, popen_forkserver, popen_spawn_posix
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

from shared import server


class Warm(Enum):
    """Kinds of processes: the beginning of their names, and what their server loads."""

    WRITERS = "mlflow-mirror", "warm_writers"
    WORKERS = "worker-server", "warm_plain_workers"
    TORCH_WORKERS = "worker-server", "warm_workers"
    DRIVERS = "Spawn", "warm_drivers"  # processes of a test's own, as multiprocessing names them

    def __init__(self, prefix: str, module: str) -> None:
        self.prefix = prefix
        self.module = module

    @property
    def variable(self) -> str:
        """The environment variable that holds the server's address."""
        return f"HPO_TESTS_{self.name}"

    @cache
    def serve(self) -> str:
        """Return the address of the server, for `variable`."""
        return server(self.module, ["-c", _SERVE, self.module])

    @cache
    def use_here(self, address: str = "") -> None:
        """Have processes of this kind be forks of the server; address: where it is known already."""
        client = forkserver.ForkServer()
        client._forkserver_address = address or self.serve()
        client._forkserver_alive_fd = os.open(os.devnull, os.O_RDONLY)  # it lives as long as the run of tests
        client.ensure_running = lambda: None
        _clients[self] = client
        SpawnProcess._Popen = staticmethod(_start)

    @contextmanager
    def lent_here(self) -> Iterator[None]:
        """Have processes of this kind be forks of the server inside the block: those of tests that come later in this
        process are not."""
        with mock.patch.dict(_clients):
            self.use_here.__wrapped__(self)
            yield


NOTES = "HPO_TESTS_FORKS"  # the environment variable with a file in which forks write their names
_clients: dict[Warm, forkserver.ForkServer] = {}
# A server's program. By itself it would unload all for long when it ends. It knows this module, too, as it is sent it.
_SERVE = """
import os, sys
from multiprocessing import forkserver
module, listener, alive = sys.argv[1:]
try:
    forkserver.main(int(listener), int(alive), ["warm", module])
except SystemExit:
    os._exit(0)
"""


def _start(process: BaseProcess) -> Any:
    for kind, client in _clients.items():
        if process.name.startswith(kind.prefix):
            with mock.patch.object(forkserver, "connect_to_new_process", client.connect_to_new_process):
                return _Fork(process)
    return popen_spawn_posix.Popen(process)


class _Fork(popen_forkserver.Popen):
    def _launch(self, process: BaseProcess) -> None:
        super()._launch(_WithEnvironment(process))


class _WithEnvironment:
    """A process to start, with the environment of the one that starts it."""

    def __init__(self, process: BaseProcess) -> None:
        self._name = process._name
        self._process = process

    def __reduce__(self) -> tuple[Callable[..., BaseProcess], tuple[Any, ...]]:
        return _inherit, (dict(os.environ), self._process)


def _inherit(environment: dict[str, str], process: BaseProcess) -> BaseProcess:
    os.environ.clear()
    os.environ.update(environment)
    if file := environment.get(NOTES):
        with Path(file).open("a") as notes:
            notes.write(f"{process.name}\n")
    return process


def use_given() -> None:
    """Have processes of this process be forks of the servers whose addresses are in the environment."""
    for kind in Warm:
        if address := os.environ.pop(kind.variable, None):
            kind.use_here(address)


def run_command() -> None:
    """Be `python -m hpo`, with processes of the servers whose addresses are in the environment."""
    sys.path[0] = str(Path.cwd())  # as with -m
    use_given()
    from hpo.cli.main import main

    main()


if __name__ == "__main__":
    import warm  # by its own name, as which a server knows what it is sent

    warm.run_command()
