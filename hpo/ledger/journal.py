"""Optuna's journal file, made safe against writes that were cut off.

A full disk or a power cut can leave half a line at the end. Optuna then fails on every later read, and the next
append would glue itself to the torn line. So a torn end is cut off when the journal is opened, and an append that
fails is taken back.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.storages.journal import JournalFileBackend

from hpo.ledger.file_lock import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = 65536  # bytes read at a time, looking for the last line end


class SafeJournal(JournalFileBackend):
    """A journal file in which every line is whole. Writers hold a lock that dies with them."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._journal = Path(path)
        if os.access(path, os.W_OK):
            with self._locked():
                self._mend()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self._journal)
        lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append whole lines, or nothing. Raises OSError (a full disk, say) with the journal as it was."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        # Unbuffered: a buffer that could not be written would be written again when the file is closed.
        with self._locked(), self._journal.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                while lines:
                    lines = lines[file.write(lines) :]
                os.fsync(file.fileno())
            except OSError:
                os.truncate(self._journal, size)
                raise

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
