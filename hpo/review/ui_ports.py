"""Ports on the loopback interface."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from types import TracebackType

from hpo.private import NotPrivate, open_lock, private_folder
from hpo.spec.faults import UserError

LOOPBACK = "127.0.0.1"
_TRIES = 100


class PortLease:
    """The wanted port or the next free one, kept from other `hpo ui` until the context is left.

    A server takes seconds to start. Without the lease two `hpo ui` started together would choose the same port, and the
    later one would take the answers of the other's server for its own's. wanted: 0 stands for any free port.
    Raises UserError if the port may not be used, none of the next hundred is free, or the folder for leases isn't this
    user's own.
    """

    def __init__(self, wanted: int) -> None:
        self.port = 0
        self._lock = -1
        for port in range(wanted, min(wanted + _TRIES, 65536)):
            if self._take(port):
                return
        raise UserError(f"no port from {wanted} to {min(wanted + _TRIES, 65536) - 1} is free")

    def _take(self, wanted: int) -> bool:
        port = _bindable(wanted)
        if port is None:
            return False
        try:
            lock = open_lock(private_folder("hpo-ui") / f"{port}.lock")
        except NotPrivate as error:
            raise UserError(str(error)) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self.port, self._lock = port, lock
        return True

    def __enter__(self) -> PortLease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)  # the file stays: deleting it would let two processes lock two files of one name


def _bindable(port: int) -> int | None:
    """Return the port if a server could listen there now, None if it is in use. Raises UserError if it is forbidden."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: closed connections don't count
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return None
            raise UserError(f"port {port} can't be used: {error.strerror} (choose another)") from None
        return int(probe.getsockname()[1])
