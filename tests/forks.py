"""A process that has loaded what others need, and forks for each who asks (tests/shared.py starts it).

asked = ask(address, arguments, folder, environment, {1: output, 2: errors})
hear(asked), hear(asked)                      the process id, and when the process has ended its exit code

arguments = serve(listener, alive)            in the server: returns in each fork, which is as its asker wants it
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_SIZE = 20  # bytes of a number


def ask(
    address: str, arguments: list[str], folder: Path, environment: Mapping[str, str], streams: Mapping[int, int]
) -> socket.socket:
    """Ask for a fork; return what it is heard of by.

    streams: by their numbers in the fork, what it has as its standard streams; the others are the server's.
    """
    asked = socket.socket(socket.AF_UNIX)
    asked.connect(address)
    request = json.dumps([arguments, str(folder), dict(environment), list(streams)]).encode()
    socket.send_fds(asked, [_sent(len(request))], list(streams.values()))
    asked.sendall(request)
    return asked


def hear(asked: socket.socket) -> int:
    """Return the next number that is told of a fork. Raises AssertionError if nobody is there who would tell it."""
    told = asked.recv(_SIZE, socket.MSG_WAITALL)
    assert told, "the server of forks has ended"
    return int(told)


def serve(listener: int, alive: int) -> list[str]:
    """Fork for each who asks; return in the fork, with its arguments. Ends with the run of tests."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    listening = socket.socket(fileno=listener)
    while alive not in select.select([listening, alive], [], [])[0]:
        asked, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            os.close(alive)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _fork(asked)
        asked.close()
    os._exit(0)


def _fork(asked: socket.socket) -> list[str]:
    """Return in a process below this one, which tells its id and its exit code."""
    size, descriptors, _, _ = socket.recv_fds(asked, _SIZE, 3)
    arguments, folder, environment, streams = json.loads(asked.recv(int(size), socket.MSG_WAITALL))
    if process := os.fork():
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(OSError):  # who asked has ended
            asked.sendall(_sent(process))
        _, status = os.waitpid(process, 0)
        with suppress(OSError):
            asked.sendall(_sent(os.waitstatus_to_exitcode(status)))
        os._exit(0)
    asked.close()
    for number, descriptor in zip(streams, descriptors, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    return list(arguments)


def _sent(number: int) -> bytes:
    return str(number).rjust(_SIZE).encode()
