"""What a StudySearcher is given: other spaces are taken over exactly or refused, and so are keys that Tune decides."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from ray import tune

from hpo.spec.faults import SpecError
from hpo.spec.space import Categorical, Constant, Domain, Range
from hpo.tune.space import flat, nested
from hpo.tune.sweep import build_sweep, wanted, with_parameters


class Mode(enum.Enum):
    FAST = "fast"


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
        (tune.choice([np.int64(3), torch.tensor(4)]), Categorical((3, 4))),
        (tune.choice(np.array([1, 2])), Categorical((1, 2))),
        (tune.choice([np.str_("a"), np.bool_(True), (np.int8(1), "1")]), Categorical(("a", True, [1, "1"]))),
        (tune.choice([{"a": 1}, {"a": torch.tensor(True)}]), Categorical(({"a": 1}, {"a": True}))),
        (tune.choice([True, "true", 1]), Categorical((True, "true", 1))),
        (CategoricalDistribution([np.float64(0.5), 2]), Categorical((0.5, 2))),
        (tune.uniform(np.float32(0), torch.tensor(1.0)), Range(0.0, 1.0)),
        (tune.randint(np.int64(1), np.int64(10)), Range(1, 9, integer=True)),
        ({"values": (np.int64(1), np.int64(2))}, Categorical((1, 2))),
        ({"min": np.float64(0.0), "max": np.float32(1.0)}, Range(0.0, 1.0)),
        ({"value": np.array(5)}, Constant(5)),
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
        (
            tune.choice([1, np.array([1, 2])]),
            r"parameters.p: a choice must be .* got array\(\[1, 2\]\) \(write its tolist",
        ),
        (tune.choice([Path("a")]), r"got PosixPath\('a'\) \(write str\(path\)\)"),
        (tune.choice([Mode.FAST]), r"got <Mode.FAST: 'fast'> \(write Mode.FAST.value"),
        (tune.choice([np.ma.masked]), "a choice must be .* but got masked"),
        (tune.choice([{1: "a"}]), "a choice must have text as keys, but got 1"),
        (tune.choice([3, np.int64(3)]), "the value 3 is repeated"),
        (tune.choice([float("nan"), np.float32("nan")]), "nan is no choice"),
    ],
)
def test_what_can_not_be_said_exactly_is_refused(given: Any, message: str) -> None:
    space = {"p": given, "q": tune.uniform(0, 1)}
    with pytest.raises(SpecError, match=message):
        build_sweep(with_parameters(wanted(None, KEYS), space))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"baselines": [{"p": Path("a")}]}, r"baselines\[0\].p: must be .* got PosixPath"),
        ({"parameters": {"p": {"values": [1, Mode.FAST]}}}, r"parameters.p.values\[1\]: must be .* Mode.FAST.value"),
        ({"forbid": [{"p": np.array([1])}]}, r"forbid\[0\].p: must be .* \(write its tolist"),
        ({"seed": b"1"}, "seed: must be"),
        ({"points_to_evaluate": [{"p": 1}]}, r"points_to_evaluate: this is called baselines here"),
    ],
)
def test_keys_that_no_sweep_file_can_have(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        wanted(None, {**KEYS, **keys})


def test_numbers_of_numpy_and_torch_in_any_key() -> None:
    keys = {
        **KEYS, "baselines": [{"p": np.int64(3), "q": {"a": np.bool_(True)}}], "seed": np.uint32(7),
        "budget": {"trials": torch.tensor(5)}, "forbid": ({"p": np.int8(4)},),
    }  # fmt: skip
    space = {
        "p": tune.choice([3, 4]),
        "q": tune.choice([{"a": True}, {"a": 1}]),
        "c": np.float32(0.5),
        "o": np.zeros(2),
    }
    sweep = build_sweep(with_parameters(wanted(None, keys), space))
    assert repr(sweep.baselines) == "({'p': 3, 'q': {'a': True}, 'c': 0.5},)"
    assert repr((sweep.seed, sweep.budget.trials, sweep.space.forbid)) == "(7, 5, ({'p': 4},))"
    assert flat(nested(sweep.baselines[0]), sweep.space.names()) == sweep.baselines[0]
    assert "seed: 7" in sweep.text


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
        "objective: mine\nmetric: {name: loss}\nbudget: {trials: 3, seconds: 9}\nengine: {workers: 2}\n"
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
