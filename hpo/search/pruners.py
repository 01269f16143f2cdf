"""The rules of early stopping by the names that sweep files use, and the steps at which each must be asked."""

from __future__ import annotations

from functools import singledispatch

from hpo.events import DecisionSteps
from hpo.search.halving import AshaStopper, HyperbandStopper
from hpo.search.patience import PatienceStopper
from hpo.search.percentile import PercentileStopper
from hpo.search.stopper import NeverStop, Stopper
from hpo.spec.grammar import Asha, Hyperband, Median, NoStop, Patience
from hpo.spec.stopping import first_rung, rungs
from hpo.spec.sweep import EarlyTerminate


def make_stopper(rule: EarlyTerminate, name: str, max_epochs: int | None) -> Stopper:
    """Return the stopper for an `early_terminate` section. max_epochs: of any trial, None if unknown."""
    return _build(rule, name, max_epochs)


@singledispatch
def _build(rule: object, name: str, max_epochs: int | None) -> Stopper:
    raise TypeError(f"no stopper for {rule!r}")


@_build.register
def _(rule: NoStop, name: str, max_epochs: int | None) -> Stopper:
    return NeverStop()


@_build.register
def _(rule: Asha, name: str, max_epochs: int | None) -> Stopper:
    return AshaStopper(first_rung(rule), rule.eta)


@_build.register
def _(rule: Hyperband, name: str, max_epochs: int | None) -> Stopper:
    return HyperbandStopper(name, first_rung(rule), rule.max_iter or max_epochs, rule.eta)


@_build.register
def _(rule: Median, name: str, max_epochs: int | None) -> Stopper:
    return PercentileStopper(rule)


@_build.register
def _(rule: Patience, name: str, max_epochs: int | None) -> Stopper:
    return PatienceStopper(rule.patience, rule.min_delta)


def decision_steps(rule: EarlyTerminate, max_epochs: int | None) -> DecisionSteps:
    """Return the steps at which a worker must wait for the stopper's word.

    max_epochs: of a Torch task, which reports after each epoch; None for a function or a program, which counts as it
    likes and may step over a rung, so that every step decides.
    """
    if isinstance(rule, NoStop):
        return DecisionSteps()
    if isinstance(rule, Asha | Hyperband) and max_epochs is not None:
        return DecisionSteps(steps=frozenset(rungs(rule, max_epochs)))
    return DecisionSteps(every=True)
