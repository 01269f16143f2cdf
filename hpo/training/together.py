"""Trainees side by side: where the members of a trial can't all be in one stack, they train in lock-step still."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo.training.epochs import Measured, Trainee

if TYPE_CHECKING:
    from hpo.training.run import Run


class Together:
    """Several trainees as one; implements hpo.training.epochs.Trainee."""

    def __init__(self, parts: Sequence[Trainee]) -> None:
        self._parts = list(parts)
        self._began = company(self.runs)

    @property
    def runs(self) -> Sequence[Run]:
        return [run for part in self._parts for run in part.runs]

    @property
    def info(self) -> Mapping[str, Any]:
        return {"cohort": trials_among(self.runs), **self._began}

    def train_epoch(self) -> Measured:
        return [metrics for part in self._parts for metrics in part.train_epoch()]

    def validate(self) -> Measured:
        return [metrics for part in self._parts for metrics in part.validate()]

    def examined(self) -> Sequence[Mapping[str, float]]:
        return [figures for part in self._parts for figures in part.examined()]

    def state_of(self, run: Run) -> Mapping[str, Any]:
        return self._part_of(run).state_of(run)

    def settle(self, run: Run) -> None:
        self._part_of(run).settle(run)

    def leave(self, numbers: Collection[int]) -> None:
        for part in self._parts:
            part.leave(numbers)
        self._parts = [part for part in self._parts if part.runs]

    def _part_of(self, run: Run) -> Trainee:
        return next(part for part in self._parts if run in part.runs)


def company(runs: Sequence[Run]) -> dict[str, Any]:
    """Return what the end of a trial says of a stack that begins: its trials in their order, and the epochs that each
    had completed, if any had."""
    completed = {run.trial.number: run.completed for run in runs}
    from_ = {"stack_from": list(completed.values())} if any(completed.values()) else {}
    return {"stack": list(completed), **from_}


def trials_among(runs: Sequence[Run]) -> int:
    """Return how many trials the runs belong to."""
    return len({run.trial.number for run in runs})
