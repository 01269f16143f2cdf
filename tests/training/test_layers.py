from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hpo.training.layers import Recurrent, SeededDropout, SqueezeLast, seed_dropout


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_masks_are_the_generators() -> None:
    x = torch.ones(4, 50)
    torch.manual_seed(1)
    first = SeededDropout(0.3, generator())(x)
    torch.manual_seed(2)
    assert torch.equal(first, SeededDropout(0.3, generator())(x))
    assert not torch.equal(first, SeededDropout(0.3, generator(1))(x))


def test_drawing_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    SeededDropout(0.3, generator())(torch.ones(4, 50))
    assert torch.equal(before, torch.get_rng_state())


def test_keeps_and_scales_like_torchs() -> None:
    out = SeededDropout(0.3, generator())(torch.ones(400, 500))
    assert out.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert out.eq(0).float().mean().item() == pytest.approx(0.3, abs=0.005)
    assert out.mean().item() == pytest.approx(1, abs=0.01)


def test_dropping_everything() -> None:
    assert not SeededDropout(1.0, generator())(torch.ones(20)).any()


def test_evaluation_passes_through() -> None:
    x = torch.randn(5, 5)
    assert SeededDropout(0.9, generator()).eval()(x) is x


def test_gradient_goes_where_the_mask_lets_it() -> None:
    x = torch.ones(100, requires_grad=True)
    out = SeededDropout(0.5, generator())(x)
    out.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, out.detach())


def test_seed_dropout_replaces_nested_layers_in_place() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.2), nn.ModuleDict({"a": nn.Sequential(nn.Dropout2d(0.4))}))
    model.eval()
    seed_dropout(model, generator())
    found = [module for module in model.modules() if isinstance(module, SeededDropout)]
    assert [(module.p, module.channelwise, module.training) for module in found] == [
        (0.2, False, False),
        (0.4, True, False),
    ]
    assert not any(isinstance(module, nn.Dropout | nn.Dropout2d) for module in model.modules())
    assert [name for name, _ in model.named_children()] == ["0", "1", "2"]


def test_channels_drop_whole() -> None:
    out = SeededDropout(0.5, generator(), channelwise=True)(torch.ones(8, 16, 3, 3))
    per_channel = out.flatten(2)
    assert torch.equal(per_channel.amin(-1), per_channel.amax(-1))
    assert set(out.unique().tolist()) == {0.0, 2.0}


def test_squeeze_last() -> None:
    assert SqueezeLast()(torch.zeros(1, 1)).shape == (1,)
    assert SqueezeLast()(torch.zeros(6, 5, 1)).shape == (6, 5)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_recurrent_layers_compute_what_pytorchs_do(cell: str) -> None:
    torch.manual_seed(0)
    theirs: Any = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell](3, 5, batch_first=True)
    ours = Recurrent(cell, 3, 5, forget_bias=0.0, sequence=True)
    with torch.no_grad():
        ours.given.weight.copy_(theirs.weight_ih_l0)
        ours.kept.weight.copy_(theirs.weight_hh_l0)
        apart = cell == "gru"
        ours.given.bias.copy_(theirs.bias_ih_l0 + (0 if apart else theirs.bias_hh_l0))
        if apart:
            ours.kept.bias.copy_(theirs.bias_hh_l0)
    x = torch.randn(4, 7, 3)
    assert torch.allclose(ours(x), theirs(x)[0], atol=1e-6)
    ours.sequence = False
    assert torch.allclose(ours(x), theirs(x)[0][:, -1], atol=1e-6)


def test_an_lstm_begins_by_remembering() -> None:
    torch.manual_seed(0)
    eager, forgetful = Recurrent("lstm", 1, 8, forget_bias=3.0), Recurrent("lstm", 1, 8, forget_bias=-3.0)
    forgetful.load_state_dict(eager.state_dict())
    x = torch.zeros(1, 30, 1)
    marked = x.clone()
    marked[:, 0] = 5
    moved = [(layer(marked) - layer(x)).abs().max().item() for layer in (eager, forgetful)]
    assert moved[0] > 100 * moved[1]
