"""Which hyperparameters a Torch task never reads: found before its first trial, and none that it may read."""

from __future__ import annotations

import copy
import importlib
import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from string import Template
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import hpo
from hpo.events import Unread
from hpo.objective.tracked import Reads, TrackedParams
from hpo.objective.unread import unread_of
from hpo.spec.named import Named
from hpo.spec.space import Categorical, Constant, Parameter, Range, Space
from hpo.training.contract import applied_by_platform, contract_of
from hpo.training.models import MODEL_PARAMETERS

from .unread_support import DEPTH, DROPOUT, LR, UNITS, WIDE, Anything, Net, Task, look, plain


def test_a_fixed_model_reads_nothing():
    assert look(lambda params, features: plain(features), DROPOUT, UNITS, LR) == Unread(
        "Mine", ("dropout", "hidden_units")
    )


@pytest.mark.parametrize(
    "read",
    [
        lambda params: params["dropout"],
        lambda params: params.get("dropout", 0.0),
        lambda params: params.pop("dropout"),
        lambda params: copy.copy(params)["dropout"],
        lambda params: copy.deepcopy(params)["dropout"],
        lambda params: params.copy()["dropout"],
        lambda params: dict(params)["dropout"],
        lambda params: {**params}["dropout"],
        lambda params: ({} | params)["dropout"],
        lambda params: (params | {"a": 1})["dropout"],
        lambda params: SimpleNamespace(**params).dropout,
        lambda params: pickle.loads(pickle.dumps(params))["dropout"],
        lambda params: next(value for key, value in params.items() if key == "dropout"),
        lambda params: next(params[key] for key in params if key == "dropout"),
        lambda params: float(Template("$dropout").substitute(params)),
        lambda params: float("{dropout}".format_map(params)),
        lambda params: 0.5 if "dropout" in params else 0.0,
    ],
)
def test_what_is_read_is_no_fault_however_it_is_read(read: Callable[[Any], float]):
    assert look(lambda params, features: plain(features, dropout=read(params)), DROPOUT) is None


def test_match_reads():
    def model(params: Any, features: int) -> nn.Module:
        match params:
            case {"dropout": share}:
                return plain(features, dropout=share)
        raise AssertionError

    assert look(model, DROPOUT) is None


def test_what_is_read_under_a_condition_is_read_if_that_can_hold():
    def model(params: Any, features: int) -> nn.Module:
        return plain(features, dropout=params["dropout"] if params["hidden_layers"] > 2 else None)

    assert look(model, DROPOUT, DEPTH) is None
    shallow = Parameter("hidden_layers", Categorical((1, 2)))
    assert look(model, DROPOUT, shallow) == Unread("Mine", ("dropout",))
    assert look(model, DROPOUT, Parameter("hidden_layers", Constant(2))) == Unread("Mine", ("dropout",))
    assert look(model, DROPOUT, Parameter("hidden_layers", Constant(3))) is None


def test_conditions_in_conditions_are_followed_to_their_end():
    own = {name: hpo.Known("int", 0) for name in "abcd"}

    def model(params: Any, features: int) -> nn.Module:
        if params["a"] == 1 and params["b"] == 2 and params["c"] == 3:
            return plain(features, units=params["d"] + 1)
        return plain(features)

    numbers = [Parameter(name, Categorical((0, 1, 2, 3))) for name in "abcd"]
    assert look(model, *numbers, parameters=own) is None
    numbers[2] = Parameter("c", Categorical((0, 1, 2)))
    assert look(model, *numbers, parameters=own) == Unread("Mine", ("d",), own=frozenset("d"))


def test_a_conditional_parameter_is_looked_for_where_it_is_active():
    deep = Parameter("dropout", Range(0.0, 0.5), {"hidden_layers": 3})

    def model(params: Any, features: int) -> nn.Module:
        return plain(features, dropout=params["dropout"] if params["hidden_layers"] == 3 else None)

    assert look(model, DEPTH, deep) is None
    assert look(lambda params, features: plain(features, params["hidden_layers"]), DEPTH, deep) == Unread(
        "Mine", ("dropout",)
    )


def test_what_decides_whether_another_is_there_has_an_effect_by_that():
    own = {"use": hpo.Known("bool", True), "more": hpo.Known("choice", "a", choices=("a", "b"))}

    def model(params: Any, features: int) -> nn.Module:
        return plain(features, dropout=params.get("dropout"))

    gates = [Parameter("more", Categorical(("a", "b"))), Parameter("use", Categorical((True, False)), {"more": "a"})]
    dropout = Parameter("dropout", Range(0.0, 0.5), {"use": True})
    assert look(model, *gates, dropout, parameters=own) is None
    lr = Parameter("learning_rate", Range(0.001, 0.1), {"use": True})  # which the platform reads
    assert look(lambda params, features: plain(features), *gates, lr, parameters=own) is None
    found = look(lambda params, features: plain(features), *gates, dropout, parameters=own)
    assert found == Unread("Mine", ("more", "use", "dropout"), own=frozenset(own))
    units = [Parameter("hidden_layers", Constant(1)), UNITS]  # without a count hidden_units means nothing
    assert look(lambda params, features: plain(features, params["hidden_units"]), *units) is None


def test_a_model_that_reads_when_its_gradients_are_taken():
    class Late(nn.Module):
        def __init__(self, params: Any, features: int) -> None:
            super().__init__()
            self.layer = nn.Linear(features, 1)
            self.layer.weight.register_hook(lambda gradient: gradient * params["dropout"])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x).squeeze(1)

    assert look(Late, DROPOUT) is None


def test_a_constant_that_nobody_reads_is_a_setting_that_is_ignored():
    assert look(lambda params, features: plain(features), Parameter("dropout", Constant(0.3))) == Unread(
        "Mine", ("dropout",)
    )


def test_what_the_platform_does_itself_need_not_be_read():
    names = ("optimizer", "learning_rate", "batch_size", "loss", "initializer", "epochs", "schedule", "grad_clip_norm")
    values = ("adam", 0.1, 8, "bce", "he_normal", 3, "constant", 1.0)
    parameters = [Parameter(name, Constant(value)) for name, value in zip(names, values, strict=True)]
    threshold = Parameter("threshold_rule", Constant("best_f1"))
    assert look(lambda params, features: plain(features), *parameters, threshold) is None


def test_batch_reads_too():
    def batch(self: Any, x: torch.Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> torch.Tensor:
        return x + params["noise"] if generator is not None else x * params["zoom"]

    own = {name: hpo.Known("float", 1.0) for name in ("noise", "zoom", "blur")}
    parameters = [Parameter(name, Categorical((0.0, 1.0))) for name in own]
    found = look(lambda params, features: plain(features), *parameters, batch=batch, parameters=own)
    assert found == Unread("Mine", ("blur",), own=frozenset({"blur"}))


def test_what_a_throw_of_the_dice_may_read_is_not_refused():
    def batch(self: Any, x: torch.Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> torch.Tensor:
        if generator is not None and torch.rand((), generator=generator) < 1e-6:
            return x + params["noise"]
        return x

    own = {"noise": hpo.Known("float", 1.0)}
    noise = Parameter("noise", Range(0.0, 1.0))
    found = look(lambda params, features: plain(features), noise, batch=batch, parameters=own, named=None)
    assert found == Unread("Mine", unseen=("noise",), own=frozenset({"noise"}))


@pytest.mark.parametrize("kept", [lambda params: params, dict, copy.copy])
def test_a_model_that_keeps_them_and_reads_when_it_is_called(kept: Callable[[Any], Any]):
    assert look(lambda params, features: Net(kept(params), features), DROPOUT) is None


def test_a_model_that_keeps_them_may_read_more_some_day():
    two = Parameter("dropout", Categorical((0.0, 0.5)))  # so that all is tried
    found = look(lambda params, features: Net(params, features), two, UNITS, named=None)
    assert found == Unread("Mine", unseen=("hidden_units",))


def test_who_takes_all_at_once_is_told_what_has_no_effect():
    """By comparing models: nobody can tell what is read."""

    def model(params: Any, features: int) -> nn.Module:
        return Anything(features, **params)

    expected = Unread("Mine", without_effect=("dropout", "activation"))
    assert look(model, DROPOUT, UNITS, Parameter("activation", Categorical(("relu", "tanh")))) == expected
    assert look(model, UNITS) is None
    assert look(model, Parameter("hidden_units", Constant(9))) is None
    assert look(model, Parameter("dropout", Constant(0.3))) == Unread("Mine", without_effect=("dropout",))


def test_what_has_an_effect_beside_another_value_only_has_one():
    def model(params: Any, features: int) -> nn.Module:
        own = dict(params)
        return plain(features, dropout=own["dropout"] if own["hidden_layers"] == 3 else None)

    assert look(model, DROPOUT, DEPTH) is None


def test_the_perceptron_reads_all_that_is_its():
    def model(self: Any, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return hpo.mlp(params, features, outputs)

    widths = Parameter("hidden_layers", Categorical((2, [8, 4], [])))
    units = Parameter("hidden_units", Range(1, 8, integer=True), {"hidden_layers": 2})
    choices = {"batch_norm": (True, False), "activation": ("relu", "tanh"), "residual": (False,)}
    others = [Parameter(name, Categorical(values)) for name, values in choices.items()]
    assert look(plain, widths, units, *others, DROPOUT, model=model) is None


def test_the_recurrent_model_reads_its_own_by_name():
    def splits(self: Any, data: Mapping[str, Any]) -> hpo.Splits:
        split = hpo.Split(torch.randn(9, 5, 2), torch.arange(9.0))
        return hpo.Splits(split, split, split)

    def model(self: Any, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return hpo.recurrent(params, features, outputs)

    own = {"kind": "regression", "parameters": hpo.RECURRENT_PARAMETERS | {"shift": hpo.Known("int", 0)}}
    methods = {"splits": splits, "model": model}
    cell, bias = Parameter("cell", Categorical(("rnn", "lstm"))), Categorical((0.0, 1.0))
    parameters = [cell, Parameter("forget_bias", bias, {"cell": "lstm"}), Parameter("dropout", Constant(0.1))]
    parameters.append(Parameter("hidden_layers", Categorical((1, [8]))))
    assert look(plain, *parameters, **own, **methods) is None
    found = look(plain, *parameters, Parameter("shift", Categorical((0, 1))), **own, **methods)
    assert found == Unread("Mine", ("shift",), own=frozenset({"shift"}))


def test_the_ends_of_a_range_are_tried():
    def model(params: Any, features: int) -> nn.Module:
        units = params["hidden_units"]
        return plain(features, units, params["dropout"] if units == 1000 else None)

    assert look(model, WIDE, DROPOUT) is None


def test_each_end_of_a_range_is_tried_beside_other_values_of_others():
    own = {"other": hpo.Known("int", 0)}

    def model(params: Any, features: int) -> nn.Module:
        units, other = params["hidden_units"], params["other"]
        return plain(features, 8, params["dropout"] if units == 1000 and other < 999 else None)

    assert look(model, WIDE, Parameter("other", Range(0, 999, integer=True)), DROPOUT, parameters=own) is None


def test_a_forbidden_model_is_not_made():
    def model(params: Any, features: int) -> nn.Module:
        assert (params["hidden_layers"], params["hidden_units"]) != (3, 16), "too large for this machine"
        return plain(features)

    forbid = ({"hidden_layers": 3, "hidden_units": 16},)
    assert look(model, DEPTH, UNITS, DROPOUT, forbid=forbid) == Unread("Mine", ("dropout",))


def test_what_a_task_raises_is_left_to_its_trials():
    def raises(params: Any, features: int) -> nn.Module:
        raise RuntimeError(params["hidden_units"])

    assert look(raises, UNITS, DROPOUT) is None
    assert look(lambda params, features: nn.Linear(features + 1, 1), DROPOUT) is None  # raises when it is called


def test_a_copy_that_is_gone_is_held_by_nobody():
    reads = Reads()
    params = TrackedParams({"a": 1}, reads)
    other = copy.copy(params)
    del params
    assert reads.held
    del other
    assert not reads.held


def pictures(task: Any) -> hpo.Splits:
    split = hpo.Split(torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8), torch.arange(8) % 10)
    return hpo.Splits(split, split, split, outputs=10)


@pytest.mark.parametrize("name", ["binary", "cifar10", "multiclass", "regression", "sequence"])
def test_the_objectives_that_ship_read_all_that_they_say_they_know(name: str):
    task = importlib.import_module(f"objectives.{name}").objective()
    contract, applied = contract_of(task), applied_by_platform(task.kind)
    own = {each: known for each, known in contract.parameters.items() if each not in applied}
    counted = {"hidden_layers": (1, [8])} if "hidden_layers" in own else {}

    def parameter(each: str) -> Parameter:
        known = own[each]
        values = counted.get(each, known.choices[:2] or (known.default,))
        return Parameter(each, Categorical(values), {other: list(found[:1]) for other, found in known.requires.items()})

    space = Space(tuple(map(parameter, sorted(own, key=lambda each: len(own[each].requires)))))
    assert "activation" in own and "dropout" in own
    splits = pictures(task) if name == "cifar10" else task.splits({})
    search = Named(f"objectives.{name}", None, (), {}, "", tuple(own), Path(), space=space)
    assert unread_of(task, splits, search) is None
    more = replace(search, space=Space((*space.parameters, Parameter("unheard_of", Constant(1)))))
    type(task).parameters = {**type(task).parameters, "unheard_of": hpo.Known("int", 0)}
    try:
        found = unread_of(task, splits, more)
        # This platform's own code is not looked at, so it is told, not refused.
        assert found == Unread(type(task).__name__, unseen=("unheard_of",), own=frozenset({"unheard_of"}))
    finally:
        type(task).parameters = {key: value for key, value in type(task).parameters.items() if key != "unheard_of"}


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_the_platform_applies_the_vocabulary_but_for_what_shapes_a_model(kind: str):
    task = type("Any", (Task,), {"kind": kind})()
    left = contract_of(task).parameters.keys() - applied_by_platform(task.kind)
    assert left == {*MODEL_PARAMETERS, "activation"}
