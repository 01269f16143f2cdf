"""Who runs a study that is kept in a journal: whoever holds the lock of a file."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from hpo.ledger.sharing.owners import Owner, ways_out
from hpo.spec.faults import UserError

_PATIENCE = 1.0  # seconds in which an owner that has just taken a lock writes down who it is
_GOING = 0.1  # seconds for which an owner's lock is asked for again: its process may be about to end
_GLANCE = 1.0  # seconds for the same, where those hold the lock who only look whether it is held


class FileOwnership:
    """Says that one driver runs a study (ownership.Ownership). Held from `take` to `give_up`, or to the death of the
    process; nobody shares a journal, and nobody loses a lock."""

    def __init__(self, path: Path, study: str, sweeping: bool = False) -> None:
        """path: the lock file, the same for all drivers of the study. sweeping: as in `ways_out`."""
        self._path = path
        self._study = study
        self._sweeping = sweeping
        self._descriptor: int | None = None
        self.number = 0
        self.alone = True
        self.estate: frozenset[int] = frozenset()
        self.taken_over: list[Owner] = []

    def take(self, to_look: bool = False) -> None:
        """Become the owner. Raises UserError, naming the owner and since when, if there is another.

        to_look: nothing will be written. Where the file can't be, it is enough that nobody holds its lock.
        """
        try:
            descriptor = self._opened()
        except OSError as error:
            if to_look and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                self._see_that_nobody_has_it()
                return
            raise UserError(f"the lock file {self._path} can't be written: {error.strerror or error}") from None
        self._lock(descriptor)
        if not self._is_there(descriptor):  # its study was removed while this waited: the next one locks another file
            os.close(descriptor)
            self.take(to_look)
            return
        os.ftruncate(descriptor, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.write(descriptor, f"process {os.getpid()} on {os.uname().nodename} since {since}\n".encode())
        self._descriptor = descriptor

    def _opened(self) -> int:
        self._path.parent.mkdir(exist_ok=True)
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _is_there(self, descriptor: int) -> bool:
        """Whether an open file still has its path, so that others come to the same lock."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def _lock(self, descriptor: int) -> None:
        began = time.monotonic()
        while not _locked(descriptor, fcntl.LOCK_EX):
            if only_looked_at := _locked(descriptor, fcntl.LOCK_SH):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            if time.monotonic() - began < (_GLANCE if only_looked_at else _GOING):
                time.sleep(0.01)
                continue
            owner = _owner(descriptor)
            os.close(descriptor)
            remedy = ways_out(self._sweeping)
            raise UserError(f"the study {self._study!r} is being run by {owner} ({remedy})")

    def _see_that_nobody_has_it(self) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"the lock file {self._path} can't be read: {error.strerror or error}") from None
        self._lock(descriptor)
        self._descriptor = descriptor

    def renew(self) -> None:
        """Nothing to say: the lock is held."""

    def agree(self, key: str, known: Any, change: Callable[[Any, Collection[int]], Any]) -> tuple[Any, Any]:
        """Nobody else changes anything: what this driver knows holds."""
        return known, change(known, ())

    def wait_while_away(self, seconds: float, tell: Callable[[str], None], hurry: Callable[[], bool]) -> None:
        """A file is not waited for."""

    def leave(self) -> bool:
        """Return whether there is nobody else."""
        return True

    def give_up(self) -> None:
        """End the ownership, if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def remove_lock(path: Path) -> None:
    """Remove the lock file of a study that is no more. Whoever calls it holds the lock: who waits for it finds out that
    the file is gone, and takes another."""
    path.unlink(missing_ok=True)


def is_locked(path: Path) -> bool:
    """Return whether a driver holds this lock file. It is only read; where even that is not allowed, somebody else's
    driver may hold it, and True is returned."""
    return _look(path, lambda descriptor: "a driver") != ""


def holder_of(path: Path) -> str:
    """Return which driver holds this lock file, in words, as far as it may be read; "" if none does."""
    return _look(path, _owner)


def _look(path: Path, name: Callable[[int], str]) -> str:
    """Return what `name` makes of a lock file that a driver holds; "" if none does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    except PermissionError:
        return "a driver of somebody else's"
    try:  # shared: those who look don't take each other for drivers
        return "" if _locked(descriptor, fcntl.LOCK_SH) else name(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, how: int) -> bool:
    """Lock a file, if that is possible at once; return whether it was."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(descriptor: int) -> str:
    """Return what the owner of a lock file wrote into it."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if owner := os.pread(descriptor, 200, 0).decode(errors="replace").strip():
            return owner
        time.sleep(0.02)
    return "another process"
