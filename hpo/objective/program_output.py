"""What a program prints, kept in a file."""

from __future__ import annotations

import shutil
from collections import deque

from hpo.objective.program_leftovers import hand_over, open_in_folder
from hpo.objective.program_process import Source
from hpo.output import PROGRAM_LOG

_TAIL = 20  # lines
_CLIP = 2000  # bytes kept of a line of the tail


class OutputLog:
    """A file that keeps the first `limit` bytes of a program's output and its last lines.

    The file is the only one of a temporary folder, and goes by the name under which it is kept: it need not be renamed
    where other trials' logs are. Whoever it is handed to removes both; `discard` removes what is handed to nobody.
    """

    def __init__(self, number: int, limit: int) -> None:
        self.path, self._file = open_in_folder(number, PROGRAM_LOG)
        self._left = limit
        self._limit = limit
        self._dropped = 0
        self._tail: deque[bytes] = deque(maxlen=_TAIL)
        self._last: dict[Source, bytes] = {}
        self._open: Source | None = None  # whose line stands at the end, and is yet to be overwritten

    def write(self, source: Source, line: bytes, ends: bool = True) -> None:
        """Keep one line (given without its end). ends: else a carriage return follows, and it is overwritten."""
        short = line[:_CLIP]
        if self._open == source and self._tail:
            self._tail.pop()
        self._tail.append(short)
        self._keep_open(source, ends)
        if short.strip():
            self._last[source] = short
        if self._dropped or len(line) >= self._left:
            self._dropped += 1
        else:
            self._keep(line, b"\n" if ends else b"\r")

    def _keep_open(self, source: Source, ends: bool) -> None:
        """End another's line that is open, so that what is written stands on a line of its own."""
        if self._open not in (None, source) and self._left > 0 and not self._dropped:
            self._keep(b"")
        self._open = None if ends else source

    def note(self, text: str) -> None:
        """Keep a line that the program did not print, if there is room."""
        line = f"[hpo: {text}]".encode(errors="replace")
        if not self._dropped and len(line) < self._left - 1:
            if self._open is not None:
                self._keep(b"")
                self._open = None
            self._keep(line)

    def _keep(self, line: bytes, end: bytes = b"\n") -> None:
        self._file.write(line + end)
        self._left -= len(line) + 1

    def close(self) -> bool:
        """Finish the file; return whether anything is in it. Its path changes: nobody takes it for a dead worker's."""
        if self._dropped:
            note = (
                f"[{self._dropped} more lines are not kept: the log's limit is {self._limit} bytes; the last lines:]\n"
            )
            self._file.write(note.encode() + b"\n".join(self._tail) + b"\n")
        self.path = hand_over(self.path)
        self._file.close()
        return bool(self._tail)

    def discard(self) -> None:
        """Remove the file and its folder."""
        self._file.close()
        shutil.rmtree(self.path.parent, ignore_errors=True)

    @property
    def tail(self) -> str:
        """The last lines of output."""
        return b"\n".join(self._tail).decode(errors="replace")

    @property
    def last_line(self) -> str:
        """The last line that says something: of standard error, where errors end, or else of standard output."""
        line = self._last.get("stderr") or self._last.get("stdout") or b""
        return line.decode(errors="replace").rstrip("\r").rsplit("\r", 1)[-1].strip()  # a progress bar's last state
