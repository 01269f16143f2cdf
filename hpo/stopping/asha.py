"""Asynchronous successive halving, decided for all trials that stand at a rung together."""

from __future__ import annotations

import math
from abc import abstractmethod
from array import array
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field, PositiveInt

from hpo.events import DecisionSteps
from hpo.stopping.base import Course, StoppingKeys, StoppingRule


class HalvingKeys(StoppingKeys):
    """Successive halving: what ASHA and Hyperband have in common. Rung k is at `first_rung * eta**k` epochs."""

    eta: int = Field(3, ge=2, description="the best 1/eta of a rung go on")

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
    min_iter: PositiveInt = Field(1, description="epochs at the first rung")

    @property
    def first_rung(self) -> int:
        return self.min_iter

    def rule(self, study: str, max_epochs: int | None) -> StoppingRule:
        return AshaRule(self.first_rung, self.eta)


@dataclass
class _Standing:
    """Where a running trial stands."""

    rung: int = -1
    value: float = math.nan
    due: bool = False  # it has not yet been let past this rung
    counted: list[tuple[int, float]] = field(default_factory=list)  # its values among those of the rungs


class AshaRule(StoppingRule):
    """Asynchronous successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020), as
    Optuna has it: a trial that may not go on stops, instead of waiting for the rung to fill.

    At a rung, a trial goes on if it is among the best 1/eta of all that have reported there so far, those that arrive
    with it included; of fewer than eta, the best one goes on. Rung k is at `first * eta**k`, and a trial stands at it
    with the first value that it reports from there on. One that steps over several rungs at once stands at the highest
    of them only (Optuna would have it pass them all with the one value). A NaN stops and is compared with nothing.
    """

    def __init__(self, first: int, eta: int) -> None:
        self._first = first
        self._eta = eta
        self._rungs: list[array[float]] = []  # the values at each, sorted
        self._standings: dict[int, _Standing] = {}  # of running trials

    def report(self, course: Course, step: int, value: float) -> None:
        rung = self._rung(step)
        if rung < 0:
            return
        standing = self._standings.setdefault(course.number, _Standing())
        if rung <= standing.rung:
            return
        standing.rung, standing.value, standing.due = rung, value, True
        if not math.isnan(value):
            self._rungs += [array("d") for _ in range(len(self._rungs), rung + 1)]
            insort(self._rungs[rung], value)
            standing.counted.append((rung, value))

    def _rung(self, step: int) -> int:
        """Return the highest rung at or below a step; -1 below the first."""
        rung, at = -1, self._first
        while at <= step:
            rung, at = rung + 1, at * self._eta
        return rung

    def stops(self, course: Course) -> bool:
        standing = self._standings.get(course.number)
        if standing is None or not standing.due:
            return False
        if math.isnan(standing.value):
            return True
        values = self._rungs[standing.rung]
        bound = values[max(1, len(values) // self._eta) - 1]
        standing.due = standing.value > bound  # who goes on does so to the next rung
        return standing.due

    def end(self, course: Course, complete: bool) -> None:
        self._standings.pop(course.number, None)

    def withdraw(self, course: Course) -> None:
        for rung, value in self._standings.pop(course.number, _Standing()).counted:
            del self._rungs[rung][bisect_left(self._rungs[rung], value)]
