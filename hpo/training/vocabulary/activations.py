"""Activations: the modules of torch.nn by their usual names, at PyTorch's default settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo.lazy import lazy_import
from hpo.training.vocabulary.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = lazy_import("torch")


@dataclass(frozen=True)
class ActivationChoice:
    """One activation: `torch_name` is its class in torch.nn, made without arguments."""

    name: str
    torch_name: str
    aliases: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


ACTIVATIONS = Registry(
    "activation",
    "relu",
    [
        ActivationChoice("relu", "ReLU"),
        ActivationChoice("leaky_relu", "LeakyReLU"),
        ActivationChoice("prelu", "PReLU"),
        ActivationChoice("elu", "ELU"),
        ActivationChoice("selu", "SELU"),
        ActivationChoice("gelu", "GELU"),
        ActivationChoice("silu", "SiLU", aliases=("swish",)),
        ActivationChoice("mish", "Mish"),
        ActivationChoice("softplus", "Softplus"),
        ActivationChoice("tanh", "Tanh"),
        ActivationChoice("sigmoid", "Sigmoid"),
        ActivationChoice("linear", "Identity", aliases=("identity",)),
    ],
)


def make_activation(name: str) -> nn.Module:
    """Return a new module for the activation of this name or alias. Raises ValueError for an unknown one."""
    module: nn.Module = getattr(torch.nn, ACTIVATIONS[name].torch_name)()
    return module
