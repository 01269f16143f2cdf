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
