"""Reports in plain lines of a log, by the regular expressions of `report: {regex: ...}`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
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

    What a carriage return overwrites, as a progress bar does, is not a report each time: of what is shown for one step
    the last counts, as it stands when `rest` asks, another step comes, or the line ends.

    Of a line the first 100,000 characters are looked at, of a piece of a longer one than a process gives out nothing:
    a number that is cut is another number.

    doubts: what matched and is no number, and what was not looked at, by kind, in words: the first of each.
    """

    def __init__(self, patterns: Sequence[str], metric: str) -> None:
        """metric: the sweep's."""
        self.doubts: dict[str, str] = {}
        self._patterns = [re.compile(pattern) for pattern in patterns]
        self._metric = metric
        self._positions: dict[Source, dict[str, float]] = {}
        self._waiting: dict[Source, Report] = {}  # of what may be overwritten
        self._shown: dict[Source, Report] = {}  # the last that was yielded of a line that has not ended

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def read(self, line: bytes, source: Source = "stdout", whole: bool = True, ends: bool = True) -> Iterator[Report]:
        """Yield the reports of a line (without its end), or of a piece of one (program_process.Line)."""
        if not self._patterns:
            return
        if not whole:
            self._doubt_long("of a line that is longer than 1 MiB nothing is looked at", line)
            return
        *overwritten, last = visible_parts(line)
        for text in overwritten:
            yield from self._overwritten(self._in_part(text, source), source)
        if not ends:
            yield from self._overwritten(self._in_part(last, source), source)
            return
        reports = list(self._in_part(last, source))
        before, shown = self._waiting.pop(source, None), self._shown.pop(source, None)
        if before is not None and not (reports and reports[0].positions == before.positions):
            reports.insert(0, before)
        elif before is not None:
            reports[0] = _later(before, reports[0])
        yield from reports[1:] if reports and reports[0] == shown else reports

    def rest(self) -> Iterator[Report]:
        """Yield what is shown now on lines that have not ended."""
        for source in list(self._waiting):
            yield from self._show(source, self._waiting.pop(source))

    def _overwritten(self, reports: Iterator[Report], source: Source) -> Iterator[Report]:
        for report in reports:
            before = self._waiting.pop(source, None)
            if before is not None and before.positions != report.positions:
                yield from self._show(source, before)
                before = None
            self._waiting[source] = report if before is None else _later(before, report)

    def _show(self, source: Source, report: Report) -> Iterator[Report]:
        if self._shown.get(source) != report:
            self._shown[source] = report
            yield report

    def _in_part(self, text: str, source: Source) -> Iterator[Report]:
        if len(text) > _LONGEST:
            self._doubt_long(f"of a line's characters only the first {_LONGEST:,} are looked at", text.encode())
        found = [
            [match for match in pattern.finditer(text[:_LONGEST]) if match.end() < _LONGEST or len(text) <= _LONGEST]
            for pattern in self._patterns
        ]
        for matches in zip_longest(*found):
            numbers: dict[str, float] = {}
            for match in matches:
                numbers |= self._numbers(match, text) if match is not None else {}
            if report := self._report(numbers, source):
                yield report

    def _doubt_long(self, rule: str, line: bytes) -> None:
        start = shown_line(line[:1000].decode(errors="replace"))
        self.doubts.setdefault("regex-long", f"report.regex: {rule}, since a number may be cut there: {start}")

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


def _later(before: Report, report: Report) -> Report:
    """Return the report of one step after what was shown of it before."""
    return replace(report, metrics={**before.metrics, **report.metrics})
