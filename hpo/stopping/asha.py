"""Asynchronous successive halving, decided for all trials that stand at a rung together."""

from __future__ import annotations

import math
from abc import abstractmethod
from array import array
from bisect import bisect_left, insort
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from hpo.events import DecisionSteps
from hpo.section import Count
from hpo.stopping.base import Course, StoppingKeys, StoppingRule, take_out


class HalvingKeys(StoppingKeys):
    """Successive halving: what ASHA and Hyperband have in common. Rung k is at `first_rung * eta**k` epochs."""

    eta: int = Field(3, ge=2, le=1000, description="the best 1/eta of a rung go on")

    @property
    @abstractmethod
    def first_rung(self) -> int: ...

    def rungs(self, max_epochs: int) -> list[int]:
        """Return the epochs of the rungs below `max_epochs`."""
        steps = [self.first_rung]
        while steps[-1] * self.eta < max_epochs:
            steps.append(steps[-1] * self.eta)
        return [step for step in steps if step < max_epochs]

    def decision_steps(self, max_epochs: int | None) -> DecisionSteps:
        if max_epochs is None:  # a trial may step over a rung: whatever it reports next, it stands there
            return DecisionSteps(every=True)
        return DecisionSteps(steps=frozenset(self.rungs(max_epochs)))

    def remarks(self, max_epochs: int | None) -> list[str]:
        if max_epochs is None or self.rungs(max_epochs):
            return []
        return [f"{self.type} never stops a trial: min_iter={self.first_rung} with {max_epochs} epochs"]

    def in_words(self, max_epochs: int | None) -> str:
        if max_epochs is None:
            return self.type
        steps = ", ".join(map(str, self.rungs(max_epochs))) or "none"
        return f"{self.type}: after epochs {steps} about the best 1/{self.eta} go on"


class AshaKeys(HalvingKeys):
    """Asynchronous successive halving (Li et al., 2018)."""

    type: Literal["asha"]
    min_iter: Count = Field(1, description="epochs at the first rung")

    @property
    def first_rung(self) -> int:
        return self.min_iter

    def lasting(self, max_epochs: int) -> list[tuple[int, float]]:
        return [(step, self.eta ** -(rung + 1)) for rung, step in enumerate(self.rungs(max_epochs))]

    def rule(self, study: str, max_epochs: int | None) -> StoppingRule:
        return AshaRule(self.first_rung, self.eta)


@dataclass
class Climb:
    """How far up the rungs a trial has come."""

    origin: int  # of the trial
    rung: int = -1  # the highest that it stands at
    passed: int = -1  # the highest that it was let past
    counted: dict[int, tuple[int, float]] = field(default_factory=dict)  # for each rung: a step, and the value there


class AshaRule(StoppingRule):
    """Asynchronous successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020), as
    Optuna has it: a trial that may not go on stops, instead of waiting for the rung to fill.

    At a rung, a trial goes on if it is among the best 1/eta of all that have reported there so far, those that arrive
    with it included; of fewer than eta, the best one goes on. Rung k is at `first * eta**k`, and a trial stands at it
    with the value of its first step from there on. One that steps over several rungs at once stands at the highest of
    them only (Optuna would have it pass them all with the one value). A NaN stops and is compared with nothing.

    Who goes on depends on who came before: a trial that runs again in another order of arrivals may fare otherwise.
    """

    def __init__(self, first: int, eta: int) -> None:
        self._first = first
        self._eta = eta
        self._values: dict[tuple[int, int], array[float]] = {}  # at each bracket's rungs, sorted
        self._climbs: dict[int, Climb] = {}  # of running trials

    def _bracket(self, origin: int) -> int | None:
        """Return a trial's bracket, whose lowest rung has the same number; None if that is not known yet. Here there is
        but one."""
        return 0

    def report(self, course: Course, step: int, value: float) -> None:
        rung = self._rung(step)
        if rung < 0:
            return
        climb = self._climbs.setdefault(course.number, Climb(course.origin))
        if (known := climb.counted.get(rung)) is not None:
            if known[0] < step:
                return
            self._discard(course.origin, rung, known[1])
        climb.counted[rung] = step, value
        climb.rung = max(climb.rung, rung)
        self._count(course.origin, rung, value)

    def _rung(self, step: int) -> int:
        """Return the highest rung at or below a step; -1 below the first."""
        rung, at = -1, self._first
        while at <= step:
            rung, at = rung + 1, at * self._eta
        return rung

    def _count(self, origin: int, rung: int, value: float) -> None:
        bracket = self._bracket(origin)
        if bracket is not None and rung >= bracket and not math.isnan(value):
            insort(self._values.setdefault((bracket, rung), array("d")), value)

    def _discard(self, origin: int, rung: int, value: float) -> None:
        bracket = self._bracket(origin)
        if bracket is not None and rung >= bracket and not math.isnan(value):
            values = self._values[bracket, rung]
            del values[bisect_left(values, value)]

    def stops(self, course: Course) -> bool:
        climb, bracket = self._climbs.get(course.number), self._bracket(course.origin)
        if climb is None or bracket is None or climb.rung < bracket or climb.rung == climb.passed:
            return False
        _, value = climb.counted[climb.rung]
        if math.isnan(value):
            return True
        values = self._values[bracket, climb.rung]
        if value > values[max(1, len(values) // self._eta) - 1]:
            return True
        climb.passed = climb.rung
        return False

    def end(self, course: Course, complete: bool) -> None:
        self._climbs.pop(course.number, None)

    @contextmanager
    def _without(self, course: Course, complete: bool) -> Iterator[None]:
        bracket = self._bracket(course.origin)
        stood: dict[int, float] = {}  # at each rung
        for step, value in sorted(course.values.items()):
            stood.setdefault(self._rung(step), value)
        lists = self._values
        out = [
            (rung, value)
            for rung, value in stood.items()
            if bracket is not None and take_out(lists.get((bracket, rung), array("d")), value)
        ]
        try:
            yield
        finally:
            for rung, value in out:
                insort(lists[bracket or 0, rung], value)

    def withdraw(self, course: Course) -> None:
        climb = self._climbs.pop(course.number, Climb(course.origin))
        for rung, (_, value) in climb.counted.items():
            self._discard(climb.origin, rung, value)
