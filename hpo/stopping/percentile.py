"""Stopping by comparison with the trials before: outside the best per cent at the same step (the median: 50)."""

from __future__ import annotations

import math
from array import array
from bisect import insort
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from hpo.section import Count, Natural
from hpo.stopping.base import Course, StoppingKeys, StoppingRule, take_out

_AGAIN = 4.0  # decisions after the first one that tell anything new


class ComparingKeys(StoppingKeys):
    """What the rules that compare a trial with earlier ones have in common."""

    n_startup_trials: Natural = Field(5, description="complete trials before any is stopped")
    n_warmup_steps: Natural = Field(0, description="the first steps, at which none is stopped")
    interval_steps: Count = Field(1, description="steps between two decisions")
    n_min_trials: Count = Field(1, description="trials that must have reported the step")

    @property
    def share(self) -> float:
        """The share of trials that is not stopped, 0 to 1."""
        return 0.5

    def lasting(self, max_epochs: int) -> list[tuple[int, float]]:
        """At the first decision that share goes on. Those who do are judged again at each later step, by trials that
        all passed there: ever fewer go on, as many as if decisions were drawn five times in all."""
        steps = range(max(1, self.n_warmup_steps), max_epochs, self.interval_steps)
        return [(step, self.share ** (1 + _AGAIN * place / len(steps))) for place, step in enumerate(steps)]

    def rule(self, study: str, max_epochs: int | None) -> StoppingRule:
        return PercentileRule(self)


class MedianKeys(ComparingKeys):
    """Stop below the median of the earlier trials at the same step (Vizier; Golovin et al., 2017)."""

    type: Literal["median"]


class PercentileKeys(ComparingKeys):
    """Stop outside the best `percentile` per cent of the earlier trials at the same step."""

    type: Literal["percentile"]
    percentile: float = Field(25.0, ge=0, le=100, description="so many per cent go on")

    @property
    def share(self) -> float:
        return self.percentile / 100


@dataclass
class _Compared:
    """What a running trial is compared by."""

    last: int = -1  # the highest step reported
    before: int = -1  # the highest one below it
    best: float = math.nan


class PercentileRule(StoppingRule):
    """Stops a trial whose best value so far lies outside the best per cent of what the complete trials reported at its
    step: Vizier's median rule (Golovin et al., 2017), decided as Optuna's PercentilePruner and MedianPruner do.

    Nothing stops before `n_startup_trials` trials are complete, below step `n_warmup_steps`, at other than the first
    report in each `interval_steps`, or where fewer than `n_min_trials` have a value. Who reports only NaN stops.
    """

    def __init__(self, keys: ComparingKeys) -> None:
        self._keys = keys
        self._complete = 0
        self._steps: dict[int, array[float]] = {}  # values of the complete trials at each step, sorted
        self._nans: dict[int, int] = {}  # how many of them had none there
        self._running: dict[int, _Compared] = {}

    def report(self, course: Course, step: int, value: float) -> None:
        progress = self._running.setdefault(course.number, _Compared())
        if step > progress.last:
            progress.before, progress.last = progress.last, step
        else:
            progress.before = max(progress.before, step)
        progress.best = value if math.isnan(progress.best) or value < progress.best else progress.best

    def stops(self, course: Course) -> bool:
        keys, progress = self._keys, self._running.get(course.number)
        if progress is None or self._complete < max(1, keys.n_startup_trials) or progress.last < keys.n_warmup_steps:
            return False
        past = (progress.last - keys.n_warmup_steps) % keys.interval_steps
        if progress.before >= progress.last - past:
            return False  # it was decided on earlier in this interval
        if math.isnan(progress.best):
            return True
        values = self._steps.get(progress.last, array("d"))
        if not values or len(values) + self._nans.get(progress.last, 0) < keys.n_min_trials:
            return False
        return progress.best > quantile(values, keys.share)

    def end(self, course: Course, complete: bool) -> None:
        self._running.pop(course.number, None)
        if not complete:
            return
        self._complete += 1
        for step, value in course.values.items():
            if math.isnan(value):
                self._nans[step] = self._nans.get(step, 0) + 1
            else:
                insort(self._steps.setdefault(step, array("d")), value)

    @contextmanager
    def _without(self, course: Course, complete: bool) -> Iterator[None]:
        known = course.values.items() if complete else ()
        out = [(step, value) for step, value in known if take_out(self._steps.get(step, array("d")), value)]
        try:
            yield
        finally:
            for step, value in out:
                insort(self._steps[step], value)

    def withdraw(self, course: Course) -> None:
        self._running.pop(course.number, None)

    @property
    def awaited(self) -> int:
        return max(0, max(1, self._keys.n_startup_trials) - self._complete)


def quantile(values: array[float], share: float) -> float:
    """Return a quantile of sorted values, between two of them in proportion, rounded as NumPy's is."""
    place = (len(values) - 1) * share
    below = math.floor(place)
    part = place - below
    low, high = values[below], values[min(below + 1, len(values) - 1)]
    if low == high:  # also where both are infinite
        return low
    return high - (high - low) * (1 - part) if part >= 0.5 else low + (high - low) * part
