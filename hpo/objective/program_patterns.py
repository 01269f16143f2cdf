"""Reports in plain lines of a log, by the regular expressions of `report: {regex: ...}`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from hpo.objective.program_process import Source
from hpo.objective.program_reports import Report, report_of, shown_line, visible_parts
from hpo.objective.steps import STEP_KEYS

_NUMBER = re.compile(
    r"([-+]?(?:\d+(?:_\d+)*\.?\d*|\.\d+)(?:e[-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?))(\s*%)?", re.IGNORECASE
)
_EXPONENT = re.compile(r"[eE][-+]?\d+")  # that a group such as ([0-9.]+) leaves behind
_LONGEST = 100_000  # characters of a line that are looked at


class PatternReader:
    """Finds reports in lines by patterns whose named groups are metrics, or the step (`epoch`, `step`).

    Each match is a report. What several patterns find in one line belongs together, the first match of one with the
    first of the other. A step that is found holds for what follows in the same stream, until there is another:
    `Epoch 3/10` may stand on a line of its own. (Two streams are read as their lines happen to come.)

    A number may be nan, inf, or have an exponent (which counts whole if the group ends before it), a full stop behind
    it, or a per cent sign: 91% is 0.91 where the group has the sign.

    doubts: what matched and is no number, by kind, in words: the first of each.
    """

    def __init__(self, patterns: Sequence[str], metric: str) -> None:
        """metric: the sweep's."""
        self.doubts: dict[str, str] = {}
        self._patterns = [re.compile(pattern) for pattern in patterns]
        self._metric = metric
        self._positions: dict[Source, dict[str, float]] = {}

    def read(self, line: bytes, source: Source = "stdout") -> Iterator[Report]:
        """Yield the reports of a line (without its end)."""
        if not self._patterns:
            return
        for text in visible_parts(line):
            found = [list(pattern.finditer(text[:_LONGEST])) for pattern in self._patterns]
            for matches in zip_longest(*found):
                numbers: dict[str, float] = {}
                for match in matches:
                    numbers |= self._numbers(match, text) if match is not None else {}
                if report := self._report(numbers, source):
                    yield report

    def _report(self, numbers: Mapping[str, float], source: Source) -> Report | None:
        steps = {key: number for key, number in numbers.items() if key in STEP_KEYS and key != self._metric}
        if steps:
            self._positions[source] = {key: number for key, number in steps.items() if math.isfinite(number)}
        return report_of({**numbers, **self._positions.get(source, {})}, self._metric)

    def _numbers(self, match: re.Match[str], text: str) -> dict[str, float]:
        """Return the numbers of a match by their groups' names; a group that took no part has none."""
        found = {}
        for name, given in match.groupdict().items():
            if given is None:
                continue
            behind = _EXPONENT.match(text, match.end(name)) if re.search(r"\d\.?$", given) else None
            number = _NUMBER.fullmatch((given + (behind[0] if behind else "")).strip().rstrip(",;:").rstrip(".") or "-")
            if number is None:
                what = f"{name!r} is {given[:40]!r}, no number: {shown_line(text)}"
                self.doubts.setdefault("regex", f"what report.regex finds is left out: {what}")
            else:
                found[name] = float(number[1]) / (100 if number[2] else 1)
        return found
