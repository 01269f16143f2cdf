"""Reports in what a program prints: JSON objects with numbers, and what only looks like one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpo.objective.steps import STEP_KEYS
from hpo.spec.names import COMPLETED, MOST_STEPS, clash_fault, clashes, name_fault

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")  # of a terminal: ANSI
_DECIMAL = re.compile(r"[-+]?\d*(?:\d\.|\.\d)\d*(?:[eE][-+]?\d+)?|[-+]?\d+[eE][-+]?\d+")  # not 42: that may be a name
_MOST_TRIES = 20  # braces of a line at which an object is looked for
_MOST_DIGITS = 4000  # Python refuses to read longer whole numbers
_SHOWN = 200  # characters of a line that is no report
_UNDECODED = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Report:
    """An object that reports metrics. A metric may be NaN or infinite.

    positions: the steps that it names, by key ("epoch", "step"), finite. refused: the numbers whose names are no
    metric's, and why; they are not in `metrics`, which may thus be empty.
    """

    metrics: Mapping[str, float]
    positions: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


class ReportReader:
    """Finds the reports in a program's standard output, a line at a time.

    A report is a JSON object with a number in it, on a line of its own; what a terminal would not show (ANSI codes, a
    BOM, bytes that are not UTF-8, what a carriage return overwrites) doesn't matter. After other text on its line, such
    as a progress bar, it is one if it has the sweep's metric or an `epoch` in it: others may be settings in a message.

    doubts: what looks like a report and is none, by the kind of reason: the first such line of each, in words.
    told: what hpo's stand-in for wandb (stand_in/wandb) says in the program, by kind. Its reports are taken wherever
    they stand, but no more once the program reports the sweep's metric in another way: nothing counts twice. To know
    that of the first one, it waits for what comes next (`rest`).
    """

    def __init__(self, metric: str) -> None:
        self.doubts: dict[str, str] = {}
        self.told: dict[str, str] = {}
        self._metric = metric
        self._line = 0
        self._ended = True  # the last line that was read
        self._own: set[str] = set()  # the metrics that the program reports by itself
        self._waiting: Report | None = None  # the stand-in's first one with the sweep's metric
        self._looked = False  # `rest` has left it waiting
        self._waits = metric != COMPLETED
        self._names = re.compile(rf"""["'](?:{re.escape(metric)}|epoch|step)["']\s*:""")
        self._decoder = json.JSONDecoder(parse_int=_whole)

    def took(self, report: Report) -> None:
        """Note that the program has reported by itself, here or elsewhere."""
        self._own.update(report.metrics)

    def rest(self, last: bool = False) -> Iterator[Report]:
        """Yield what has waited since it was asked for before. last: nothing more comes."""
        waiting = self._waiting
        if waiting is not None and (self._looked or last):
            yield from self._released()
        self._looked = self._waiting is not None

    def _released(self) -> Iterator[Report]:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not self._is_own(waiting):
            self._waits = False
            yield waiting

    def _is_own(self, report: Report) -> bool:
        """Whether the program reports by itself what the stand-in's report has."""
        if self._metric not in self._own and not report.metrics.keys() <= self._own:
            return False
        text = "the program prints its reports itself, so what it logs by wandb is not reported a second time"
        self.doubts.setdefault("wandb-twice", text)
        return True

    def _of_stand_in(self, report: Report) -> Iterator[Report]:
        yield from self._released()
        if self._is_own(report):
            return
        if self._waits and self._metric in report.metrics:
            self._waiting, self._looked = report, False
        else:
            yield report

    def read(self, line: bytes, whole: bool = True, ends: bool = True) -> Iterator[Report]:
        """Yield the reports of the next line (without its end), or of a piece of one (program_process.Line)."""
        self._line += self._ended
        self._ended = ends
        if b"{" not in line:
            return
        if not whole:
            if self._looks_like_one(text := "".join(visible_parts(line))):
                self._doubt("long", "it is longer than 1 MiB", text)
            return
        for part in visible_parts(line):
            if "{" in part:
                yield from self._in_part(part)

    def _in_part(self, text: str) -> Iterator[Report]:
        objects = list(self._objects(text))
        if not objects and self._looks_like_one(text):
            python = any(f"'{name}'" in text for name in (self._metric, *STEP_KEYS))
            reason = "a Python dict, not JSON: print(json.dumps(...))" if python else "no valid JSON"
            self._doubt("json", f"it is {reason}", text)
        before = 0
        for index, (start, end, found) in enumerate(objects):
            following = objects[index + 1][0] if index + 1 < len(objects) else len(text)
            own = found.get("hpo") == "wandb"
            report = self._of_wandb(found) if own else self._report(found, text[start:end], text)
            alone = not text[before:start].strip()
            before = end
            if report is None:
                continue
            telling = own or self._metric in report.metrics or "epoch" in report.positions
            if text[end:following].strip():
                if telling:
                    self._doubt("followed", "text follows it on its line", text)
            elif own:
                yield from self._of_stand_in(report)
            elif alone or telling:
                self.took(report)
                yield report

    def _of_wandb(self, found: Mapping[str, Any]) -> Report | None:
        """Return what the stand-in reports; keep what it says."""
        if "note" in found:
            self.told.setdefault(str(found.get("kind")), str(found["note"]))
        metrics = found.get("metrics")
        if not isinstance(metrics, Mapping):
            return None
        numbers = {name: number for name, value in metrics.items() if (number := _number(value)) is not None}
        position = _position(found.get("step"))
        return report_of(numbers, self._metric, {} if position is None else {"step": position})

    def _objects(self, text: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """Yield where each JSON object in a text begins and ends, and the object."""
        at = text.find("{")
        for _ in range(_MOST_TRIES):
            if at < 0:
                return
            try:
                found, end = self._decoder.raw_decode(text, at)
            except RecursionError:
                return
            except ValueError:
                end = at + 1
            else:
                yield at, end, found
            at = text.find("{", end)

    def _report(self, found: Mapping[str, Any], own: str, text: str) -> Report | None:
        numbers = {name: number for name, value in found.items() if (number := _number(value)) is not None}
        if self._metric not in numbers and f'"{self._metric}"' in own:
            what = _kind(found.get(self._metric, found))
            self._doubt("value", f"its {self._metric!r} is {what}, no number", text)
        for name, value in found.items():
            if name not in (self._metric, *STEP_KEYS) and isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
                self._doubt("quoted", f"its {name!r} is text ({value[:40]!r}), no number", text, "is taken without it")
        positions = {}
        for key in STEP_KEYS:
            if (position := _position(found.get(key))) is not None:
                positions[key] = position
            elif found.get(key) is not None and key != self._metric:
                self._doubt(key, f"its {key} is no step", text, "is taken without its step")
        return report_of(numbers, self._metric, positions)

    def _looks_like_one(self, text: str) -> bool:
        start = text.find("{")
        return start >= 0 and self._names.search(text, start) is not None

    def _doubt(self, kind: str, reason: str, text: str, what: str = "looks like a report, but is not taken") -> None:
        self.doubts.setdefault(kind, f"line {self._line} of the output {what}: {reason}: {shown_line(text)}")


def report_of(numbers: Mapping[str, float], metric: str, positions: Mapping[str, float] | None = None) -> Report | None:
    """Return the report of numbers by their names; None if no metric is among them. metric: the sweep's. positions: the
    steps that it names; None: those among the numbers."""
    if positions is None:
        found = {key: _position(numbers[key]) for key in STEP_KEYS if key in numbers}
        positions = {key: position for key, position in found.items() if position is not None}
    metrics = {name: number for name, number in numbers.items() if name not in STEP_KEYS or name == metric}
    refused = {name: fault for name in metrics if (fault := _name_fault(name))}
    sound = sorted((name for name in metrics if name not in refused), key=lambda name: name != metric)
    refused |= {name: clash_fault(name, earlier) for name, earlier in clashes(sound).items()}
    kept = {name: number for name, number in metrics.items() if name not in refused}
    return Report(kept, positions, refused) if metrics else None


def visible_parts(line: bytes) -> list[str]:
    """Return what a terminal shows of a line, in the parts that carriage returns overwrite one another with."""
    return _ESCAPES.sub("", line.decode("utf-8", "replace")).replace("\ufeff", "").split("\r")


def shown_line(text: str) -> str:
    """Return a line as notes show it."""
    shown = text.strip()
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."


def _name_fault(name: str) -> str:
    return f"{name!r} is not UTF-8" if _UNDECODED in name else name_fault(name)


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < _MOST_DIGITS else float(digits)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number beyond any float
        return math.inf if value > 0 else -math.inf


def _position(value: Any) -> float | None:
    """Return a value as a step, whole or not; None: it is none. A number in quotes is one."""
    if isinstance(value, str):
        try:
            value = float(value) if not value.strip().lstrip("+-").isdecimal() else int(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -MOST_STEPS < value < MOST_STEPS else None  # not NaN, either


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "inside another object"
    return f"text ({value[:40]!r})" if isinstance(value, str) else json.dumps(value)[:40]
