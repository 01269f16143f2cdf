"""A model that is copied from a template is the one that would have been built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from hpo.training.contract import contract_of, with_defaults
from hpo.training.layers import SqueezeLast
from hpo.training.models import mlp
from hpo.training.run import Run, start
from hpo.training.seeding import global_seed, streams
from hpo.training.stack.model import structure_of
from hpo.training.task import TorchTask
from hpo.training.templates import copied, is_plain
from hpo.training.vocabulary.activations import ACTIVATIONS
from hpo.training.vocabulary.initializers import INITIALIZERS, initialize

from .stack.test_cohort_equality import conv1d_net, conv3d_net, conv_net
from .tiny import CPU, default_dtype, splits_of, task_of, trials_of


def counting(make: Any, **attributes: Any) -> tuple[TorchTask, list[Mapping[str, Any]]]:
    """Return a task, and the hyperparameters of each model that it was asked to build."""
    built: list[Mapping[str, Any]] = []

    def model(self: TorchTask, params: dict[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        built.append(params)
        found: nn.Module = make(params, features, outputs)
        return found

    return task_of("binary", model=model, **attributes), built


def runs_of(task: TorchTask, params: list[dict[str, Any]], shape: tuple[int, ...] = (4,)) -> list[Run]:
    return [start(task, splits_of("binary", shape=shape), trial, CPU) for trial in trials_of(params)]


@pytest.mark.parametrize("initializer", INITIALIZERS.names())
@pytest.mark.parametrize("activation", ACTIVATIONS.names())
def test_the_second_model_is_as_if_built(activation: str, initializer: str) -> None:
    task, built = counting(mlp)
    params: dict[str, Any] = {"hidden_layers": [6, 5], "activation": activation, "batch_norm": True, "dropout": 0.2}
    _, second = runs_of(task, [params, {**params, "initializer": initializer, "learning_rate": 0.5}])
    assert len(built) == 1
    random = streams(second.trial.seed, CPU)
    with global_seed(random.weights.initial_seed(), CPU):
        plain = mlp(with_defaults(contract_of(task), second.trial.params), (4,), 1)
    initialize(plain, initializer, random.weights)
    assert structure_of(plain)[:2] == structure_of(second.model)[:2]
    expected, found = plain.state_dict(), second.model.state_dict()
    assert list(expected) == list(found)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert [type(each) for each in plain.modules() if not isinstance(each, nn.Dropout)] == [
        type(each) for each in second.model.modules() if "Dropout" not in type(each).__name__
    ]
    assert all(each.training for each in second.model.modules())


@pytest.mark.parametrize(
    ("net", "shape"), [(conv_net, (2, 8, 8)), (conv1d_net, (2, 8)), (conv3d_net, (1, 3, 3, 3))], ids=["2d", "1d", "3d"]
)
def test_copies_of_convolutions(net: Any, shape: tuple[int, ...]) -> None:
    model = net({"dropout": 0.3}, torch.Size(shape), 3)
    assert is_plain(model)
    copy = copied(copied(model, hollow=True))
    assert repr(copy) == repr(model)
    assert not {each.data_ptr() for each in copy.parameters()} & {each.data_ptr() for each in model.parameters()}
    copy.load_state_dict(model.state_dict())
    x = torch.randn(5, *shape)
    assert torch.equal(copy.eval()(x), model.eval()(x))


def test_only_what_is_read_makes_a_difference() -> None:
    task, built = counting(mlp)
    base: dict[str, Any] = {"hidden_layers": [6]}
    params = [
        base, {**base, "learning_rate": 0.1}, {**base, "activation": "tanh"}, {"hidden_layers": [7]},
        {"hidden_layers": 1, "hidden_units": 6}, {"hidden_layers": 1, "hidden_units": 7}, base,
    ]  # fmt: skip
    runs = runs_of(task, params)
    assert len(built) == 5
    widths = [next(run.model.parameters()).shape[0] for run in runs]
    assert widths == [6, 6, 6, 7, 6, 7, 6]
    assert type(runs[2].model[1]) is nn.Tanh and type(runs[-1].model[1]) is nn.ReLU  # type: ignore[index]


def test_runs_share_nothing() -> None:
    task, _ = counting(mlp)
    runs = runs_of(task, [{"hidden_layers": [6], "batch_norm": True, "dropout": 0.3}] * 3)
    pools = [module.pool for run in runs for module in run.model.modules() if hasattr(module, "pool")]
    tensors = [tensor for run in runs for tensor in (*run.model.parameters(), *run.model.buffers())]
    for each in (pools, tensors, [module for run in runs for module in run.model.modules()]):
        assert len({id(one) for one in each}) == len(each)
    assert len({tensor.data_ptr() for tensor in tensors}) == len(tensors)
    runs[0].model.register_forward_hook(lambda *given: None)
    assert not runs[1].model._forward_hooks


def test_another_default_type_and_other_data_make_another_model() -> None:
    task, built = counting(mlp)
    runs_of(task, [{}])
    with default_dtype(torch.float64):
        (run,) = runs_of(task, [{}])
    assert next(run.model.parameters()).dtype == torch.float64
    (run,) = runs_of(task, [{}], shape=(3, 2))
    assert isinstance(run.model[0], nn.Flatten)  # type: ignore[index]
    assert len(built) == 3


class Own(nn.Linear):
    """A layer whose constructor may do anything."""


def _hooked() -> nn.Module:
    layer = nn.Linear(4, 1)
    layer.register_forward_hook(lambda *given: None)
    return layer


def _twice() -> nn.Module:
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(4, 1))


def _tied() -> nn.Module:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    return nn.Sequential(first, second, nn.Linear(4, 1))


def _marked() -> nn.Module:
    layer = nn.Linear(4, 1)
    layer.scale = torch.ones(1)  # type: ignore[assignment]
    return layer


@pytest.mark.parametrize("make", [lambda: Own(4, 1), _hooked, _twice, _tied, _marked, lambda: nn.GRUCell(4, 1)])
def test_what_is_no_plain_model_is_built_each_time(make: Any) -> None:
    task, built = counting(lambda *given: nn.Sequential(make(), SqueezeLast()))
    runs_of(task, [{}] * 3)
    assert len(built) == 3


@pytest.mark.parametrize(
    "read",
    [dict, lambda params: {**params}, list, len, lambda params: params == {}, lambda params: params | {}, repr,
     lambda params: params.copy(), lambda params: list(params.items()), lambda params: (lambda **named: 0)(**params)],
)  # fmt: skip
def test_a_model_that_reads_all_hyperparameters_is_built_for_each(read: Any) -> None:
    def make(params: dict[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        read(params)
        return nn.Sequential(nn.Linear(4, 1), SqueezeLast())

    task, built = counting(make)
    runs_of(task, [{}] * 3)
    assert len(built) == 3


def test_absent_is_another_value() -> None:
    def make(params: dict[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        wide = "grad_clip_norm" in params and params.get("momentum", 0) == 0
        return nn.Sequential(nn.Linear(4, 2 + wide), nn.Linear(2 + wide, 1), SqueezeLast())

    task, built = counting(make)
    params = [{"optimizer": "adam"}, {"optimizer": "sgd"}, {"optimizer": "sgd", "momentum": 0.5}, {}]
    shapes = [run.model[0].weight.shape[0] for run in runs_of(task, params)]  # type: ignore[index, union-attr]
    assert (shapes, len(built)) == ([3, 3, 2, 3], 3)


def test_what_a_task_writes_into_its_hyperparameters_stays() -> None:
    def make(params: dict[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        params["hidden_layers"].append(5)
        params["noted"] = params.pop("activation")
        return nn.Sequential(nn.Linear(4, 1), SqueezeLast())

    task, built = counting(make)
    runs = runs_of(task, [{"hidden_layers": [6]}] * 2)
    assert [(run.params["hidden_layers"], run.params["noted"], "activation" in run.params) for run in runs] == [
        ([6, 5], "relu", False)
    ] * 2
    assert len(built) == 2


def test_frozen_weights_stay_frozen() -> None:
    def make(params: dict[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        first = nn.Linear(4, 4).requires_grad_(False)
        return nn.Sequential(first, nn.Linear(4, 1), SqueezeLast())

    task, built = counting(make)
    for run in runs_of(task, [{}] * 2):
        assert [each.requires_grad for each in run.model.parameters()] == [False, False, True, True]
    assert len(built) == 1
