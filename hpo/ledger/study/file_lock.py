"""A lock that the operating system releases when its holder dies.

Optuna's own journal locks are files that a killed process leaves behind; the next one then waits for ever.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


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
