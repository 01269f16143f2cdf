"""`hpo ...` as a fork of a process that has loaded what commands import: half a second less each.

The command is a process of its own, with its own environment, working directory, standard streams, signals and exit
code, and it ends as any Python does. What differs: its parent is another, its imports are there at once, and they are
not unloaded. Where that may matter, as in the tests of faults, tests start `python -m hpo`.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

_AT_START = ("PYTHON", "LC_", "LANG", "OMP_")  # what is read when a process starts, or loads its libraries
_ASKING = threading.Lock()


def can_fork(changes: dict[str, str]) -> bool:
    """Whether a command with these changes of the environment is the same as a fork."""
    return not any(name.startswith(_AT_START) for name in changes)


class ForkedCommand(subprocess.Popen[str]):
    """A running command: a Popen whose process another one has started, and tells the exit code of.

    As far as tests/test_warm.py shows, Popen needs no more of its process than these three methods.
    """

    def __init__(self, arguments: list[str], folder: Path, environment: dict[str, str], torch: bool = False) -> None:
        """torch: of a server that has Torch loaded, too, for commands that train or use a model."""
        self._torch = torch
        self._asked, self._theirs = socket.socketpair()
        super().__init__(
            arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def _execute_child(self, arguments: list[str], *settings: Any) -> None:
        folder, environment = settings[4:6]
        output, errors = settings[12], settings[14]
        with self._theirs, _ASKING:
            socket.send_fds(_server(self._torch), [b"!"], [self._theirs.fileno(), output, errors])
        os.close(output)
        os.close(errors)
        request = json.dumps([arguments, str(folder), environment]).encode()
        self._asked.sendall(len(request).to_bytes(8, "big") + request)
        self.pid = int(self._hear())
        self._child_created = True

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None and select.select([self._asked], [], [], 0)[0]:
            self.returncode = int(self._hear())
            self._asked.close()
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is None and not select.select([self._asked], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def _hear(self) -> str:
        answer = self._asked.recv(20)
        assert answer, "the server of commands has ended"
        return answer.decode()


def run_forked(
    arguments: list[str], folder: Path, environment: dict[str, str], seconds: float, torch: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder; raise subprocess.TimeoutExpired, and end it, if it takes longer."""
    with ForkedCommand(arguments, folder, environment, torch) as process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(["hpo", *arguments], process.returncode, output, errors)


@cache
def _server(torch: bool) -> socket.socket:
    """Start the server, which ends with this process; return the way to it."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, __file__, str(theirs.fileno()), *(["warm_workers"] if torch else [])]
    with theirs:
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,  # as its forks' are
        )  # fmt: skip
    atexit.register(process.communicate)
    atexit.register(ours.close)  # first
    return ours


def _load(first: list[str]) -> None:
    """Import these modules, and what commands do. MLflow stays out, and Torch where it isn't among these: most commands
    never load them."""
    for name in first:
        importlib.import_module(name)
    from sqlalchemy.orm import configure_mappers

    import hpo.cli
    from hpo.lazy import keep_imports

    for module in pkgutil.iter_modules(hpo.cli.__path__):
        importlib.import_module(f"hpo.cli.{module.name}")
    for name in ("driver", "engines.make", "engines.local", "ledger.ledger", "ledger.succession", "objective.function",
                 "objective.program", "review.summary", "search.searcher", "ledger.study.journal",
                 "ledger.study.database", "ledger.mirror.reach"):  # fmt: skip
        importlib.import_module(f"hpo.{name}")
    with suppress(ImportError):  # for studies in PostgreSQL
        importlib.import_module("psycopg")
    configure_mappers()  # of Optuna's tables
    keep_imports()


def _serve(requests: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while True:
        word, descriptors, _, _ = socket.recv_fds(requests, 1, 3)
        if not word:
            os._exit(0)
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _answer(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _answer(connection: int, *streams: int) -> None:
    """Run a command in a process below this one; send its process id, and its exit code when it has ended."""
    asked = socket.socket(fileno=connection)
    size = int.from_bytes(asked.recv(8, socket.MSG_WAITALL), "big")
    arguments, folder, environment = json.loads(asked.recv(size, socket.MSG_WAITALL))
    if (driver := os.fork()) == 0:
        asked.close()
        for number, stream in enumerate(streams, 1):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv[1:] = arguments
        return
    for stream in streams:
        os.close(stream)
    with suppress(OSError):  # who asked has ended
        asked.sendall(str(driver).encode())
    _, status = os.waitpid(driver, 0)
    with suppress(OSError):
        asked.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _run() -> None:
    """Run the command and end as Python does, but for its unloading of all that was imported, half of a short command:
    threads are waited for, exit functions are called, what was printed is written."""
    from warm import run_command

    try:
        run_command()
    except SystemExit as ended:
        threading._shutdown()
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            raise ended from None  # nobody reads it: Python's own end says so
        if not isinstance(ended.code, int):
            raise
        os._exit(ended.code)


if __name__ == "__main__":
    _load(sys.argv[2:])
    _serve(socket.socket(fileno=int(sys.argv[1])))
    _run()
