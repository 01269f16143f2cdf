"""No stopping."""

from __future__ import annotations

from typing import Literal

from hpo.events import DecisionSteps
from hpo.stopping.base import Course, StoppingKeys, StoppingRule


class NoStopKeys(StoppingKeys):
    """No trial is stopped."""

    type: Literal["none"]

    def rule(self, study: str, max_epochs: int | None) -> StoppingRule:
        return NoStopRule()

    def decision_steps(self, max_epochs: int | None) -> DecisionSteps:
        return DecisionSteps()

    def in_words(self, max_epochs: int | None) -> str:
        return "none: every trial trains to its end"


class NoStopRule(StoppingRule):
    """Lets every trial train to its end."""

    def report(self, course: Course, step: int, value: float) -> None:
        pass

    def stops(self, course: Course) -> bool:
        return False
