"""Which value of a metric counts in the end, by define_metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from . import _channel
from .errors import Error

_COUNTS: dict[str, Callable[[list[float]], float]] = {
    "max": max,
    "min": min,
    "mean": lambda values: sum(values) / len(values),
    "first": lambda values: values[0],
}
_LAST = ("last", "copy", "none", "best")  # words of W&B's beside these; best: the largest or the smallest, by the goal


class CountedValues:
    """The values of metrics of which another one counts than the last."""

    def __init__(self) -> None:
        self._wanted: dict[str, str] = {}  # what counts, by a metric's name, or by the beginning of several: val/*
        self._logged: dict[str, list[float]] = {}

    def define(self, name: Any, summary: Any, goal: Any) -> None:
        """Take what define_metric says. Raises Error for what W&B refuses."""
        name = str(name).replace("\\.", ".")  # W&B has a dot of a name written so
        if "*" in name[:-1]:
            raise Error(f"define_metric() takes a * at a name's end only, but got {name!r}")
        if goal not in (None, "minimize", "maximize"):
            raise Error(f"define_metric() takes the goal 'minimize' or 'maximize', but got {goal!r}")
        words = [word.strip() for word in ([] if summary is None else str(summary).split(","))]
        for word in words:
            if word not in (*_COUNTS, *_LAST):
                raise Error(f"define_metric() takes a summary of {', '.join((*_COUNTS, *_LAST))}, but got {word!r}")
        counted = [word for word in words if word in (*_COUNTS, "best")]
        if len(counted) > 1 or "none" in words:
            taken = f"{counted[0]} of them" if counted else "its last value"
            text = (
                f"define_metric({name!r}, summary={summary!r}): the sweep has one value of a metric, and takes {taken}"
            )
            _channel.say(f"wandb-summary {name}", text)
        if words:
            best = "max" if goal == "maximize" else "min"
            self._wanted[name] = (best if counted[0] == "best" else counted[0]) if counted else ""

    def took(self, metrics: Mapping[str, float]) -> None:
        """Keep what was logged, where it may count."""
        for name, value in metrics.items():
            if self._word(name):
                self._logged.setdefault(name, []).append(value)

    def found(self) -> Iterator[tuple[str, float]]:
        """Yield the metrics of which another value counts than the last, with that."""
        for name, values in self._logged.items():
            finite = [value for value in values if math.isfinite(value)]
            if finite and (word := self._word(name)) and (value := _COUNTS[word](finite)) != values[-1]:
                yield name, value

    def _word(self, name: str) -> str:
        """Return what counts of a metric: by its own name, or by the longest beginning that is named."""
        known = [each for each in self._wanted if each == name or (each[-1:] == "*" and name.startswith(each[:-1]))]
        return self._wanted[max(known, key=lambda each: (each == name, len(each)))] if known else ""
