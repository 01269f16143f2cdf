"""How large the numbers are that layers hand on: the root mean square of each layer's activations over some rows.

As they are handed on, after the nonlinearity: what is drawn by layers where signals vanish or explode (Glorot and
Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010, figure 6). The root
mean square is the 2-norm over the root of how many numbers there are, so layers of different widths compare.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import TYPE_CHECKING

from hpo.diagnosis.figures import metric_of
from hpo.lazy import lazy_import
from hpo.training.called import untouched

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_import("torch")


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of a model whose activations are measured, by path: modules that have a weight of two
    dimensions or more, trained or not. Recurrent layers, residual blocks and attention are a layer each, with all that
    is in them."""
    found: dict[str, nn.Module] = {}
    passed = untouched(model)
    for path, module in model.named_modules():
        if module in passed or isinstance(module, torch.jit.ScriptModule):
            continue
        if isinstance(module, _wholes()):
            passed |= set(module.modules())
            found[path] = module
        elif any(parameter.dim() > 1 for parameter in module.parameters(recurse=False)):
            found[path] = module
    return found


@cache
def _wholes() -> tuple[type[nn.Module], ...]:
    from hpo.training.layers import Recurrent, Residual

    return Recurrent, Residual, torch.nn.RNNBase, torch.nn.RNNCellBase, torch.nn.MultiheadAttention


def is_activation(module: nn.Module) -> bool:
    """Whether a module is one of torch.nn's activations, or the identity, which stands for none."""
    return type(module) in _activations()


@cache
def _activations() -> frozenset[type[nn.Module]]:
    of_all_units = {"MultiheadAttention", "Softmin", "Softmax", "Softmax2d", "LogSoftmax"}  # not of each by itself
    names = set(torch.nn.modules.activation.__all__) - of_all_units | {"Identity"}
    return frozenset(getattr(torch.nn, name) for name in names)


def root_mean_square(out: Tensor) -> Tensor:
    """[K, ...] -> [K]: of all numbers of a member. Not by torch.linalg.vector_norm, which is slow over rows that do not
    lie side by side."""
    numbers = out.to(torch.promote_types(out.dtype, torch.float32))
    return numbers.square().mean(tuple(range(1, out.dim()))).sqrt()


class LayerOutputs:
    """Takes in what layers and activations put out while a model runs, in the order in which they run.

    A layer's activation is the last one before the next layer begins; without any, it is the layer's own output. Of a
    layer that runs several times the last time counts. Outputs are [K, N, ...], and must stay as they are until the
    next layer has begun.

    found: the figures [K] so far, by metric. path: of the layer that ran last; None: none did. out: what it hands on,
    as far as is known; None: nothing, or somebody else knows.
    """

    def __init__(self, layers: Collection[str], path: str | None = None) -> None:
        """layers: their paths. path: of the layer that ran before, elsewhere."""
        self.layers = layers
        self.found: dict[str, Tensor] = {}
        self.path = path
        self.out: Tensor | None = None

    def begin(self, path: str) -> None:
        """A module begins."""
        if path in self.layers:
            self.close()
            self.path = None  # activations inside of it are none of the layer before

    def end(self, path: str, out: Tensor | None) -> None:
        """A module has run. out: None, where it has put out nothing that has a norm."""
        if path in self.layers:
            self.path, self.out = path, out

    def activated(self, out: Tensor) -> None:
        """An activation has run."""
        if self.path is not None:
            self.out = out

    def joined(self, other: LayerOutputs, found: Mapping[str, Tensor], out: Tensor | None) -> None:
        """A module has run that `other` took in, from the layer on that ran before. found, out: its, of all members."""
        if other.path != self.path:
            if self.path is None or metric_of(self.path, "activation_norm") not in found:
                self.close()
            self.path, self.out = other.path, out
        elif out is not None:
            self.out = out
        self.found.update(found)

    def close(self) -> None:
        """The activation of the layer that ran last is known."""
        if self.path is not None and self.out is not None:
            self.found[metric_of(self.path, "activation_norm")] = root_mean_square(self.out)
        self.out = None
