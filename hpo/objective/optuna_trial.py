"""What a function's trial has of `optuna.Trial`, so that an objective which was written for Optuna runs unchanged."""

from __future__ import annotations

import copy
import datetime
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo.events import Channel
from hpo.objective.steps import StepScale
from hpo.objective.suggestions import Suggestions, as_optunas
from hpo.objective.tracked import TrackedParams
from hpo.spec.faults import Fault
from hpo.spec.plain import plain, shown

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class StudyInSight:
    """What a trial knows of its study (Optuna's `trial.study`): its direction. Raises AttributeError for all else."""

    def __init__(self, goal: str) -> None:
        self._goal = goal

    @property
    def direction(self) -> Any:
        from optuna.study import StudyDirection

        return StudyDirection[self._goal.upper()] if self._goal else StudyDirection.NOT_SET

    @property
    def directions(self) -> list[Any]:
        return [self.direction]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"trial.study.{name} can't be had here: trials run in workers, and the study is the driver's. Look at it "
            f"afterwards with hpo.load or optuna.load_study; a sweep is ended by metric.target or by `budget`"
        )


class OptunaTrial:
    """The methods of Optuna's trial.

    suggest_float, suggest_int, suggest_categorical: as Optuna's, the deprecated ones too. Raise ValueError for what
    Optuna refuses, and for what the study can't keep: a name that has another kind or other choices in another trial,
    a choice that is no plain value.
    """

    def __init__(
        self, number: int, params: TrackedParams, channel: Channel, steps: StepScale, by_run: bool, goal: str
    ) -> None:
        """by_run: the sweep file has no `parameters`. goal: of the sweep's metric."""
        self._suggestions = Suggestions(number, params, channel, by_run, steps)
        self._user_attrs: dict[str, Any] = {}
        self._prune = False  # what the last report was answered
        self._looked = False  # whether the code asked for that
        self.datetime_start = datetime.datetime.now()
        self.study = StudyInSight(goal)
        as_optunas(OptunaTrial)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Ask for a number from low to high, both ends in; step: counted from low; log: by order of magnitude."""
        from optuna.distributions import FloatDistribution

        return float(self._suggestions.number(name, FloatDistribution(low, high, log=bool(log), step=step)))

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """Ask for a number: Optuna's older word for suggest_float."""
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """Ask for a number by order of magnitude: Optuna's older word."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """Ask for a number in steps of q: Optuna's older word."""
        return self.suggest_float(name, low, high, step=q)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Ask for a whole number from low to high, both ends in."""
        from optuna.distributions import IntDistribution

        return int(self._suggestions.number(name, IntDistribution(low, high, log=bool(log), step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Ask for one of these choices: plain values, or lists of them."""
        return self._suggestions.choice(name, choices)

    def answered(self, prune: bool) -> None:
        """Take in what the driver said to a report of Optuna's kind: whether the trial should stop."""
        self._prune, self._looked = prune, False

    @property
    def overrun(self) -> bool:
        """Whether the trial should have stopped at its last report, and its code did not even ask."""
        return self._prune and not self._looked

    def should_prune(self) -> bool:
        """Whether the trial should stop, by what it reported last: raise optuna.TrialPruned then. The sweep file's
        `early_terminate` decides, and its limits of time do."""
        self._looked = True
        return self._prune

    def set_user_attr(self, key: str, value: Any) -> None:
        """Record a fact of the trial, at its end. Numbers of NumPy and Torch are plain ones, and what is not finite is
        text (`"nan"`), which every reader of JSON takes. Raises TypeError for what is neither number, text, list nor
        mapping."""
        if not isinstance(key, str):
            raise TypeError(f"a user attribute's name must be text, but got {shown(key)}")
        faults: list[Fault] = []
        recorded = _finite(plain(value, (), faults))
        for fault in faults:
            raise TypeError(f"the user attribute {key!r} can't be recorded: it {fault.message}")
        self._user_attrs[key] = recorded

    @property
    def asks_as_optuna(self) -> bool:
        """Whether the code asks for its hyperparameters as it would ask Optuna."""
        return self._suggestions.used

    @property
    def user_attrs(self) -> dict[str, Any]:
        """A copy of what set_user_attr was given."""
        return copy.deepcopy(self._user_attrs)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What was asked for so far, as Optuna has it."""
        return self._suggestions.distributions

    @property
    def constraints(self) -> dict[str, float]:
        """Always empty: no search method here knows constraints."""
        return {}

    def set_constraint(self, key: str, value: float) -> None:
        """Raises NotImplementedError: no search method here knows constraints."""
        raise NotImplementedError(
            "constraints are not searched by here: raise optuna.TrialPruned for what is not feasible, or add a penalty "
            "to the value"
        )


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    return [_finite(entry) for entry in value] if isinstance(value, list) else value


def value_and_step(positional: Sequence[Any], named: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """Return the arguments of `trial.report` as Optuna has them, `report(value, step)`; None if it was called as ours:
    `report(step, metrics)`, `report(step, accuracy=0.9)`."""
    if len(positional) == 2 and not named and not isinstance(positional[1], Mapping | None):
        return positional[0], positional[1]
    if len(positional) == 1 and named.keys() == {"step"}:
        return positional[0], named["step"]
    if not positional and named.keys() == {"value", "step"}:
        return named["value"], named["step"]
    return None
