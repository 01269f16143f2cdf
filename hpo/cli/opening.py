"""What a terminal shows before a command has anything to show: one line, which goes when something else comes."""

from __future__ import annotations

import os
from typing import IO

_CLEAR = "\r\x1b[K"


class OpeningLine:
    """Says on a terminal, from the first moment, what is being done. Files and pipes get nothing of it.

    As a context manager it takes its line away in the end, also before an error is told.
    """

    def __init__(self, stream: IO[str], quiet: bool = False) -> None:
        self._stream = stream
        self._shows = not quiet and stream.isatty() and os.environ.get("TERM") != "dumb"

    def __enter__(self) -> OpeningLine:
        return self

    def __exit__(self, *exception: object) -> None:
        self._write("")

    def say(self, text: str) -> None:
        """Show this in place of what was said before."""
        columns = os.get_terminal_size(self._stream.fileno()).columns if self._shows else 0
        self._write(text[: max(1, columns - 1)] if columns else text)  # a line that wraps could not be taken away

    def _write(self, text: str) -> None:
        if self._shows:
            self._stream.write(_CLEAR + text)
            self._stream.flush()
