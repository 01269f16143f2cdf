"""Locks that the operating system releases when their holder dies.

Optuna's own journal locks are files that a killed process leaves behind; the next one then waits for ever.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

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


class Ownership:
    """Says that one driver runs a study. Held from `take` to `give_up`, or to the death of the process."""

    def __init__(self, folder: Path, study: str) -> None:
        self._path = folder / f"{study}.owner"
        self._study = study
        self._descriptor: int | None = None

    def take(self) -> None:
        """Become the owner. Raises UserError, naming the owner and since when, if there is another."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 200).decode(errors="replace").strip()
            os.close(descriptor)
            remedy = "wait for it, stop it, or choose another name with -o name=..."
            raise UserError(
                f"the study {self._study!r} is being run by {owner or 'another process'} ({remedy})"
            ) from None
        os.ftruncate(descriptor, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.write(descriptor, f"process {os.getpid()} on {os.uname().nodename} since {since}\n".encode())
        self._descriptor = descriptor

    def give_up(self) -> None:
        """End the ownership, if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
