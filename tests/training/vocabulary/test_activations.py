from __future__ import annotations

import math

import pytest
import torch

from hpo.training.vocabulary.activations import ACTIVATIONS, make_activation

# Each activation at x = -1 and x = 1, by its definition.
AT_MINUS_ONE_AND_ONE = {
    "relu": (0, 1),
    "leaky_relu": (-0.01, 1),
    "prelu": (-0.25, 1),
    "elu": (math.exp(-1) - 1, 1),
    "selu": (1.0507009873554805 * 1.6732632423543772 * (math.exp(-1) - 1), 1.0507009873554805),
    "gelu": (-(1 - math.erf(1 / math.sqrt(2))) / 2, (1 + math.erf(1 / math.sqrt(2))) / 2),
    "silu": (-1 / (1 + math.e), 1 / (1 + math.exp(-1))),
    "mish": (-math.tanh(math.log1p(math.exp(-1))), math.tanh(math.log1p(math.e))),
    "softplus": (math.log1p(math.exp(-1)), math.log1p(math.e)),
    "tanh": (-math.tanh(1), math.tanh(1)),
    "sigmoid": (1 / (1 + math.e), 1 / (1 + math.exp(-1))),
    "linear": (-1, 1),
}


@pytest.mark.parametrize("name", ACTIVATIONS.names())
def test_values(name: str) -> None:
    found = make_activation(name)(torch.tensor([-1.0, 1.0])).tolist()
    assert found == pytest.approx(AT_MINUS_ONE_AND_ONE[name], abs=1e-6)


def test_aliases_and_unknown_names() -> None:
    assert isinstance(make_activation("swish"), torch.nn.SiLU)
    with pytest.raises(ValueError, match="did you mean 'sigmoid'"):
        make_activation("sigmoidal")
