"""Optimizers without Torch's compiler: the same steps, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from hpo.training.vocabulary.eager import eager
from hpo.training.vocabulary.optimizers import OPTIMIZERS, make_optimizer, optimizer_arguments

TORCHS = {choice.name: choice.torch_name for choice in OPTIMIZERS if choice.torch_name}


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))


def trained(optimizer: torch.optim.Optimizer, network: nn.Module, steps: int) -> Iterator[torch.Tensor]:
    """Yield all weights after each step."""
    generator = torch.Generator().manual_seed(1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        network(torch.randn(8, 4, generator=generator)).square().mean().backward()
        optimizer.step()
        schedule.step()
        yield nn.utils.parameters_to_vector(network.parameters()).detach().clone()


@pytest.mark.parametrize("name", TORCHS)
def test_steps_and_state_are_those_of_torchs_own_class(name: str) -> None:
    params = {"optimizer": name, "learning_rate": 0.05, "weight_decay": 0.01}
    ours, theirs = model(), model()
    own = getattr(torch.optim, str(TORCHS[name]))
    plain = own(theirs.parameters(), **optimizer_arguments(params)[1])
    optimizer = make_optimizer(params, ours.parameters())
    assert isinstance(optimizer, own) and type(optimizer).__name__ == own.__name__
    for mine, wanted in zip(trained(optimizer, ours, 5), trained(plain, theirs, 5), strict=True):
        assert torch.equal(mine, wanted)
    assert str(optimizer.state_dict()) == str(plain.state_dict())
    again = make_optimizer(params, ours.parameters())
    again.load_state_dict(plain.state_dict())  # one of a checkpoint that an earlier release wrote
    assert str(again.state_dict()) == str(plain.state_dict())


def test_a_step_leaves_no_graph_and_the_mode_as_it_was() -> None:
    network = model()
    optimizer = make_optimizer({"optimizer": "sgd", "momentum": 0.9}, network.parameters())
    calls: list[str] = []
    optimizer.register_step_post_hook(lambda *_: calls.append("step"))

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = network(torch.ones(2, 4)).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    assert optimizer.step(closure).requires_grad
    assert torch.is_grad_enabled() and calls == ["step"]
    assert all(weight.is_leaf for weight in network.parameters())
    momentum = optimizer.state[next(network.parameters())]["momentum_buffer"]
    assert not momentum.requires_grad
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    assert len(optimizer.param_groups) == 2


def test_a_class_is_made_once_and_torchs_own_stays_as_it_is() -> None:
    step = torch.optim.Adam.step
    assert eager(torch.optim.Adam) is eager(torch.optim.Adam) is not torch.optim.Adam
    make_optimizer({"optimizer": "adam"}, model().parameters())
    assert torch.optim.Adam.step is step


def test_training_does_not_load_the_compiler() -> None:
    """It takes as long as loading the rest of Torch."""
    script = f"""
import sys, torch
from hpo.training.device import warm_up
from hpo.training.vocabulary.optimizers import make_optimizer
warm_up()
for name in {[choice.name for choice in OPTIMIZERS]}:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = make_optimizer({{"optimizer": name}}, [weight])
    weight.sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
