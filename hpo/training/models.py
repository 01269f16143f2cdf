"""Models that tasks share: a multilayer perceptron and the hyperparameters of its shape."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.contract import Known
from hpo.training.templates import built
from hpo.training.vocabulary.activations import ACTIVATIONS, make_activation

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = lazy_import("torch")

MAX_COUNT = 64  # `requires` lists values, so a count of layers has an upper end

MODEL_PARAMETERS: dict[str, Known] = {
    "hidden_layers": Known(
        "layers",
        [64, 32],
        "widths of the hidden layers, or their count, each hidden_units wide",
        also=("depth", "layers", "num_layers", "n_layers"),
    ),
    "hidden_units": Known(
        "int",
        64,
        "width of every hidden layer, when hidden_layers is a count",
        within="[1, inf)",
        requires={"hidden_layers": tuple(range(1, MAX_COUNT + 1))},
        also=("width", "units"),
    ),
    "batch_norm": Known(
        "bool",
        False,
        "batch normalization after each hidden linear layer",
        excludes={"batch_size": {1: "it normalizes over the rows of a batch, and needs two"}},
    ),
    "residual": Known(
        "bool",
        False,
        "the input of each hidden layer is added to its output; where their widths differ, projected by a linear layer",
        excludes={"hidden_layers": {0: "there is no hidden layer"}},
        part_of="hidden_layers",
        also=("skip", "skip_connections", "residual_connections"),
    ),
    "dropout": Known("float", 0.0, "probability of dropping a hidden unit while training", within="[0, 1)", mixes=True),
}
"""The hyperparameters of `mlp`. A task whose model has none of them says so by
`parameters = {**dict.fromkeys(MODEL_PARAMETERS), ...}`."""


def layer_widths(params: Mapping[str, Any]) -> list[int]:
    """Return the widths of the hidden layers: `hidden_layers` itself, or `hidden_units` repeated that many times.

    Raises:
        ValueError: a count above 64, or `hidden_units` together with a list of widths, where it would mean nothing.
    """
    layers: int | Sequence[int] = params.get("hidden_layers", MODEL_PARAMETERS["hidden_layers"].default)
    if isinstance(layers, int):
        if not 0 <= layers <= MAX_COUNT:
            raise ValueError(f"hidden_layers as a count must be in [0, {MAX_COUNT}], but got {layers}")
        return [int(params.get("hidden_units", MODEL_PARAMETERS["hidden_units"].default))] * layers
    if params.get("hidden_units") is not None:
        raise ValueError(f"hidden_units needs hidden_layers to be a count, but got hidden_layers={list(layers)}")
    return [int(width) for width in layers]


def mlp(params: Mapping[str, Any], features: Sequence[int], outputs: int) -> nn.Module:
    """Return a multilayer perceptron: per hidden layer linear, batch norm, activation, dropout; then a linear output.

    With `residual` a hidden layer's input is added to what comes out of its dropout (hpo.training.layers.Residual).

    params: `hidden_layers`, `hidden_units`, `batch_norm`, `residual`, `dropout`, `activation`; absent ones have their
        defaults. (`output_activation` comes after the model, in the training loop.)
    features: the shape of one row; rows of more than one dimension are flattened.

    The model maps [N, *features] to [N] when `outputs` is 1, else to [N, outputs].
    """
    widths, normed = tuple(layer_widths(params)), bool(params.get("batch_norm", False))
    activation, dropout = params.get("activation", ACTIVATIONS.default), params.get("dropout", 0.0)
    facts = (tuple(features), outputs, widths, normed, activation, dropout, bool(params.get("residual", False)))
    return built(f"mlp{facts}", lambda: _mlp(*facts))  # as text, where 0 is not 0.0


def _mlp(
    features: Sequence[int],
    outputs: int,
    widths: Sequence[int],
    normed: bool,
    activation: str,
    dropout: float,
    residual: bool = False,
) -> nn.Module:
    from hpo.training.layers import Residual, SqueezeLast  # loads Torch

    layers: list[nn.Module] = [torch.nn.Flatten()] if len(features) > 1 else []
    width = math.prod(features)
    for units in widths:
        # Batch norm takes a bias out again: its gradient is rounding noise, which Adam would blow up to whole steps.
        hidden: list[nn.Module] = [torch.nn.Linear(width, units, bias=not normed)]
        if normed:
            hidden.append(torch.nn.BatchNorm1d(units))
        hidden.append(make_activation(activation))
        hidden.append(torch.nn.Dropout(dropout))  # also at 0: trials of one structure stack
        layers += [Residual(torch.nn.Sequential(*hidden), width, units)] if residual else hidden
        width = units
    layers.append(torch.nn.Linear(width, outputs))
    if outputs == 1:
        layers.append(SqueezeLast())
    return torch.nn.Sequential(*layers)


RECURRENT_PARAMETERS: dict[str, Known | None] = {
    "hidden_layers": Known(
        "layers", [32], "units of the recurrent layers, or their count, each hidden_units wide", within="[1, inf)"
    ),
    "cell": Known("choice", "lstm", "what a recurrent layer consists of", choices=("rnn", "gru", "lstm")),
    "forget_bias": Known(
        "float",
        1.0,
        "is added to an LSTM's forget gate, so that it begins by remembering",
        requires={"cell": ("lstm",)},
    ),
    "activation": Known(
        "choice", "tanh", "of the recurrent layers, in place of tanh", choices=ACTIVATIONS.names(), mixes=False
    ),
    "batch_norm": None,
    "residual": None,
}
"""The hyperparameters of `recurrent` that `mlp` has not, or has otherwise: a task's `parameters` begin with these."""


def recurrent(params: Mapping[str, Any], features: Sequence[int], outputs: int) -> nn.Module:
    """Return a recurrent network: layers of `cell`, dropout after each, then a linear layer on the last step.

    params: `hidden_layers`, `hidden_units`, `cell`, `forget_bias`, `activation`, `dropout`; absent ones have the
    defaults of RECURRENT_PARAMETERS.
    features: the shape of one row, [steps, features].

    The model maps [N, steps, features] to [N] when `outputs` is 1, else to [N, outputs].
    """
    from hpo.training.layers import Recurrent, SqueezeLast  # loads Torch

    chosen = {name: known.default for name, known in RECURRENT_PARAMETERS.items() if known is not None}
    # By their names: what is taken all at once nobody can tell from what is read (hpo/objective/unread.py).
    chosen |= {name: params[name] for name in (*chosen, "hidden_units", "dropout") if name in params}
    widths = layer_widths(chosen)
    if not widths:
        raise ValueError("hidden_layers must have a recurrent layer at least")
    layers: list[nn.Module] = []
    width = features[-1]
    for index, units in enumerate(widths):
        activation = make_activation(chosen["activation"])
        is_last = index == len(widths) - 1
        bias = chosen["forget_bias"] if chosen["cell"] == "lstm" else 0.0
        layers.append(Recurrent(chosen["cell"], width, units, activation, bias, sequence=not is_last))
        layers.append(torch.nn.Dropout(chosen.get("dropout", 0.0)))
        width = units
    layers.append(torch.nn.Linear(width, outputs))
    if outputs == 1:
        layers.append(SqueezeLast())
    return torch.nn.Sequential(*layers)
