"""What a program prints: reports, one JSON object a line, and everything else, kept in a file."""

from __future__ import annotations

import json
import math
import shutil
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpo.objective.program_leftovers import hand_over, open_in_folder
from hpo.objective.program_process import Source
from hpo.spec.names import MOST_STEPS, clash_fault, clashes, name_fault

LOG_NAME = "output.log"
STEP_KEYS = ("epoch", "step")
_TAIL = 20  # lines
_CLIP = 2000  # bytes kept of a line of the tail


@dataclass(frozen=True)
class Report:
    """One line of JSON that reports metrics. A metric may be NaN or infinite; step None: the line names none.

    refused: the numbers whose names are no metric's, and why; they are not in `metrics`, which may thus be empty.
    """

    step: int | None
    metrics: Mapping[str, float]
    refused: Mapping[str, str] = field(default_factory=dict)


def parse_report(line: bytes, metric: str) -> Report | None:
    """Return the report in a line of output, or None if it is none: no JSON object, or no number in it.

    Values that are no numbers are passed over. `epoch` (or else `step`) is the step, and no metric unless the sweep's.
    A name that can't be recorded is no metric's: the line need not be meant as a report, so the trial goes on.
    """
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    numbers = {name: number for name, value in found.items() if (number := _number(value)) is not None}
    step = next((int(numbers[key]) for key in STEP_KEYS if numbers.get(key, -1.0) in _Steps()), None)
    metrics = {name: number for name, number in numbers.items() if name not in STEP_KEYS or name == metric}
    refused = {name: fault for name in metrics if (fault := name_fault(name))}
    sound = sorted((name for name in metrics if name not in refused), key=lambda name: name != metric)
    refused |= {name: clash_fault(name, earlier) for name, earlier in clashes(sound).items()}
    kept = {name: number for name, number in metrics.items() if name not in refused}
    return Report(step, kept, refused) if metrics else None


class _Steps:
    """All the steps there are: whole numbers from 0 that a database can hold."""

    def __contains__(self, number: float) -> bool:
        return 0 <= number < MOST_STEPS and math.isfinite(number) and number == int(number)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number beyond any float
        return math.inf if value > 0 else -math.inf


class OutputLog:
    """A file that keeps the first `limit` bytes of a program's output and its last lines.

    The file is the only one of a temporary folder, and goes by the name under which it is kept: it need not be renamed
    where other trials' logs are. Whoever it is handed to removes both; `discard` removes what is handed to nobody.
    """

    def __init__(self, number: int, limit: int) -> None:
        self.path, self._file = open_in_folder(number, LOG_NAME)
        self._left = limit
        self._limit = limit
        self._dropped = 0
        self._tail: deque[bytes] = deque(maxlen=_TAIL)
        self._last: dict[Source, bytes] = {}

    def write(self, source: Source, line: bytes) -> None:
        """Keep one line (given without its end)."""
        short = line[:_CLIP]
        self._tail.append(short)
        if short.strip():
            self._last[source] = short
        if self._dropped or len(line) >= self._left:
            self._dropped += 1
        else:
            self._keep(line)

    def note(self, text: str) -> None:
        """Keep a line that the program did not print, if there is room."""
        line = f"[hpo: {text}]".encode(errors="replace")
        if not self._dropped and len(line) < self._left:
            self._keep(line)

    def _keep(self, line: bytes) -> None:
        self._file.write(line + b"\n")
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
