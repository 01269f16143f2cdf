"""What layers hand on: the norm of their activations, found by modules and by functions."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpo.training import called, health
from hpo.training.health import rows_of
from hpo.training.models import mlp, recurrent
from hpo.training.outputs import is_activation, root_mean_square
from hpo.training.vocabulary.activations import ACTIVATIONS, make_activation


class Functions(nn.Module):
    """Layers whose activations are functions; what they put out is written over later on."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.gelu(self.first(x))
        x.add_(1.0)
        out: Tensor = self.last(nn.functional.softplus(torch.tanh(self.second(x))))
        out.mul_(3.0)
        return out


def chained() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(inplace=True), nn.Linear(5, 3), nn.Linear(3, 5), nn.Identity()
    )


def lstm() -> nn.Module:
    return recurrent({"hidden_layers": [3, 2], "cell": "lstm"}, (5, 4), 1)


def residual() -> nn.Module:
    return mlp({"hidden_layers": [4, 6], "residual": True, "activation": "tanh"}, (4,), 1)


@pytest.mark.parametrize(
    ("model", "handed_on"),
    [
        (chained(), {"0": "2", "3": "3", "4": "5"}),
        (residual(), {"0": "0", "1": "1", "2": "2"}),
        (lstm(), {"0": "0", "2": "2", "4": "4"}),
        (nn.Sequential(nn.LSTM(4, 3, batch_first=True)), {"0": "0"}),
        (Functions(), {"first": None, "second": None, "last": "last"}),
    ],
    ids=["chained", "residual", "lstm", "torch's lstm", "functions"],
)
def test_activation_norms_are_of_what_layers_hand_on(model: nn.Module, handed_on: dict[str, str | None]) -> None:
    """handed_on: of each layer the module whose output it is; None: a function's."""
    recorded: dict[str, Tensor] = {}

    def record(path: str, _module: nn.Module, _given: Any, out: Any) -> None:
        recorded[path] = (out[0] if isinstance(out, tuple) else out).detach().clone()

    hooks = [module.register_forward_hook(partial(record, path)) for path, module in model.named_modules()]
    x = torch.randn(256, 5, 4) if "lstm" in str(model).lower() else torch.randn(256, 4)
    with torch.no_grad(), health.watched(model.eval(), health.looked_at(model)) as seen:
        model(x)
    for hook in hooks:
        hook.remove()
    if isinstance(model, Functions):
        recorded["of first"] = nn.functional.gelu(recorded["first"])
        recorded["of second"] = nn.functional.softplus(torch.tanh(recorded["second"]))
    expected = {
        f"health/{layer}/activation_norm": math.sqrt(recorded[at or f"of {layer}"][::4].square().mean())
        for layer, at in handed_on.items()
    }
    found = {name: float(each) for name, each in seen.found.items() if name.endswith("/activation_norm")}
    assert list(found) == list(expected) and found == pytest.approx(expected, rel=1e-5)


def test_activations_are_known_by_their_modules_and_by_their_functions() -> None:
    for choice in ACTIVATIONS:
        assert is_activation(make_activation(choice.name))
    functions = set(called._functions().values())
    assert {choice.name for choice in ACTIVATIONS} - functions == {"linear"}


def test_activations_that_are_not_finite() -> None:
    """What is infinite is the largest number, as of other figures; what is no number is left out."""
    found = {str(value): root_mean_square(torch.tensor([[1.0, value]])) for value in (math.inf, math.nan, 1e30)}
    assert rows_of(found, 1) == [{"inf": 3e38, "1e+30": 3e38}]
    half = torch.tensor([[300.0, 400.0]], dtype=torch.float16)  # whose squares it can't hold
    assert float(root_mean_square(half)) == pytest.approx(125000**0.5)
