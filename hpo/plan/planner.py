"""The planner groups trials into assignments: what one worker trains at a time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hpo.events import Assignment, DecisionSteps, TrialSpec


class Planner:
    """Decides how many trials are asked for at once, and which of them form a cohort.

    Every trial is a cohort of its own so far; fused training changes this class, and nothing else above the workers.
    """

    def __init__(self, decision_steps: DecisionSteps) -> None:
        self._decision_steps = decision_steps
        self._ids = itertools.count()

    def wanted(self, idle_workers: int) -> int:
        """Return how many trials to ask the sampler for, so that the idle workers get something to do."""
        return idle_workers

    def plan(self, trials: Sequence[TrialSpec]) -> list[Assignment]:
        """Return assignments that hold each trial once, in the order in which they should start."""
        return [Assignment(next(self._ids), (trial,), self._decision_steps) for trial in trials]
