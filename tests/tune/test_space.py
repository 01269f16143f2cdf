"""What a StudySearcher is given: other spaces are taken over exactly or refused, and so are keys that Tune decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from ray import tune

from hpo.spec.faults import SpecError
from hpo.spec.space import Categorical, Constant, Domain, Range
from hpo.tune.space import flat, nested
from hpo.tune.sweep import build_sweep, wanted, with_parameters

KEYS: dict[str, Any] = {"name": "small", "metric": {"name": "score", "goal": "maximize"}}


@pytest.mark.parametrize(
    ("given", "domain"),
    [
        (tune.uniform(0, 1), Range(0.0, 1.0)),
        (tune.loguniform(1e-5, 1e-1), Range(1e-5, 1e-1, log=True)),
        (tune.quniform(0.1, 1.0, 0.1), Range(0.1, 1.0, step=0.1)),
        (tune.qloguniform(0.1, 10.0, 0.1), Range(0.1, 10.0, log=True, step=0.1)),
        (tune.randint(1, 10), Range(1, 9, integer=True)),
        (tune.qrandint(2, 10, 2), Range(2, 10, integer=True, step=2)),
        (tune.lograndint(1, 100), Range(1, 99, log=True, integer=True)),
        (tune.randint(3, 4), Constant(3)),
        (tune.choice(["a", 1, None, True, (64, 32)]), Categorical(("a", 1, None, True, [64, 32]))),
        (FloatDistribution(0, 1, step=0.25), Range(0.0, 1.0, step=0.25)),
        (FloatDistribution(1e-5, 1, log=True), Range(1e-5, 1.0, log=True)),
        (IntDistribution(1, 9, step=2), Range(1, 9, integer=True, step=2)),
        (IntDistribution(1, 64, log=True), Range(1, 64, log=True, integer=True)),
        (CategoricalDistribution(["a", 1.5]), Categorical(("a", 1.5))),
    ],
)
def test_a_foreign_parameter_has_the_same_values_here(given: Any, domain: Domain) -> None:
    sweep = build_sweep(with_parameters(wanted(None, {**KEYS, "parameters": {"p": given}}), {}))
    assert sweep.space["p"].domain == domain


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (tune.grid_search([1, 2]), "parameters.p: tune.grid_search multiplies trials .*method='grid'"),
        (tune.sample_from(lambda spec: 1), "parameters.p: tune.sample_from draws what the study does not see"),
        (tune.randn(0, 1), "no counterpart of a normal distribution"),
        ([tune.uniform(0, 1)], "a list can't hold parameters"),
    ],
)
def test_what_can_not_be_said_exactly_is_refused(given: Any, message: str) -> None:
    space = {"p": given, "q": tune.uniform(0, 1)}
    with pytest.raises(SpecError, match=message):
        with_parameters(wanted(None, KEYS), space)


def test_nested_names_and_constants() -> None:
    space = {"net": {"width": tune.choice([8, 16]), "depth": 2, "norm": None}, "data": {1, 2}, "sizes": [1, 2]}
    given = wanted(None, {**KEYS, "baselines": [{"net": {"width": 8}}], "forbid": [{"net/width": 9}]})
    with pytest.raises(SpecError, match=r"forbid.0..net/width: the condition can never hold"):
        build_sweep(with_parameters(given, space))
    sweep = build_sweep(with_parameters(wanted(None, {**KEYS, "baselines": [{"net": {"width": 8}}]}), space))
    assert sweep.space.names() == ["net/width", "net/depth", "net/norm", "sizes"]
    (baseline,) = sweep.baselines
    assert baseline == {"net/width": 8, "net/depth": 2, "net/norm": None, "sizes": [1, 2]}
    assert flat(nested(baseline)) == baseline and nested(baseline)["net"] == {"width": 8, "depth": 2, "norm": None}


def test_what_tune_decides_is_refused_as_a_key_and_left_out_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "objective: mine\nmetric: {name: score}\nbudget: {trials: 3, seconds: 9}\nengine: {workers: 2}\n"
        "parameters: {x: {min: 0.0, max: 1.0}}\n"
    )
    given = wanted(path, {"metric": KEYS["metric"]})
    assert given.left_out == ("objective", "engine", "budget.seconds")
    sweep = build_sweep(with_parameters(given, {}))
    assert (sweep.name, sweep.metric.goal, sweep.budget.trials) == ("sweep", "maximize", 3)
    with pytest.raises(SpecError) as caught:
        wanted(None, {**KEYS, "objective": "mine", "budget": {"trials": 3, "trial_seconds": 5}, "engine": {}})
    assert str(caught.value).count("under Ray Tune") == 3
    with pytest.raises(SpecError, match="the study has no name"):
        wanted(None, {"metric": KEYS["metric"]})
    with pytest.raises(SpecError, match="unknown key 'sampler'"):
        build_sweep(with_parameters(wanted(None, {**KEYS, "sampler": "tpe"}), {"x": tune.uniform(0, 1)}))
