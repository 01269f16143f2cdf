"""Stopping a trial that no longer gets better."""

from __future__ import annotations

import math
from collections import deque
from typing import ClassVar, Literal

from pydantic import Field

from hpo.section import Natural, NotNegative
from hpo.stopping.base import Course, StoppingKeys, StoppingRule


class PatienceKeys(StoppingKeys):
    """Stop when the metric has not improved by `min_delta` for `patience` epochs."""

    type: Literal["patience"]
    within_trial: ClassVar[bool] = True
    patience: Natural = Field(5, description="reports that are waited for something better")
    min_delta: NotNegative = Field(0.0, description="what is not better by more than this is not better")

    def rule(self, study: str, max_epochs: int | None) -> StoppingRule:
        return PatienceRule(self.patience, self.min_delta)

    def remarks(self, max_epochs: int | None) -> list[str]:
        if max_epochs is None or max(1, self.patience) + 1 < max_epochs:
            return []
        return [f"patience never stops a trial: patience={self.patience} with {max_epochs} epochs"]

    def in_words(self, max_epochs: int | None) -> str:
        better = f" by more than {self.min_delta:g}" if self.min_delta else ""
        return f"patience: a trial stops whose metric has not improved{better} for {max(1, self.patience)} reports"


class PatienceRule(StoppingRule):
    """Stops a trial whose best value has not improved by more than `min_delta` within its last `patience` reports.

    Optuna's PatientPruner goes by another rule: it lets a trial that stays level go on, and only stops one that got
    worse by `min_delta`. A NaN is no improvement.
    """

    def __init__(self, patience: int, min_delta: float) -> None:
        self._patience = max(1, patience)
        self._min_delta = min_delta
        self._bests: dict[int, deque[float]] = {}  # running trials: the best so far at each of the latest reports

    def report(self, course: Course, step: int, value: float) -> None:
        bests = self._bests.setdefault(course.number, deque(maxlen=self._patience + 1))
        best = bests[-1] if bests else math.inf
        bests.append(value if value < best else best)

    def stops(self, course: Course) -> bool:
        bests = self._bests.get(course.number)
        return bests is not None and len(bests) > self._patience and bests[-1] >= bests[0] - self._min_delta

    def end(self, course: Course, complete: bool) -> None:
        self._bests.pop(course.number, None)

    def withdraw(self, course: Course) -> None:
        self.end(course, complete=False)
