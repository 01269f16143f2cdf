"""Initializers: how the first weights are drawn, always from the trial's own generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo.lazy import lazy_import
from hpo.spec.contract import Known
from hpo.training.vocabulary.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_import("torch")


@dataclass(frozen=True)
class InitializerChoice:
    """One initializer: `draw` fills a weight [out, in, ...] and a bias [out] (or None) in place."""

    name: str
    draw: Callable[[Tensor, Tensor | None, torch.Generator], None]
    aliases: tuple[str, ...] = ()
    takes: tuple[str, ...] = ("init_scale",)


def _default(weight: Tensor, bias: Tensor | None, generator: torch.Generator) -> None:
    # What nn.Linear and nn.Conv*d do in reset_parameters, which takes no generator.
    torch.nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
    if bias is not None:
        bound = 1 / math.sqrt(weight[0].numel())
        torch.nn.init.uniform_(bias, -bound, bound, generator=generator)


def _zero_bias(draw: Callable[[Tensor, torch.Generator], Tensor]) -> Callable[..., None]:
    def fill(weight: Tensor, bias: Tensor | None, generator: torch.Generator) -> None:
        draw(weight, generator)
        if bias is not None:
            torch.nn.init.zeros_(bias)

    return fill


INITIALIZERS = Registry(
    "initializer",
    "default",
    [
        InitializerChoice("default", _default),
        InitializerChoice(
            "xavier_uniform",
            _zero_bias(lambda weight, generator: torch.nn.init.xavier_uniform_(weight, generator=generator)),
            aliases=("glorot_uniform",),
        ),
        InitializerChoice(
            "xavier_normal",
            _zero_bias(lambda weight, generator: torch.nn.init.xavier_normal_(weight, generator=generator)),
            aliases=("glorot_normal",),
        ),
        InitializerChoice(
            "he_uniform",
            _zero_bias(
                lambda weight, generator: torch.nn.init.kaiming_uniform_(
                    weight, nonlinearity="relu", generator=generator
                )
            ),
            aliases=("kaiming_uniform",),
        ),
        InitializerChoice(
            "he_normal",
            _zero_bias(
                lambda weight, generator: torch.nn.init.kaiming_normal_(
                    weight, nonlinearity="relu", generator=generator
                )
            ),
            aliases=("kaiming_normal",),
        ),
        InitializerChoice(
            "orthogonal",
            _zero_bias(lambda weight, generator: torch.nn.init.orthogonal_(weight, generator=generator)),
        ),
    ],
    {
        "init_scale": Known(
            "float", 1.0, "gain: the first weights (not the biases) are multiplied by it; 0: all weights 0",
            within="[0, inf)", also=("gain", "init_gain"),
        ),
    },
)  # fmt: skip


def initialize(model: nn.Module, name: str, generator: torch.Generator, scale: float = 1.0) -> None:
    """Draw the model's first weights in place, layer by layer in the order of `model.modules()`.

    Weights of linear and convolution layers follow the initializer (Glorot and Bengio 2010, He et al. 2015, Saxe et
    al. 2014; biases 0) or, for "default", PyTorch's own rule for weights and biases. Batch norms get weight 1, bias 0
    and fresh running statistics, PReLU 0.25. Layers of other types keep what their constructor drew.
    (Dense and convolution layers of Keras start from `xavier_uniform` with biases 0.)

    scale: the hyperparameter `init_scale`.

    Raises:
        ValueError: an unknown initializer.
    """
    draw = INITIALIZERS[name].draw
    for module in model.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.modules.conv._ConvNd):
            draw(module.weight, module.bias, generator)
            if scale != 1:
                with torch.no_grad():
                    module.weight.mul_(scale)
        elif isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.reset_parameters()
        elif isinstance(module, torch.nn.PReLU):
            torch.nn.init.constant_(module.weight, 0.25)
