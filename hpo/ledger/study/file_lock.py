"""Locks that the operating system releases when their holder dies.

Optuna's own journal locks are files that a killed process leaves behind; the next one then waits for ever.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Any

from hpo.spec.faults import UserError


class FileLock:
    """Holds flock(2) on `<journal>.lock` while the journal is appended to (Optuna's BaseJournalFileLock)."""

    def __init__(self, journal: str | Path) -> None:
        self._path = f"{journal}.lock"
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Wait for the lock and take it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back. The file stays, so that nobody locks a file that another is about to remove."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # closing is not enough where a child was forked meanwhile
            os.close(self._descriptor)
            self._descriptor = None


_PATIENCE = 1.0  # seconds in which an owner that has just taken a lock writes down who it is


class Ownership:
    """Says that one driver runs a study. Held from `take` to `give_up`, or to the death of the process."""

    # What a database's owners have besides (owners.py): nobody shares a journal, and nobody loses a lock.
    number = 0
    alone = True
    estate: frozenset[int] = frozenset()

    def __init__(self, path: Path, study: str) -> None:
        """path: the lock file, the same for all drivers of the study."""
        self._path = path
        self._study = study
        self._descriptor: int | None = None
        self.taken_over: list[Any] = []

    def take(self) -> None:
        """Become the owner. Raises UserError, naming the owner and since when, if there is another."""
        try:
            self._path.parent.mkdir(exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UserError(f"the lock file {self._path} can't be written: {error.strerror or error}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(descriptor)
            os.close(descriptor)
            remedy = "wait for it, stop it, or choose another name with -o name=..."
            raise UserError(f"the study {self._study!r} is being run by {owner} ({remedy})") from None
        os.ftruncate(descriptor, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.write(descriptor, f"process {os.getpid()} on {os.uname().nodename} since {since}\n".encode())
        self._descriptor = descriptor

    def renew(self) -> None:
        """Nothing to say: the lock is held."""

    def leave(self) -> bool:
        """Return whether there is nobody else."""
        return True

    def give_up(self) -> None:
        """End the ownership, if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _owner(descriptor: int) -> str:
    """Return what the owner of a lock file wrote into it."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if owner := os.pread(descriptor, 200, 0).decode(errors="replace").strip():
            return owner
        time.sleep(0.02)
    return "another process"
