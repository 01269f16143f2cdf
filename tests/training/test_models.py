from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hpo.training.models import MODEL_PARAMETERS, layer_widths, mlp


def names(model: nn.Module) -> list[str]:
    return [type(module).__name__ for module in model.children()]


@pytest.mark.parametrize(("outputs", "shape"), [(1, (5,)), (3, (5, 3))])
@pytest.mark.parametrize("features", [(4,), (2, 3, 2)])
def test_shapes(features: tuple[int, ...], outputs: int, shape: tuple[int, ...]) -> None:
    assert mlp({}, torch.Size(features), outputs)(torch.randn(5, *features)).shape == shape


def test_order_of_layers() -> None:
    params = {"hidden_layers": [8, 4], "batch_norm": True, "dropout": 0.5, "activation": "tanh"}
    block = ["Linear", "BatchNorm1d", "Tanh", "Dropout"]
    assert names(mlp(params, (3,), 1)) == [*block, *block, "Linear", "SqueezeLast"]


def test_residual_blocks_add_their_input() -> None:
    """Each hidden layer's input is added to what it gives; where widths differ, a linear layer makes it fit."""
    params = {"hidden_layers": [5, 5, 3], "residual": True, "batch_norm": True, "dropout": 0.5, "activation": "tanh"}
    model = mlp(params, (4,), 1).eval()
    assert names(model) == ["Residual", "Residual", "Residual", "Linear", "SqueezeLast"]
    assert names(model.get_submodule("0.branch")) == ["Linear", "BatchNorm1d", "Tanh", "Dropout"]
    state, signal = model.state_dict(), torch.randn(7, 4)
    projected = {"0.shortcut.weight", "2.shortcut.weight"}
    assert projected == {name for name in state if "shortcut" in name}
    out = model(signal)
    for block in "012":
        around = signal @ state[f"{block}.shortcut.weight"].T if f"{block}.shortcut.weight" in state else signal
        made = torch.tanh(signal @ state[f"{block}.branch.0.weight"].T / (1 + 1e-5) ** 0.5)
        signal = around + made
    torch.testing.assert_close(out, (signal @ state["3.weight"].T + state["3.bias"])[:, 0])


@pytest.mark.parametrize(
    ("params", "widths"),
    [
        ({}, [64, 32]),
        ({"hidden_layers": (5,)}, [5]),
        ({"hidden_layers": []}, []),
        ({"hidden_layers": 0}, []),
        ({"hidden_layers": 2}, [64, 64]),
        ({"hidden_layers": 3, "hidden_units": 7}, [7, 7, 7]),
    ],
)
def test_widths(params: dict[str, Any], widths: list[int]) -> None:
    assert layer_widths(params) == widths
    linears = [module for module in mlp(params, (3,), 2).modules() if isinstance(module, nn.Linear)]
    assert [linear.out_features for linear in linears] == [*widths, 2]


def test_hidden_units_mean_nothing_beside_a_list() -> None:
    with pytest.raises(
        ValueError, match=r"hidden_units needs hidden_layers to be a count, but got hidden_layers=\[4\]"
    ):
        layer_widths({"hidden_layers": [4], "hidden_units": 8})
    required = MODEL_PARAMETERS["hidden_units"].requires["hidden_layers"]
    assert 3 in required and [4] not in required and 0 not in required


def test_a_count_has_an_end() -> None:
    with pytest.raises(ValueError, match=r"must be in \[0, 64\], but got 65"):
        layer_widths({"hidden_layers": 65})


@pytest.mark.parametrize("name", MODEL_PARAMETERS)
def test_defaults_are_allowed_values(name: str) -> None:
    assert MODEL_PARAMETERS[name].objection(MODEL_PARAMETERS[name].default) == ""
