"""Optuna's journal file, made safe against writes that were cut off, and quick where many belong together.

A full disk or a power cut can leave half a line at the end. Optuna then fails on every later read, and the next
append would glue itself to the torn line. So a torn end is cut off when the journal is opened, and an append that
fails is taken back.

An append costs a lock, an fsync and a read. `together` makes one of many: what is appended inside the block is held
in memory, where only this process sees it, and is written at the block's end. The lock is held from the first of them
on, since Optuna numbers trials by their place in the file: nobody may write in between.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.storages.journal import JournalFileBackend

from hpo.ledger.study.file_lock import JournalLock
from hpo.spec.faults import RecordsGone

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

_BLOCK = 65536  # bytes read at a time, looking for the last line end
_KEYS = {"op_code", "worker_id"}  # of every entry
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode
_DECODE = json.JSONDecoder().decode


class DamagedJournal(ValueError):
    """A line of the journal is no entry."""

    def __init__(self, path: Path, line: int) -> None:
        super().__init__(
            f"line {line} is no entry of a journal: bring the file back from a backup, or keep what stands before it, "
            f"all of which is whole: head -n {line - 1} {shlex.quote(str(path))} > rescued.journal, and put that there"
        )


class SafeJournal(JournalFileBackend):
    """A journal file in which every line is whole. Writers hold a lock that dies with them. For one thread."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._journal = Path(path)
        self._file_lock = JournalLock(self._journal)
        self._identity = _identity(self._journal.stat())
        self._place = (0, 0)  # a log's number and where it begins in the file: the first that was not read yet
        self._depth = 0  # of `together`
        self._held: list[str] = []  # appended inside `together`, not yet in the file
        self._held_from: int | None = None  # the number of the first of them; None: nothing was read since
        self._failure: OSError | None = None
        self.mended = False  # whether half a line was cut off when it was opened
        with self._opened(os.O_RDONLY) as (file, size):
            torn = self._is_torn(file, size)
        if torn and os.access(path, os.W_OK):
            with self._locked():
                self._mend()
            self.mended = True

    def wait_with(self, tell: Callable[[str], None], hurry: Callable[[], bool]) -> None:
        """From now on, `tell` of a lock that is waited for, unless told to `hurry`."""
        self._file_lock.tell, self._file_lock.hurry = tell, hurry

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._file_lock.acquire()
        try:
            yield
        finally:
            self._file_lock.release()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what is appended inside the block at its end, in one go; blocks may be nested.

        A process that is killed meanwhile leaves a beginning of the block, in whole logs. An exception that leaves the
        block changes nothing: each log is whole in itself. Raises OSError with the file as it was. The storage's memory
        is then ahead of the file, so reading and appending are refused ever after; a storage that is opened anew is
        right.
        """
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0 and self._held:
                self._write_held()

    def _write_held(self) -> None:
        lines = "".join(self._held).encode()
        number = None if self._held_from is None else self._held_from + len(self._held)
        self._held, self._held_from = [], None
        try:
            end = self._write(lines)
        except BaseException as error:
            interrupted = OSError(errno.EINTR, "interrupted while it was written")
            self._failure = error if isinstance(error, OSError) else interrupted
            raise
        finally:
            self._file_lock.release()
        if number is not None:
            self._place = number, end

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append whole lines, or nothing. Raises OSError (a full disk, say) with the journal as it was."""
        self._refuse_after_failure()
        lines = [_ENCODE(log) + "\n" for log in logs]
        if not self._depth:
            with self._locked():
                self._write("".join(lines).encode())
            return
        if not self._held:
            self._file_lock.acquire()
        self._held += lines

    def _write(self, lines: bytes) -> int:
        """Append to the file, under the lock; return its new size."""
        with self._opened(os.O_RDWR | os.O_APPEND) as (file, size):
            if self._is_torn(file, size):  # by a writer that died since the journal was opened
                self._mend()
                size = os.fstat(file).st_size
            try:
                rest = lines
                while rest:
                    rest = rest[os.write(file, rest) :]
                os.fsync(file)
            except BaseException:
                os.ftruncate(file, size)
                raise
        return size + len(lines)

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the logs from this number on: the file's, then those that are held. Raises OSError, and ValueError if
        a line is no log."""
        self._refuse_after_failure()
        if self._held_from is not None and log_number_from >= self._held_from:
            number = self._held_from
        else:
            yield from self._read_file(log_number_from)
            number = self._place[0]
            if self._held:
                self._held_from = number
        for line in self._held[max(0, log_number_from - number) :]:
            yield _DECODE(line)  # not the object that was given: its owner may change it

    def _read_file(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        if log_number_from < self._place[0]:
            self._place = 0, 0
        number, offset = self._place
        with self._opened(os.O_RDONLY) as (descriptor, _), open(descriptor, "rb", closefd=False) as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # another process is writing it
                log = self._entry(line, number) if number >= log_number_from else None
                number, offset = number + 1, offset + len(line)
                self._place = number, offset
                if log is not None:
                    yield log

    def _entry(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            log = _DECODE(line.decode())
        except ValueError:
            log = None
        if not isinstance(log, dict) or not log.keys() >= _KEYS:
            raise DamagedJournal(self._journal, number + 1) from None
        return log

    @contextmanager
    def _opened(self, flags: int) -> Iterator[tuple[int, int]]:
        """Open the file; yield its descriptor and its size. Raises RecordsGone if it is not the one that was there
        before, or has lost what was read of it."""
        try:
            file = os.open(self._journal, flags | os.O_CLOEXEC)
        except FileNotFoundError:
            raise self._gone() from None
        try:
            found = os.fstat(file)
            if _identity(found) != self._identity or found.st_size < self._place[1]:
                raise self._gone()
            yield file, found.st_size
        finally:
            os.close(file)

    def _gone(self) -> RecordsGone:
        what = f"somebody deleted, replaced or cut the journal {self._journal} while it was in use"
        return RecordsGone(f"{what}: what was recorded of its studies is gone, unless you have a copy")

    @property
    def failed(self) -> bool:
        """Whether the end of a block could not be written."""
        return self._failure is not None

    def _refuse_after_failure(self) -> None:
        if self._failure is not None:
            raise OSError(self._failure.errno, self._failure.strerror, str(self._journal))

    def _is_torn(self, file: int, size: int) -> bool:
        """Whether the last line of the open file has no end."""
        return size > 0 and os.pread(file, 1, size - 1) != b"\n"

    def _mend(self) -> None:
        """Cut off what stands behind the last line end: it was never wholly written, so nobody was told that it was."""
        with self._journal.open("rb+") as file:
            end = unread = file.seek(0, os.SEEK_END)
            whole = 0
            while unread > 0 and not whole:
                start = max(0, unread - _BLOCK)
                file.seek(start)
                whole = start + file.read(unread - start).rfind(b"\n") + 1
                whole = whole if whole > start else 0
                unread = start
            if whole < end:
                file.truncate(whole)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
