"""Optimizers, with hyperparameters named as users say them: classes of torch.optim, and some that it lacks.

A new one is an entry of OPTIMIZERS below. One that torch.optim lacks brings its step as a function (see `lion`).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.contract import Known
from hpo.training.vocabulary import updates
from hpo.training.vocabulary.choose import choose
from hpo.training.vocabulary.eager import eager
from hpo.training.vocabulary.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hpo.training.vocabulary.hyper import Hyper
    from hpo.training.vocabulary.updates import Update
else:
    torch = lazy_import("torch")


@dataclass(frozen=True)
class OptimizerChoice:
    """One optimizer.

    torch_name: its class in torch.optim; None: torch.optim has none, and `update` makes the steps of one model, too.
    takes: the hyperparameters that it accepts; of a class no more and no less than that does (tested).
    update: one step of it for many models at once (hpo.training.vocabulary.updates); None: such trials train alone.
    defaults: its own, where they differ from those in OPTIMIZER_PARAMETERS. Without a class in torch.optim that
        includes what is None there.
    """

    name: str
    torch_name: str | None
    takes: tuple[str, ...]
    update: Update | None
    aliases: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)


def lion(p: Tensor, g: Tensor, hyper: Hyper) -> None:
    """Lion (Chen et al. 2023, arXiv 2302.06675): steps of one size, in the direction that a running mean of gradients
    has in each weight. Its authors advise a learning rate 3 to 10 times smaller than AdamW's, and as much more decay.
    """
    updates.decay_decoupled(p, hyper)
    average = hyper.moment("exp_avg")
    direction = torch.lerp(average, g, hyper.rest("beta1")).sign_()
    updates.add(p, direction, hyper.down)
    average.lerp_(g, hyper.rest("beta2"))


_ALL = ("learning_rate", "weight_decay")
_BETAS = ("beta1", "beta2", "eps")

# Default None: PyTorch's own, which differs between optimizers (weight_decay is 0.01 for adamw, 0 for the others).
# An optimizer whose default is another one says so in its entry.
OPTIMIZER_PARAMETERS = {
    "learning_rate": Known(
        "float", 1e-3, "step size; the peak or start of the schedule", within="(0, inf)", also=("lr",)
    ),
    "momentum": Known("float", 0.0, "share of the last update that is kept", within="[0, 1)"),
    "nesterov": Known("bool", False, "Nesterov momentum; at momentum 0 the same as plain SGD"),
    "weight_decay": Known(
        "float", None, "L2 penalty (decoupled for adamw and lion); PyTorch's default: 0.01 for adamw, else 0",
        within="[0, inf)", also=("l2", "l2_penalty", "l2_lambda", "l2_reg"),
    ),
    "beta1": Known(
        "float", 0.9, "decay of the running mean of gradients (lion: as it gives a step's direction)", within="[0, 1)"
    ),
    "beta2": Known(
        "float", 0.999, "decay of the running mean of squared gradients (lion: of gradients, as it is kept)",
        within="[0, 1)",
    ),
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
        OptimizerChoice("lion", None, (*_ALL, "beta1", "beta2"), lion, defaults={"weight_decay": 0.0, "beta2": 0.99}),
    ],
    OPTIMIZER_PARAMETERS,
    defaults=lambda choice: choice.defaults,
)


def optimizer_arguments(params: Mapping[str, Any]) -> tuple[OptimizerChoice, dict[str, Any]]:
    """Return the chosen optimizer and its keyword arguments, as its torch.optim class has them or would have them.

    An absent hyperparameter means the optimizer's own default, except the learning rate, whose default is 1e-3 for all.

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
    if choice.torch_name is None:
        return arguments
    return _defaults_of(choice.torch_name) | arguments


@cache
def _defaults_of(torch_name: str) -> dict[str, Any]:
    signature = inspect.signature(getattr(torch.optim, torch_name))
    return {name: each.default for name, each in signature.parameters.items() if name != "params"}


def optimizer_state(params: Mapping[str, Any], like: Tensor) -> dict[str, Tensor]:
    """Return what the optimizer of `params` keeps of a weight, by name: as seen after a step on a weight [2] of zeros.

    A tensor [2] there stands for one of the weight's own shape, a tensor [] for one number. like: has its dtype.
    """
    weight = torch.nn.Parameter(torch.zeros(2, dtype=like.dtype))
    weight.grad = torch.zeros_like(weight)
    optimizer = make_optimizer(params, [weight])
    optimizer.step()
    return dict(optimizer.state[weight])


def make_optimizer(params: Mapping[str, Any], model_parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimizer that `params` describes, over `model_parameters`. Raises as above."""
    choice, arguments = optimizer_arguments(params)
    if choice.torch_name is None:
        from hpo.training.vocabulary.by_update import ByUpdate  # loads Torch

        assert choice.update is not None, "an optimizer without a class in torch.optim has its update"
        return eager(ByUpdate)(model_parameters, choice.update, arguments)
    return eager(getattr(torch.optim, choice.torch_name))(model_parameters, **arguments)
