"""What a stack derives by hand is what autograd derives."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from hpo.training.layers import Residual, SeededDropout, SqueezeLast
from hpo.training.stack.activations import DERIVATIVES, ActivationSlot, derivative_of
from hpo.training.stack.losses import StackedLoss
from hpo.training.stack.model import StackedModel
from hpo.training.stack.slot import CannotStack
from hpo.training.task import Kind
from hpo.training.vocabulary.activations import ACTIVATIONS, make_activation
from hpo.training.vocabulary.losses import LOSSES, bind_loss

from ..tiny import KINDS, default_dtype, splits_of
from .members import VALUES, values_of

MEMBERS, ROWS = 3, 5
SPECIAL = [0.0, -0.0, 1e-6, -1e-6, 0.5, -0.5, 3.0, -3.0, 30.0, -30.0]


@pytest.fixture(autouse=True)
def in_float64() -> object:
    with default_dtype(torch.float64):
        yield


def numbers(*shape: int) -> Tensor:
    """Return random numbers, and among them those at which functions bend or run out of digits."""
    found = 2 * torch.randn(shape, generator=torch.Generator().manual_seed(3))
    count = min(len(SPECIAL), found.numel())
    found.view(-1)[:count] = torch.tensor(SPECIAL[:count])
    return found


def both_ways(models: Sequence[nn.Module], x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return a stack's outputs and gradients by `record` and `backward`, and by autograd, for the same models."""
    by_hand, by_autograd = StackedModel(models), StackedModel(models)
    for model in (by_hand, by_autograd):
        model.begin_epoch()
    generators = [layer.pool.generators[0] for m in models for layer in m.modules() if isinstance(layer, SeededDropout)]
    states = [each.get_state() for each in generators]
    with torch.no_grad():
        output = by_hand.record(x.clone())
        gradient = numbers(*output.shape)
        found = by_hand.backward(gradient.clone())
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)
    expected = by_autograd(x.clone())
    grads = torch.autograd.grad(expected, by_autograd.parameters, gradient, allow_unused=True)
    assert all((mine is None) == (theirs is None) for mine, theirs in zip(found, grads, strict=True))
    return (
        [output, *(each for each in found if each is not None)],
        [expected.detach(), *(each for each in grads if each is not None)],
    )


def assert_same_both_ways(models: Sequence[nn.Module], x: Tensor) -> None:
    for mine, theirs in zip(*both_ways(models, x), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-11, atol=1e-12), (mine - theirs).abs().max()


@pytest.mark.parametrize("kind", DERIVATIVES, ids=lambda kind: kind.__name__)
def test_activations(kind: type[nn.Module]) -> None:
    assert derivative_of(kind()) is not None
    models = [
        nn.Sequential(kind(), nn.Linear(6, 4), kind(), nn.Identity(),
                      kind(), nn.Linear(4, 3), kind(), nn.Linear(3, 1), SqueezeLast())
        for _ in range(MEMBERS)
    ]  # fmt: skip
    assert_same_both_ways(models, numbers(MEMBERS, ROWS, 6))


@pytest.mark.parametrize(
    "make",
    [lambda: nn.LeakyReLU(0.3), lambda: nn.LeakyReLU(-0.3), lambda: nn.ELU(0.5), lambda: nn.GELU("tanh"),
     lambda: nn.Softplus(beta=2.0, threshold=5.0), lambda: nn.ReLU(inplace=True), lambda: nn.PReLU(init=-0.2)],
    ids=["leaky", "negative slope", "elu", "gelu by tanh", "softplus", "in place", "prelu below zero"],
)  # fmt: skip
def test_activations_with_settings(make: type[nn.Module]) -> None:
    """One whose result doesn't tell its derivative is left to autograd."""
    models = [nn.Sequential(nn.Linear(6, 4), make(), nn.Linear(4, 2)) for _ in range(MEMBERS)]
    assert_same_both_ways(models, numbers(MEMBERS, ROWS, 6))


def test_activations_mixed_in_any_order() -> None:
    """Side by side each kind has a slice; not side by side, autograd does it."""
    names = sorted([*ACTIVATIONS.names(), *ACTIVATIONS.names()])
    for order in (names, [*names[1::2], *names[::2]]):
        models = [nn.Sequential(nn.Linear(6, 4), make_activation(name), nn.Linear(4, 2)) for name in order]
        assert_same_both_ways(models, numbers(len(order), ROWS, 6))


@torch.no_grad()
def test_evaluation_gives_the_same_outputs() -> None:
    models = [nn.Sequential(nn.Linear(6, 4), make_activation(name), nn.Linear(4, 2)) for name in ACTIVATIONS.names()]
    stack, x = StackedModel(models), numbers(len(models), ROWS, 6)
    alone = torch.stack([model(each) for model, each in zip(models, x, strict=True)])
    assert torch.allclose(stack.infer(x.clone()), alone, rtol=1e-12, atol=1e-13)


@torch.no_grad()
def test_the_input_is_left_alone() -> None:
    x = numbers(MEMBERS, ROWS, 6)
    stack = StackedModel([nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(6, 2)) for _ in range(MEMBERS)])
    given = x.clone()
    stack.record(given)
    stack.infer(given)
    assert torch.equal(given, x)


class Shifted(nn.Module):
    """Of a batch of one row, autograd gives the input and the parameter one gradient tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift


class Cut(nn.Module):
    """Takes no gradient on."""

    def forward(self, x: Tensor) -> Tensor:
        return x.detach() * 2


@pytest.mark.parametrize("rows", [1, ROWS])
def test_layers_of_all_kinds(rows: int) -> None:
    models = [
        nn.Sequential(nn.Linear(6, 4), nn.Sigmoid(), Shifted(), nn.Linear(4, 4, bias=False), nn.Tanh(),
                      SeededDropout(0.3, torch.Generator().manual_seed(member)), Shifted(), nn.Linear(4, 2))
        for member in range(MEMBERS)
    ]  # fmt: skip
    assert_same_both_ways(models, numbers(MEMBERS, rows, 6))


def test_residual_blocks_in_one_another() -> None:
    def block() -> nn.Module:
        inner = Residual(nn.Sequential(nn.Tanh(), nn.Linear(6, 4)), 6, 4)
        return Residual(nn.Sequential(nn.Linear(6, 6), nn.ReLU(), inner), 6, 4)

    models = [
        nn.Sequential(block(), Residual(nn.Sequential(nn.Linear(4, 4), nn.Sigmoid()), 4, 4), nn.ReLU(), nn.Linear(4, 2))
        for _ in range(MEMBERS)
    ]
    x = numbers(MEMBERS, ROWS, 6)
    assert_same_both_ways(models, x)
    with torch.no_grad():
        alone = torch.stack([model(each) for model, each in zip(models, x, strict=True)])
        assert torch.allclose(StackedModel(models).infer(x.clone()), alone, rtol=1e-12, atol=1e-13)


def test_a_block_whose_shortcut_is_frozen_is_no_stack() -> None:
    models = [nn.Sequential(Residual(nn.Sequential(nn.Linear(6, 4)), 6, 4)) for _ in range(MEMBERS)]
    for model in models:
        model.get_parameter("0.shortcut.weight").requires_grad_(False)
    with pytest.raises(CannotStack, match="shortcut that is not trained"):
        StackedModel(models)


def test_convolutions() -> None:
    models = [
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.SiLU(), nn.MaxPool2d(2), nn.Flatten(), nn.ReLU(),
                      nn.Linear(12, 2))
        for _ in range(MEMBERS)
    ]  # fmt: skip
    assert_same_both_ways(models, numbers(MEMBERS, ROWS, 2, 6, 6))


@torch.no_grad()
def test_weights_without_a_part_in_the_output_have_no_gradient() -> None:
    models = [nn.Sequential(nn.Linear(6, 4), Cut(), nn.Linear(4, 2)) for _ in range(MEMBERS)]
    stack = StackedModel(models)
    stack.record(numbers(MEMBERS, ROWS, 6))
    found = stack.backward(torch.ones(MEMBERS, ROWS, 2))
    assert [each is None for each in found] == [True, True, False, False]
    with torch.enable_grad():
        assert_same_both_ways(models, numbers(MEMBERS, ROWS, 6))


def test_a_slope_that_nobody_uses_any_more_has_no_gradient() -> None:
    slot = ActivationSlot([make_activation("prelu"), make_activation("relu")])
    slot.select([1])
    slot.trained = {name: tensor[1:] for name, tensor in slot.trained.items()}
    with torch.no_grad():
        slot.record(numbers(1, ROWS, 4), None, own=False)
        assert slot.backward(numbers(1, ROWS, 4), needed=True)[1] == [None]


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in LOSSES[kind].names()])
@pytest.mark.parametrize("shared", [False, True], ids=["different parameters", "the same parameters"])
def test_losses(kind: Kind, name: str, shared: bool) -> None:
    splits = splits_of(kind)
    classes, members = splits.outputs, len(VALUES["focal_gamma"])
    chosen = [values_of(LOSSES[kind][name].takes, 0 if shared else member) for member in range(members)]
    outputs = numbers(members, 12, classes) if classes > 1 else numbers(members, 12)
    loss = StackedLoss([bind_loss(kind, {"loss": name, **values}, splits.train, classes) for values in chosen], outputs)
    targets = splits.train.y[:12].expand(members, 12)
    leaf = outputs.clone().requires_grad_()
    expected = torch.autograd.grad(loss(leaf, targets).sum(), leaf)[0]
    found = loss.derivative(outputs.clone(), targets)
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-12), (found - expected).abs().max()
