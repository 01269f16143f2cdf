from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hpo.training.vocabulary.initializers import INITIALIZERS, initialize

FAN_IN, FAN_OUT = 300, 200
DEVIATION = {
    "default": 1 / math.sqrt(3 * FAN_IN),
    "xavier_uniform": math.sqrt(2 / (FAN_IN + FAN_OUT)),
    "xavier_normal": math.sqrt(2 / (FAN_IN + FAN_OUT)),
    "he_uniform": math.sqrt(2 / FAN_IN),
    "he_normal": math.sqrt(2 / FAN_IN),
    "orthogonal": 1 / math.sqrt(FAN_IN),
}
ALL = pytest.mark.parametrize("name", INITIALIZERS.names())


def model() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.PReLU(),
        nn.Flatten(),
        nn.Linear(FAN_IN, FAN_OUT),
        nn.LayerNorm(FAN_OUT),
    )


def drawn(name: str, seed: int, scale: float = 1.0) -> nn.Sequential:
    net = model()
    initialize(net, name, torch.Generator().manual_seed(seed), scale)
    return net


@ALL
def test_spread(name: str) -> None:
    linear = drawn(name, 0)[4]
    assert isinstance(linear, nn.Linear)
    # 60,000 draws: the standard deviation is known to about 0.3 percent.
    assert linear.weight.std().item() == pytest.approx(DEVIATION[name], rel=0.02)
    assert linear.weight.mean().item() == pytest.approx(0, abs=0.02 * DEVIATION[name] * 5)
    largest = linear.weight.abs().max().item() / DEVIATION[name]
    # A uniform distribution ends at sqrt(3) standard deviations; a normal one does not.
    assert (largest <= math.sqrt(3) * 1.001) == (name in ("default", "xavier_uniform", "he_uniform"))


@ALL
def test_biases(name: str) -> None:
    bias = drawn(name, 0)[4].bias
    assert isinstance(bias, torch.Tensor)
    if name == "default":
        assert bias.std().item() == pytest.approx(1 / math.sqrt(3 * FAN_IN), rel=0.2)
    else:
        assert not bias.any()


@ALL
def test_a_scale_multiplies_the_weights_alone(name: str) -> None:
    plain, scaled = drawn(name, 0), drawn(name, 0, 0.25)
    for one, other in zip(plain, scaled, strict=True):
        if isinstance(one, nn.Linear | nn.Conv2d) and isinstance(other, nn.Linear | nn.Conv2d):
            assert torch.equal(one.weight / 4, other.weight)
            assert one.bias is not None and other.bias is not None and torch.equal(one.bias, other.bias)


def test_what_keras_starts_from() -> None:
    """Its Dense layers: Glorot and Bengio's uniform distribution, which ends at sqrt(6 / (fan in + fan out)), and 0."""
    linear = drawn("glorot_uniform", 0)[4]
    assert isinstance(linear, nn.Linear)
    end = math.sqrt(6 / (FAN_IN + FAN_OUT))
    assert 0.99 * end < linear.weight.abs().max().item() <= end and not linear.bias.any()


def test_orthogonal_rows() -> None:
    weight = drawn("orthogonal", 0)[4].weight
    assert isinstance(weight, torch.Tensor)
    torch.testing.assert_close(weight @ weight.T, torch.eye(FAN_OUT), rtol=0, atol=1e-5)


def test_default_is_what_the_constructors_draw() -> None:
    torch.manual_seed(3)
    theirs = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Conv1d(2, 3, 2, bias=False), nn.Linear(4, 2))
    ours = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Conv1d(2, 3, 2, bias=False), nn.Linear(4, 2))
    initialize(ours, "default", torch.Generator().manual_seed(3))
    for mine, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, expected)


@ALL
def test_same_seed_same_weights_whatever_the_global_state(name: str) -> None:
    torch.manual_seed(1)
    first = drawn(name, 5).state_dict()
    torch.manual_seed(2)
    again, other = drawn(name, 5).state_dict(), drawn(name, 6).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["4.weight"], other["4.weight"])


@ALL
def test_norms_and_prelu_start_fresh(name: str) -> None:
    net = model()
    for module in (net[1], net[2]):
        nn.init.constant_(module.weight, 9.0)  # type: ignore[arg-type]
    net[1].running_mean.fill_(4)  # type: ignore[operator]
    initialize(net, name, torch.Generator())
    assert net[1].weight.eq(1).all() and net[2].weight.eq(0.25).all()  # type: ignore[operator]
    assert not net[1].running_mean.any()  # type: ignore[operator]


def test_other_layers_are_left_alone() -> None:
    net = nn.Sequential(nn.Embedding(3, 2), nn.LayerNorm(2))
    before = [parameter.clone() for parameter in net.parameters()]
    initialize(net, "he_normal", torch.Generator())
    assert all(torch.equal(old, new) for old, new in zip(before, net.parameters(), strict=True))
