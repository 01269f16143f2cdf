"""Parameters that are asked for one by one: the same as Optuna's own study has them."""

from __future__ import annotations

import dataclasses
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from hpo.search.searcher import Searcher
from hpo.spec.space import Categorical, Parameter, Range, Space
from hpo.spec.sweep import Sweep, Traits

from .support import sweep_of

TRIALS = 40
KIND = Parameter("kind", Categorical(("near", "far")))
X = Parameter("x", Range(0.0, 1.0))
DEPTH = Parameter("depth", Range(1, 9, integer=True))


def define_by_run(method: str) -> Sweep:
    sweep = sweep_of(Space(()), method, seed=3, duplicates="replicate")
    return dataclasses.replace(sweep, traits=Traits(define_by_run=True))


def value(ask: Any) -> float:
    """An objective whose space depends on what it asks for first, and whose ranges change."""
    if ask(KIND) == "near":
        return 1 - abs(ask(X) - 0.3)
    return ask(DEPTH) / 20 + ask(Parameter("y", Range(0.0, 1.0 + (ask(DEPTH) > 5))))


def of_optuna(trial: optuna.Trial) -> Any:
    def ask(parameter: Parameter) -> Any:
        domain = parameter.domain
        if isinstance(domain, Categorical):
            return trial.suggest_categorical(parameter.name, list(domain.values))
        assert isinstance(domain, Range)
        if domain.integer:
            return trial.suggest_int(parameter.name, int(domain.low), int(domain.high))
        return trial.suggest_float(parameter.name, domain.low, domain.high)

    return ask


def run(searcher: Searcher, number: int, given: dict[str, Any] | None = None) -> dict[str, Any]:
    if given is not None:
        searcher.enqueue(given)
    proposal = searcher.propose()
    assert proposal is not None and proposal.params == {}
    searcher.begin(proposal.key, number, None)
    had: dict[str, Any] = {}

    def ask(parameter: Parameter) -> Any:
        if parameter.name not in had:
            had[parameter.name] = searcher.suggest(proposal.key, parameter)
        return had[parameter.name]

    searcher.finish(proposal.key, TrialState.COMPLETE, value(ask))
    return had


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("method", ["tpe", "random", "nsga2"])
def test_the_same_as_optunas_own(method: str) -> None:
    searcher = Searcher(define_by_run(method))
    found = [run(searcher, number) for number in range(TRIALS)]
    seed = 3 * 1_000_003
    samplers: dict[str, Any] = {
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True),
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=seed),
    }
    study = optuna.create_study(direction="maximize", sampler=samplers[method]())
    study.optimize(lambda trial: value(of_optuna(trial)), TRIALS)
    assert found == [trial.params for trial in study.trials]
    assert len({tuple(params) for params in found}) == 2  # both branches


@pytest.mark.parametrize("method", ["tpe", "random", "gp", "cmaes", "nsga2", "qmc"])
def test_every_method_takes_a_space_that_shows_itself(method: str) -> None:
    searcher = Searcher(define_by_run(method))
    for number in range(14):
        had = run(searcher, number)
        assert had.keys() == ({"kind", "x"} if had["kind"] == "near" else {"kind", "depth", "y"})


def test_what_repeats_a_trial_gets_what_that_had() -> None:
    searcher = Searcher(define_by_run("tpe"))
    assert run(searcher, 0, {"kind": "far", "depth": 2, "y": 0.25}) == {"kind": "far", "depth": 2, "y": 0.25}
    partly = run(searcher, 1, {"kind": "near"})  # interrupted before it had asked for more
    assert partly["kind"] == "near" and 0 <= partly["x"] <= 1
    outside = run(searcher, 2, {"kind": "near", "x": 5.0})  # the code was changed meanwhile
    assert outside["kind"] == "near" and 0 <= outside["x"] <= 1


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_same_while_trials_have_asked_for_a_part_only() -> None:
    """Three at a time, which take turns in asking."""
    searcher = Searcher(define_by_run("tpe"))
    sampler = optuna.samplers.TPESampler(seed=3 * 1_000_003, multivariate=True, group=True, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    names = [Parameter(name, Range(0.0, 1.0)) for name in ("a", "b", "c")]
    for first in range(0, 36, 3):
        proposals = [searcher.propose() for _ in range(3)]
        trials = [study.ask() for _ in range(3)]
        sums = [0.0, 0.0, 0.0]
        for number, proposal in enumerate(proposals, first):
            assert proposal is not None
            searcher.begin(proposal.key, number, None)
        for parameter in names:
            for place, (proposal, trial) in enumerate(zip(proposals, trials, strict=True)):
                assert proposal is not None
                value = searcher.suggest(proposal.key, parameter)
                assert value == trial.suggest_float(parameter.name, 0.0, 1.0), (first, place, parameter.name)
                sums[place] += value
        for proposal, trial, total in zip(proposals, trials, sums, strict=True):
            assert proposal is not None
            searcher.finish(proposal.key, TrialState.COMPLETE, total)
            study.tell(trial, total)
