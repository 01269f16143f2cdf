"""Locks that the operating system releases when their holder dies."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

_LONG = 5.0  # seconds after which somebody is told what is waited for
_GRACE = 30.0  # seconds after which Optuna takes a lock whose file is not touched for its holder's who died
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)


def _in_no_hurry() -> bool:
    return False


class FileLock:
    """Holds flock(2) on `<file>.lock`."""

    def __init__(self, file: str | Path, suffix: str = ".lock") -> None:
        self._path = f"{file}{suffix}"
        self._descriptor: int | None = None
        self.tell: Callable[[str], None] = _say
        self.hurry: Callable[[], bool] = _in_no_hurry  # whether not to wait any longer

    def acquire(self) -> bool:
        """Wait for the lock and take it; say so if that takes long. Raises OSError if told to hurry meanwhile."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            for _ in self._waiting():
                with suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back. The file stays, so that nobody locks a file that another is about to remove."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # closing is not enough where a child was forked meanwhile
            os.close(self._descriptor)
            self._descriptor = None

    def _waiting(self) -> Iterator[None]:
        """Yield before each try, with pauses that grow."""
        began, pause, told = time.monotonic(), 0.001, False
        yield
        while True:
            if self.hurry():
                raise OSError(errno.EBUSY, "another process holds the lock, which was waited for", self._path)
            if not told and time.monotonic() - began > _LONG:
                told = True
                self.tell(f"waiting for the lock {self._path}, which another process holds")
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
            yield


class JournalLock(FileLock):
    """Keeps a journal to one writer, stock Optuna's among them.

    Among hpo's own it is a lock that dies with its holder. Whoever has that takes Optuna's, too: a link
    `<journal>.lock`, which a process that is killed leaves behind. Of hpo's own such links it is known that nobody
    holds them; one of Optuna's that is not touched for half a minute is removed, as Optuna itself does.
    """

    def __init__(self, journal: str | Path) -> None:
        super().__init__(journal, ".writer")
        self._link = Path(f"{journal}.lock")
        self._target = Path(self._path).name  # there is such a file, which Optuna looks at
        self._taken = 0.0  # when the link was made

    def acquire(self) -> bool:
        super().acquire()
        try:
            self._take_link()
        except BaseException:
            super().release()
            raise
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            with suppress(OSError):  # held for long, stock Optuna may have taken it for left over, and made its own
                if time.monotonic() - self._taken < _GRACE / 2 or self._is_ours():
                    self._link.unlink()
        super().release()

    def _is_ours(self) -> bool:
        return str(self._link.readlink()) == self._target

    def _take_link(self) -> None:
        seen: tuple[int, int] | None = None
        since = time.monotonic()
        for _ in self._waiting():
            try:
                self._link.symlink_to(self._target)
            except FileExistsError:
                if (now := self._state()) != seen:
                    seen, since = now, time.monotonic()
                if self._is_left(time.monotonic() - since):
                    self._link.unlink(missing_ok=True)
            except OSError as error:
                if error.errno in _NO_LINKS:  # a file system without links: stock Optuna can't write there either
                    return
                raise
            else:
                self._taken = time.monotonic()
                return

    def _state(self) -> tuple[int, int] | None:
        """Return what changes when another holder takes Optuna's lock, or shows that it lives."""
        with suppress(OSError):
            return self._link.lstat().st_mtime_ns, self._link.stat().st_mtime_ns
        return None

    def _is_left(self, unchanged: float) -> bool:
        """Whether nobody holds the lock that is there. unchanged: seconds for which it was looked at."""
        with suppress(OSError):
            if self._link.is_symlink():
                return self._is_ours() or unchanged > _GRACE
            return time.time() - self._link.lstat().st_mtime > _GRACE  # a file, as hpo left them once
        return False


def _say(text: str) -> None:
    print(f"hpo: {text}", file=sys.stderr)
