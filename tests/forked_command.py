"""`hpo ...`, run to its end as a fork of a process that has loaded what commands import: half a second less each.

The command is a process of its own, with its own environment, working directory, standard streams, signals and exit
code, and it ends as any Python does. What differs: its parent is another, and its imports are there at once. So it is
for tests that look at what a command says and leaves behind; where its start matters, or it is to be killed, tests
start `python -m hpo`.
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
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess

_AT_START = ("PYTHON", "LC_", "LANG", "OMP_")  # what is read when a process starts, or loads its libraries
_SERVER_WAITS = threading.Lock()


def can_fork(changes: dict[str, str]) -> bool:
    """Whether a command with these changes of the environment is the same as a fork."""
    return not any(name.startswith(_AT_START) for name in changes)


def run_forked(
    arguments: list[str], folder: Path, environment: dict[str, str], seconds: float = 240
) -> CompletedProcess[str]:
    """Run a command in a folder; raise subprocess.TimeoutExpired, and end it, if it takes longer."""
    ours, theirs = socket.socketpair()
    streams = [os.pipe(), os.pipe()]
    said = ["", ""]
    with ours, theirs:
        with _SERVER_WAITS:
            socket.send_fds(_server(), [b"!"], [theirs.fileno(), *(write for _, write in streams)])
        theirs.close()
        for _, write in streams:
            os.close(write)

        def read(number: int) -> None:
            with os.fdopen(streams[number][0]) as stream:
                said[number] = stream.read()

        readers = [threading.Thread(target=read, args=(number,), daemon=True) for number in (0, 1)]
        for reader in readers:
            reader.start()
        request = json.dumps([arguments, str(folder), environment]).encode()
        ours.sendall(len(request).to_bytes(8, "big") + request)
        ours.settimeout(seconds)
        try:
            answer = ours.recv(100)
        except TimeoutError:
            ours.close()  # ends it
            for reader in readers:
                reader.join(10)
            raise subprocess.TimeoutExpired(["hpo", *arguments], seconds, said[0], said[1]) from None
    for reader in readers:
        reader.join(seconds)
        assert not reader.is_alive(), f"something of {arguments} still holds its output"
    assert answer, "the server of commands has ended"
    return CompletedProcess(["hpo", *arguments], int(answer), *said)


@cache
def _server() -> socket.socket:
    """Start the server, which ends with this process; return the way to it."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, __file__, str(theirs.fileno())]
    with theirs:
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,  # as its forks' are
        )  # fmt: skip
    atexit.register(process.communicate)
    atexit.register(ours.close)  # first
    return ours


def _load() -> None:
    """Import what commands do. Torch and MLflow, which most never load, stay out."""
    import hpo.cli
    from hpo.lazy import keep_imports

    for module in pkgutil.iter_modules(hpo.cli.__path__):
        importlib.import_module(f"hpo.cli.{module.name}")
    for name in ("driver", "engines.make", "engines.local", "ledger.ledger", "ledger.succession", "objective.function",
                 "objective.program", "review.summary", "search.searcher", "ledger.study.journal",
                 "ledger.study.database", "ledger.mirror.reach"):  # fmt: skip
        importlib.import_module(f"hpo.{name}")
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
    """Run a command in a process below this one; send its exit code, or end it when the other side is gone."""
    asked = socket.socket(fileno=connection)
    size = int.from_bytes(asked.recv(8, socket.MSG_WAITALL), "big")
    arguments, folder, environment = json.loads(asked.recv(size, socket.MSG_WAITALL))
    driver = os.fork()
    if driver == 0:
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
    ended = os.pidfd_open(driver)
    ready, _, _ = select.select([ended, asked], [], [])
    if ended not in ready:
        os.kill(driver, signal.SIGKILL)
    _, status = os.waitpid(driver, 0)
    asked.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


if __name__ == "__main__":
    _load()
    _serve(socket.socket(fileno=int(sys.argv[1])))
    from warm import run_command

    run_command()
