"""Optuna's pruners by the names that sweep files use, and the steps at which each must be asked."""

from __future__ import annotations

import warnings
from functools import singledispatch

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)

from hpo.events import DecisionSteps
from hpo.spec.grammar import Asha, Hyperband, Median, NoStop, Patience, Percentile
from hpo.spec.stopping import first_rung, rungs
from hpo.spec.sweep import EarlyTerminate


def make_pruner(rule: EarlyTerminate, max_epochs: int | None) -> BasePruner:
    """Return Optuna's pruner for an `early_terminate` section. max_epochs: of any trial, None if unknown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # PatientPruner
        return _build(rule, max_epochs)


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
    return PatientPruner(None, rule.patience, rule.min_delta)


def decision_steps(rule: EarlyTerminate, max_epochs: int | None) -> DecisionSteps:
    """Return the steps at which a worker must wait for the pruner's word.

    Where epochs are not known beforehand (a plain function counts as it likes), that is every step.
    """
    if isinstance(rule, NoStop):
        return DecisionSteps()
    if isinstance(rule, Asha | Hyperband) and max_epochs is not None:
        return DecisionSteps(steps=frozenset(rungs(rule, max_epochs)))
    return DecisionSteps(every=True)
