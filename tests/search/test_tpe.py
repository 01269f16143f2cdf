"""The TPE that shares work between asks proposes what Optuna's proposes, number for number."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.trial import TrialState

from hpo.search import compat
from hpo.search.density import Density, axes_of, scaled
from hpo.search.distributions import distribution
from hpo.search.samplers import bound_of, make_sampler
from hpo.search.tpe import SharingTPESampler, _weights
from hpo.search.working_copy import WorkingCopy
from hpo.spec.space import Categorical, Parameter, Range, Space
from hpo.spec.sweep import Target

FLAT = Space(
    (
        Parameter("kind", Categorical(("a", "b", "c"))),
        Parameter("rate", Range(1e-5, 1e-1, log=True)),
        Parameter("share", Range(1000.0, 1001.0)),
        Parameter("size", Range(1, 64, integer=True)),
        Parameter("width", Range(8, 1024, integer=True, log=True)),
        Parameter("step", Range(0.0, 1.0, step=0.05)),
    )
)
TREE = Space((*FLAT.parameters, Parameter("momentum", Range(0.0, 0.99), {"kind": "a"})))
CHOICES = Space((Parameter("one", Categorical((1, 2, 3, 4, 5))), Parameter("two", Categorical((True, False)))))


def sharing(space: Space, shares: bool = True) -> SharingTPESampler:
    sampler = make_sampler("tpe", space, 3)
    assert isinstance(sampler, SharingTPESampler) and sampler._shares
    sampler._shares = shares
    return sampler


def proposals(sampler: TPESampler, space: Space, goal: Any, group: int, most: int) -> list[dict[str, Any]]:
    """Search with groups of trials that end in any order and state, while some of the groups before still run."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    copy, lot = WorkingCopy(space, Target("x", goal), sampler, bound_of("tpe"), 1), random.Random(7)
    asked, running = [], []
    while len(asked) < most:
        for _ in range(group):
            number, params = copy.ask()
            asked.append(params)
            running.append((number, params))
        lot.shuffle(running)
        for number, params in running[group // 2 :]:
            value = sum(v if isinstance(v, float) else len(str(v)) / 7 for v in params.values())
            state = lot.choice([TrialState.COMPLETE] * 3 + [TrialState.PRUNED] * 2 + [TrialState.FAIL])
            copy.end(number, state, value, lot.choice([None, (lot.randint(1, 3), value), (2, float("nan"))]))
        del running[group // 2 :]
    return asked


@pytest.mark.parametrize(
    ("space", "group", "goal", "most"),
    [
        (FLAT, 12, "maximize", 400),  # more than are kept
        (FLAT, 1, "minimize", 60),
        (TREE, 12, "minimize", 100),
        (TREE, 1, "maximize", 60),
        (CHOICES, 5, "minimize", 60),  # full of ties
    ],
)
def test_the_proposals_are_those_of_optuna(space: Space, group: int, goal: str, most: int) -> None:
    ours, theirs = (proposals(sharing(space, shares), space, goal, group, most) for shares in (True, False))
    assert ours == theirs


def test_with_another_optuna_nothing_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna, "__version__", "5.1.0")
    sampler = make_sampler("tpe", FLAT, 3)
    assert isinstance(sampler, SharingTPESampler)
    proposals(sampler, FLAT, "minimize", 4, 24)
    assert not sampler._fits


def test_densities_are_those_of_optuna() -> None:
    sampler, lot = sharing(FLAT), random.Random(1)
    search_space = {p.name: d for p in FLAT.parameters if (d := distribution(p)) is not None}
    for count in (0, 1, 2, 40, 2500):
        drawn = [FLAT.draw(lot) for _ in range(count)]
        rows = [[search_space[name].to_internal_repr(params[name]) for name in search_space] for params in drawn]
        places = np.array(rows, dtype=float).reshape(count, len(search_space)).T.copy()
        observations = dict(zip(search_space, places.copy(), strict=True))
        theirs = _ParzenEstimator(observations, search_space, sampler._parzen_estimator_parameters)
        samples = theirs._mixture_distribution.sample(np.random.RandomState(5), 50)
        axes = axes_of(search_space)
        ours = Density(axes, scaled(axes, places), _weights(count)).log(samples)
        gap = ours - theirs.log_pdf(dict(zip(search_space, samples.T, strict=True)))
        # what all share is left out: for each parameter without steps, a factor of the normal density, and the width
        assert gap == pytest.approx(np.full(50, np.log(2 * np.pi * np.log(1e4))), abs=1e-8), count


def study_of(space: Space, trials: list[dict[str, Any]], values: list[float]) -> tuple[WorkingCopy, SharingTPESampler]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = sharing(space)
    copy = WorkingCopy(space, Target("x", "minimize"), sampler, bound_of("tpe"), 1)
    for params, value in zip(trials, values, strict=True):
        copy.end(copy.fix(params), TrialState.COMPLETE, value, None)
    return copy, sampler


def test_parameters_are_drawn_for_those_that_are_given() -> None:
    """Each kind has a good rate of its own. Optuna's own ask with a given value draws the rate as if the kind were
    open, so half of its draws would lie at the other kind's."""
    space = Space((Parameter("kind", Categorical(("a", "b"))), Parameter("rate", Range(1e-6, 1e-1, log=True))))
    good, lot = {"a": 1e-5, "b": 1e-2}, random.Random(3)
    trials = [{"kind": lot.choice("ab"), "rate": 10 ** lot.uniform(-6, -1)} for _ in range(200)]
    values = [abs(np.log10(params["rate"] / good[params["kind"]])) for params in trials]
    copy, _ = study_of(space, trials, values)
    for kind in "ab":
        drawn = [copy.ask(given={"kind": kind})[1] for _ in range(40)]
        assert {params["kind"] for params in drawn} == {kind}
        near = [abs(np.log10(params["rate"] / good[kind])) < 1 for params in drawn]
        assert sum(near) >= 36, kind


def test_kernels_weigh_as_much_as_they_make_the_given_values_likely() -> None:
    """The density of the others given some is the joint one over that of the given ones."""
    lot = random.Random(2)
    trials = [FLAT.draw(lot) for _ in range(80)]
    copy, sampler = study_of(FLAT, trials, [params["size"] + 10 * (params["kind"] == "c") for params in trials])
    copy.ask()
    (fit,) = sampler._fits.values()
    given = {"kind": "b", "width": 64}
    names = list(fit.search_space)
    columns = [names.index(name) for name in given]
    captured: list[Any] = []
    weighted = compat.weighted
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compat, "weighted", lambda *them: captured.append(weighted(*them)) or captured[-1])
        samples = sampler._samples(fit, fit.search_space, given)
    assert (samples[:, columns] == [1, 64]).all()
    kernels = np.array([  # of Optuna's own mixture: what each kernel gives to the given values
        np.exp(fit.mixture._replace(weights=np.eye(len(fit.mixture.weights))[k] + 1e-300).log_pdf(samples[:1])
               - only(fit.mixture, k, columns, samples[:1]))
        for k in range(len(fit.mixture.weights))
    ]).ravel()  # fmt: skip
    expected = fit.mixture.weights * kernels
    assert captured[0].weights == pytest.approx(expected / expected.sum(), rel=1e-6)


def only(mixture: Any, kernel: int, columns: list[int], samples: Any) -> Any:
    """Return the log density of one kernel in the other columns alone."""
    rest = [index for index in range(len(mixture.distributions)) if index not in columns]
    part = mixture._replace(
        weights=np.eye(len(mixture.weights))[kernel] + 1e-300, distributions=[mixture.distributions[i] for i in rest]
    )
    return part.log_pdf(samples[:, rest])


def test_what_is_given_holds_for_conditional_parameters_and_before_anything_is_learnt() -> None:
    copy, _ = study_of(TREE, [], [])
    for kind in "abc" * 8:
        number, params = copy.ask(given={"kind": kind, "size": 7})
        assert (params["kind"], params["size"]) == (kind, 7) and ("momentum" in params) == (kind == "a")
        copy.end(number, TrialState.COMPLETE, params["rate"], None)
    assert copy.ask(given={"kind": "a"})[1]["kind"] == "a"


def test_nothing_given_changes_nothing() -> None:
    trials = [FLAT.draw(random.Random(number)) for number in range(30)]
    copies = [study_of(FLAT, trials, [params["rate"] for params in trials])[0] for _ in range(2)]
    first = [copies[0].ask()[1] for _ in range(5)]
    second = [copies[1].ask(given={})[1] for _ in range(5)]
    assert first == second
