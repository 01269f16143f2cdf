"""Optimizers: the classes of torch.optim, with hyperparameters named as users say them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.contract import Known
from hpo.training.stack import updates
from hpo.training.vocabulary.choose import choose
from hpo.training.vocabulary.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hpo.training.stack.hyper import Hyper
else:
    torch = lazy_import("torch")


@dataclass(frozen=True)
class OptimizerChoice:
    """One optimizer.

    torch_name: its class in torch.optim.
    takes: the hyperparameters that the class accepts; no more, no less (tested against its signature).
    update: one step of it for many models at once (hpo.training.stack.updates); None: such trials train alone.
    """

    name: str
    torch_name: str
    takes: tuple[str, ...]
    update: Callable[[Tensor, Tensor, Hyper], None] | None
    aliases: tuple[str, ...] = ()


_ALL = ("learning_rate", "weight_decay")
_BETAS = ("beta1", "beta2", "eps")

# Default None: PyTorch's own, which differs between optimizers (weight_decay is 0.01 for adamw, 0 for the others).
OPTIMIZER_PARAMETERS = {
    "learning_rate": Known("float", 1e-3, "step size; the peak or start of the schedule", within="(0, inf)"),
    "momentum": Known("float", 0.0, "share of the last update that is kept", within="[0, 1)"),
    "nesterov": Known("bool", False, "Nesterov momentum; at momentum 0 the same as plain SGD"),
    "weight_decay": Known(
        "float", None, "L2 penalty (decoupled for adamw); PyTorch's default: 0.01 for adamw, else 0", within="[0, inf)"
    ),
    "beta1": Known("float", 0.9, "decay of the running mean of gradients", within="[0, 1)"),
    "beta2": Known("float", 0.999, "decay of the running mean of squared gradients", within="[0, 1)"),
    "eps": Known(
        "float", None, "added to the denominator; PyTorch's default: 1e-10 for adagrad, 1e-6 for adadelta, else 1e-8",
        within="(0, inf)",
    ),
    "alpha": Known("float", 0.99, "decay of the running mean of squared gradients", within="[0, 1)"),
}  # fmt: skip

OPTIMIZERS = Registry(
    "optimizer",
    "adam",
    [
        OptimizerChoice("sgd", "SGD", (*_ALL, "momentum", "nesterov"), updates.sgd),
        OptimizerChoice("adam", "Adam", (*_ALL, *_BETAS), updates.adam),
        OptimizerChoice("adamw", "AdamW", (*_ALL, *_BETAS), updates.adamw),
        OptimizerChoice("rmsprop", "RMSprop", (*_ALL, "momentum", "alpha", "eps"), updates.rmsprop),
        OptimizerChoice("adagrad", "Adagrad", (*_ALL, "eps"), updates.adagrad),
        OptimizerChoice("adadelta", "Adadelta", (*_ALL, "eps"), updates.adadelta),
        OptimizerChoice("adamax", "Adamax", (*_ALL, *_BETAS), updates.adamax),
        OptimizerChoice("nadam", "NAdam", (*_ALL, *_BETAS), updates.nadam),
        OptimizerChoice("radam", "RAdam", (*_ALL, *_BETAS), updates.radam),
    ],
    OPTIMIZER_PARAMETERS,
)


def optimizer_arguments(params: Mapping[str, Any]) -> tuple[OptimizerChoice, dict[str, Any]]:
    """Return the chosen optimizer and the keyword arguments for its torch.optim class.

    An absent hyperparameter means the class's own default, except the learning rate, whose default is 1e-3 for all.

    Raises:
        ValueError: an unknown optimizer, or a hyperparameter that it does not take.
    """
    choice, values = choose(OPTIMIZERS, params)
    arguments = {name: value for name, value in values.items() if value is not None}
    arguments["lr"] = arguments.pop("learning_rate")
    if "beta1" in arguments:
        arguments["betas"] = (arguments.pop("beta1"), arguments.pop("beta2"))
    if "nesterov" in arguments:
        # Without momentum Nesterov's step is plain SGD's, where torch raises; a search may well meet momentum 0.
        arguments["nesterov"] = arguments["nesterov"] and arguments["momentum"] > 0
    return choice, arguments


def optimizer_defaults(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `defaults` that the optimizer of `params` would have, without making one. Raises as above."""
    choice, arguments = optimizer_arguments(params)
    signature = inspect.signature(getattr(torch.optim, choice.torch_name))
    return {name: each.default for name, each in signature.parameters.items() if name != "params"} | arguments


def make_optimizer(params: Mapping[str, Any], model_parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the torch.optim optimizer that `params` describes, over `model_parameters`. Raises as above."""
    choice, arguments = optimizer_arguments(params)
    optimizer: torch.optim.Optimizer = getattr(torch.optim, choice.torch_name)(model_parameters, **arguments)
    return optimizer
