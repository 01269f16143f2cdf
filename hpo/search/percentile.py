"""Stopping by comparison with the trials before: outside the best per cent at the same step (the median: 50)."""

from __future__ import annotations

import math
from array import array
from bisect import insort
from dataclasses import dataclass

from hpo.search.stopper import Course, Stopper
from hpo.spec.grammar import Median, Percentile


@dataclass
class _Progress:
    """What a running trial is compared by."""

    last: int = -1  # the highest step reported
    before: int = -1  # the highest one below it
    best: float = math.nan


class PercentileStopper(Stopper):
    """Stops a trial whose best value so far lies outside the best per cent of what the complete trials reported at its
    step: Vizier's median rule (Golovin et al., 2017), decided as Optuna's PercentilePruner and MedianPruner do.

    Nothing stops before `n_startup_trials` trials are complete, below step `n_warmup_steps`, at other than the first
    report in each `interval_steps`, or where fewer than `n_min_trials` have a value. Who reports only NaN stops.
    """

    def __init__(self, rule: Median) -> None:
        self._rule = rule
        self._share = rule.percentile / 100 if isinstance(rule, Percentile) else 0.5
        self._complete = 0
        self._steps: dict[int, array[float]] = {}  # values of the complete trials at each step, sorted
        self._nans: dict[int, int] = {}  # how many of them had none there
        self._running: dict[int, _Progress] = {}

    def report(self, course: Course, step: int, value: float) -> None:
        progress = self._running.setdefault(course.number, _Progress())
        if step > progress.last:
            progress.before, progress.last = progress.last, step
        else:
            progress.before = max(progress.before, step)
        progress.best = value if math.isnan(progress.best) or value < progress.best else progress.best

    def stops(self, course: Course) -> bool:
        rule, progress = self._rule, self._running.get(course.number)
        if progress is None or self._complete < max(1, rule.n_startup_trials) or progress.last < rule.n_warmup_steps:
            return False
        past = (progress.last - rule.n_warmup_steps) % rule.interval_steps
        if progress.before >= progress.last - past:
            return False  # it was decided on earlier in this interval
        if math.isnan(progress.best):
            return True
        values = self._steps.get(progress.last, array("d"))
        if not values or len(values) + self._nans.get(progress.last, 0) < rule.n_min_trials:
            return False
        return progress.best > quantile(values, self._share)

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

    def withdraw(self, course: Course) -> None:
        self._running.pop(course.number, None)


def quantile(values: array[float], share: float) -> float:
    """Return a quantile of sorted values, between two of them in proportion, rounded as NumPy's is."""
    place = (len(values) - 1) * share
    below = math.floor(place)
    part = place - below
    low, high = values[below], values[min(below + 1, len(values) - 1)]
    if low == high:  # also where both are infinite
        return low
    return high - (high - low) * (1 - part) if part >= 0.5 else low + (high - low) * part
