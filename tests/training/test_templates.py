"""A model that is copied from a template is the one that would have been built; so is all that is built after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from hpo.training import templates
from hpo.training.models import _mlp, mlp
from hpo.training.templates import built, copied, is_plain
from hpo.training.vocabulary.activations import ACTIVATIONS

from .stack.members import conv1d_net, conv3d_net, conv_net
from .tiny import default_dtype


@pytest.fixture(autouse=True)
def none_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(templates, "_templates", {})
    yield


def params_of(activation: str = "relu", **others: Any) -> dict[str, Any]:
    return {"hidden_layers": [6, 5], "activation": activation, "dropout": 0.2, **others}


def assert_same_model(found: nn.Module, expected: nn.Module) -> None:
    assert repr(found) == repr(expected)
    mine, theirs = found.state_dict(), expected.state_dict()
    assert list(mine) == list(theirs)
    for name, tensor in theirs.items():
        assert torch.equal(mine[name], tensor) and mine[name].dtype == tensor.dtype, name
    for one, other in zip(found.modules(), expected.modules(), strict=True):
        assert type(one) is type(other)
        assert vars(one).keys() == vars(other).keys()
        own = [name for name in vars(one) if not name.startswith("_")]
        assert [vars(one)[name] for name in own] == [vars(other)[name] for name in own]
    flags = [[each.requires_grad for each in model.parameters()] for model in (found, expected)]
    assert flags[0] == flags[1]


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("features", [(4,), (2, 3)])
@pytest.mark.parametrize(("normed", "residual"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("activation", ACTIVATIONS.names())
def test_the_second_perceptron_is_as_if_built(
    activation: str, normed: bool, residual: bool, features: tuple[int, ...], outputs: int
) -> None:
    torch.manual_seed(1)
    params = params_of(activation, batch_norm=normed, residual=residual)
    first = mlp(params, features, outputs)
    for seed in (2, 3):
        torch.manual_seed(seed)
        found, after = mlp(params, features, outputs), torch.rand(3)
        torch.manual_seed(seed)
        expected = _mlp(features, outputs, (6, 5), normed, activation, 0.2, residual)
        assert_same_model(found, expected)
        assert torch.equal(after, torch.rand(3))  # what is drawn later is as it was
    tensors = [tensor for model in (first, found) for tensor in (*model.parameters(), *model.buffers())]
    assert len({tensor.data_ptr() for tensor in tensors}) == len(tensors)
    assert len(templates._templates) == 1


@pytest.mark.parametrize("members", [1, 2, 40])
def test_widths_of_all_sizes(members: int) -> None:
    """Torch draws few numbers otherwise than many."""
    for width in (1, 3, 15, 16, 17, 100):
        params = {"hidden_layers": [width] * 2}
        mlp(params, (members,), 1)
        torch.manual_seed(5)
        found = mlp(params, (members,), 1)
        torch.manual_seed(5)
        assert_same_model(found, _mlp((members,), 1, (width, width), False, "relu", 0.0))


def test_what_shapes_the_model_makes_another_one() -> None:
    base = params_of()
    others: list[dict[str, Any]] = [
        {"hidden_layers": [6]}, {"dropout": 0.3}, {"dropout": 0}, {"dropout": 0.0}, {"activation": "tanh"},
        {"batch_norm": True}, {"residual": True}, {"hidden_layers": 2, "hidden_units": 6}, {"learning_rate": 0.5},
    ]  # fmt: skip
    models = [mlp(base | other, (4,), 1) for other in ({}, *others)]
    models += [mlp(base, (5,), 1), mlp(base, (4,), 2), mlp(base, (2, 2), 1)]
    assert len({repr(model) for model in models}) == len(models) - 1  # the learning rate shapes nothing
    with default_dtype(torch.float64):
        assert next(mlp(base, (4,), 1).parameters()).dtype == torch.float64
    with torch.device("meta"):
        assert next(mlp(base, (4,), 1).parameters()).is_meta


def test_what_one_does_with_a_model_is_not_seen_in_the_next() -> None:
    models = [mlp(params_of(batch_norm=True), (4,), 1) for _ in range(3)]
    for model in models[:2]:
        model.register_forward_hook(lambda *given: None)
        model[0].register_full_backward_pre_hook(lambda *given: None)  # type: ignore[index, operator]
        model[0] = nn.Identity()  # type: ignore[index, operator]
        model.eval()
    fourth = mlp(params_of(batch_norm=True), (4,), 1)
    for model in (models[2], fourth):
        assert model.training and not model._forward_hooks
        assert type(model[0]) is nn.Linear and not model[0]._backward_pre_hooks  # type: ignore[index]
        fourth(torch.randn(8, 4)).sum().backward()


def test_templates_take_no_memory_and_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_MOST", 3)
    for step in range(8):
        mlp({"hidden_layers": [1000], "dropout": step / 10}, (1000,), 1)
        assert 1 <= len(templates._templates) <= 3
    held = [each for model in templates._templates.values() for each in model.parameters()]
    assert all(each.untyped_storage().nbytes() <= 8 for each in held)


@pytest.mark.parametrize(
    ("net", "shape"), [(conv_net, (2, 8, 8)), (conv1d_net, (2, 8)), (conv3d_net, (1, 3, 3, 3))], ids=["2d", "1d", "3d"]
)
def test_copies_of_convolutions(net: Any, shape: tuple[int, ...]) -> None:
    model = net({"dropout": 0.3}, torch.Size(shape), 3)
    assert is_plain(model)
    copy = copied(copied(model, hollow=True))
    assert not {each.data_ptr() for each in copy.parameters()} & {each.data_ptr() for each in model.parameters()}
    copy.load_state_dict(model.state_dict())
    assert_same_model(copy, model)
    x = torch.randn(5, *shape)
    assert torch.equal(copy.eval()(x), model.eval()(x))


class Own(nn.Linear):
    """A layer whose constructor may do anything."""


def _hooked() -> nn.Module:
    layer = nn.Linear(4, 1)
    layer.register_forward_hook(lambda *given: None)
    return layer


def _twice() -> nn.Module:
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.ReLU(), layer)


def _tied() -> nn.Module:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    return nn.Sequential(first, second)


def _marked() -> nn.Module:
    layer = nn.Linear(4, 1)
    layer.scale = torch.ones(1)  # type: ignore[assignment]
    return layer


@pytest.mark.parametrize("make", [lambda: Own(4, 1), _hooked, _twice, _tied, _marked, lambda: nn.GRUCell(4, 1)])
def test_what_is_no_plain_model_is_built_each_time(make: Any) -> None:
    calls = []

    def build() -> nn.Module:
        calls.append(1)
        return nn.Sequential(make())

    for _ in range(3):
        built("net", build)
    assert len(calls) == 3
