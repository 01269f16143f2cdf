"""Optuna's pruners by the names that sweep files use, and the steps at which each must be asked."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.study import StudyDirection

from hpo.events import DecisionSteps
from hpo.spec.grammar import Asha, Hyperband, Median, NoStop, Patience, Percentile
from hpo.spec.stopping import first_rung, rungs
from hpo.spec.sweep import EarlyTerminate

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


def make_pruner(rule: EarlyTerminate, max_epochs: int | None) -> BasePruner:
    """Return Optuna's pruner for an `early_terminate` section. max_epochs: of any trial, None if unknown."""
    return _build(rule, max_epochs)


class PatiencePruner(BasePruner):
    """Stops a trial whose best value has not improved by more than `min_delta` within its last `patience` reports.

    Optuna's PatientPruner goes by another rule: it lets a trial that stays level go on, and only stops one that got
    worse by `min_delta`.
    """

    def __init__(self, patience: int, min_delta: float) -> None:
        self._patience = max(1, patience)
        self._min_delta = min_delta

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
        scores = [sign * value for _, value in sorted(trial.intermediate_values.items())]
        before, recent = scores[: -self._patience], scores[-self._patience :]
        return bool(before) and max(recent) <= max(before) + self._min_delta


@singledispatch
def _build(rule: object, max_epochs: int | None) -> BasePruner:
    raise TypeError(f"no pruner for {rule!r}")


@_build.register
def _(rule: NoStop, max_epochs: int | None) -> BasePruner:
    return NopPruner()


@_build.register
def _(rule: Asha, max_epochs: int | None) -> BasePruner:
    return SuccessiveHalvingPruner(min_resource=rule.min_iter, reduction_factor=rule.eta)


@_build.register
def _(rule: Hyperband, max_epochs: int | None) -> BasePruner:
    most = rule.max_iter or max_epochs
    return HyperbandPruner(
        min_resource=first_rung(rule),
        max_resource=max(most, first_rung(rule)) if most else "auto",
        reduction_factor=rule.eta,
    )


@_build.register
def _(rule: Median, max_epochs: int | None) -> BasePruner:
    return MedianPruner(rule.n_startup_trials, rule.n_warmup_steps, rule.interval_steps, n_min_trials=rule.n_min_trials)


@_build.register
def _(rule: Percentile, max_epochs: int | None) -> BasePruner:
    return PercentilePruner(
        rule.percentile, rule.n_startup_trials, rule.n_warmup_steps, rule.interval_steps, n_min_trials=rule.n_min_trials
    )


@_build.register
def _(rule: Patience, max_epochs: int | None) -> BasePruner:
    return PatiencePruner(rule.patience, rule.min_delta)


def decision_steps(rule: EarlyTerminate, max_epochs: int | None) -> DecisionSteps:
    """Return the steps at which a worker must wait for the pruner's word.

    max_epochs: of a Torch task, which reports after each epoch; None for a function or a program, which counts as it
    likes and may step over a rung, so that every step decides.
    """
    if isinstance(rule, NoStop):
        return DecisionSteps()
    if isinstance(rule, Asha | Hyperband) and max_epochs is not None:
        return DecisionSteps(steps=frozenset(rungs(rule, max_epochs)))
    return DecisionSteps(every=True)
