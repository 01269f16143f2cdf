"""Activations of a stack: each kind on the members that chose it, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hpo.training.health import judged, shares
from hpo.training.outputs import LayerOutputs
from hpo.training.stack.slot import Ragged, Slot, not_in_place, stacked


def leaky(x: Tensor, slope: Tensor) -> Tensor:
    """x [K, ...] where it is positive, elsewhere times the member's slope [K, 1]."""
    return torch.where(x > 0, x, slope.view(-1, *(1,) * (x.dim() - 1)) * x)


def kind_of(module: nn.Module) -> tuple[type[nn.Module], str]:
    """Return an activation's type and settings."""
    return type(module), module.extra_repr()


@dataclass(frozen=True)
class _Kinds:
    """The kinds of activations in a stack, and which members have which."""

    modules: Sequence[nn.Module]  # one of each
    sizes: list[int]
    order: list[int]  # of the rows, by kinds; []: they lie side by side
    back: list[int]
    derivatives: Sequence[Derivative]  # []: autograd has to find some

    @classmethod
    def of(cls, modules: Sequence[nn.Module]) -> _Kinds:
        kinds: dict[tuple[type[nn.Module], str], list[int]] = {}
        for row, module in enumerate(modules):
            kinds.setdefault(kind_of(module), []).append(row)
        firsts = [modules[rows[0]] for rows in kinds.values()]
        order = [row for rows in kinds.values() for row in rows]
        moved = order if order != sorted(order) else []
        known = [derivative_of(module) for module in firsts]
        derivatives = [] if moved or None in known else [each for each in known if each is not None]
        back = [order.index(row) for row in range(len(order))]
        return cls(firsts, [len(rows) for rows in kinds.values()], moved, back, derivatives)


class ActivationSlot(Slot):
    """Activations, of one kind or several: each kind on its own slice.

    Members of a kind should lie side by side; then a slice is no copy.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__(modules)
        not_in_place(modules)
        self._kinds = _Kinds.of(self.modules)
        self.idle = not any(isinstance(module, nn.PReLU) for module in self.modules)  # the last one may have left
        self._recorded: list[tuple[Tensor, Tensor | None]] = []  # what each kind's derivative needs; its slope
        slopes = [module.weight if isinstance(module, nn.PReLU) else None for module in modules]
        if given := [slope for slope in slopes if slope is not None]:
            # Every member has a slope, as all tensors have a row for each; those of other kinds are never used.
            self.trained["weight"] = stacked([given[0] if slope is None else slope for slope in slopes])

    def select(self, rows: list[int]) -> None:
        super().select(rows)
        self._kinds = _Kinds.of(self.modules)
        self.idle = not any(isinstance(module, nn.PReLU) for module in self.modules)
        self._recorded = []

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        pieces = (x[self._kinds.order] if self._kinds.order else x).split_with_sizes(self._kinds.sizes)
        slopes: Sequence[Tensor | None] = [None] * len(pieces)
        if "weight" in self.trained:
            weight = self.trained["weight"]
            slopes = (weight[self._kinds.order] if self._kinds.order else weight).split_with_sizes(self._kinds.sizes)
        outs = [
            leaky(piece, slope) if isinstance(module, nn.PReLU) and slope is not None else module(piece)
            for module, piece, slope in zip(self._kinds.modules, pieces, slopes, strict=True)
        ]
        out = torch.cat(outs) if len(outs) > 1 else outs[0]
        return out[self._kinds.back] if self._kinds.order else out

    def infer(self, x: Tensor, own: bool) -> Tensor:
        return self._by_hand(x, own, keep=False) if self._kinds.derivatives else super().infer(x, own)

    def record(self, x: Tensor, ragged: Ragged | None, own: bool) -> Tensor:
        return self._by_hand(x, own, keep=True) if self._kinds.derivatives else super().record(x, ragged, own)

    def examined(self, seen: LayerOutputs, path: str, given: Tensor, made: Tensor) -> None:
        seen.activated(made)
        seen.found.update(shares(path, made, [judged(module) for module in self.modules]))

    def _by_hand(self, x: Tensor, own: bool, keep: bool) -> Tensor:
        out = x if own else torch.empty_like(x)
        self._recorded = []
        pieces = zip(
            self._kinds.derivatives,
            self._kinds.modules,
            x.split_with_sizes(self._kinds.sizes),
            out.split_with_sizes(self._kinds.sizes),
            strict=True,
        )
        for (derivative, module, given, made), slope in zip(pieces, self._slopes(), strict=True):
            if keep:
                needed = made if derivative.of_result else given.clone() if own else given
                self._recorded.append((needed, slope))
            derivative.apply(module if slope is None else slope, given, made)
        return out

    def _slopes(self) -> Sequence[Tensor | None]:
        """Return each kind's slopes, None where it has none."""
        if self.idle:
            return [None] * len(self._kinds.modules)
        pieces = self.trained["weight"].split_with_sizes(self._kinds.sizes)
        return [
            piece if isinstance(kind, nn.PReLU) else None
            for kind, piece in zip(self._kinds.modules, pieces, strict=True)
        ]

    def backward(self, gradient: Tensor, needed: bool) -> tuple[Tensor | None, list[Tensor | None]]:
        if not self._kinds.derivatives:
            return super().backward(gradient, needed)
        gradient = gradient.contiguous()
        of_slopes = torch.zeros_like(self.trained["weight"]) if "weight" in self.trained else None
        begin = 0
        pieces = zip(
            self._kinds.derivatives,
            self._kinds.modules,
            gradient.split_with_sizes(self._kinds.sizes),
            self._recorded,
            strict=True,
        )
        for derivative, module, piece, (recorded, slope) in pieces:
            if slope is not None and of_slopes is not None:
                below_zero = torch.where(recorded > 0, 0.0, recorded)
                of_slopes[begin : begin + len(piece)] = (piece * below_zero).flatten(1).sum(1, keepdim=True)
            derivative.pull(module if slope is None else slope, recorded, piece)
            begin += len(piece)
        self._recorded = []
        return gradient, [] if "weight" not in self.trained else [None if self.idle else of_slopes]


@dataclass(frozen=True)
class Derivative:
    """An activation and its derivative, by PyTorch's own kernels.

    apply(module, x, out): write the activation of x to out, which may be x.
    pull(module, recorded, gradient): multiply a gradient in place by the derivative.
    of_result: whether `recorded` is the activation's result, or else its input.
    For nn.PReLU the members' slopes take the module's place.
    """

    apply: Callable[[Any, Tensor, Tensor], Any]
    pull: Callable[[Any, Tensor, Tensor], Any]
    of_result: bool


def derivative_of(module: nn.Module) -> Derivative | None:
    """Return what is known of an activation's derivative; None: autograd has to find it."""
    if getattr(module, "negative_slope", 1.0) <= 0 or getattr(module, "alpha", 1.0) <= 0:
        return None  # the result does not tell on which side of zero the input was
    return DERIVATIVES.get(type(module))


_A: Any = torch.ops.aten
_SELU = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946  # alpha and scale (Klambauer et al. 2017)

DERIVATIVES: dict[type[nn.Module], Derivative] = {
    nn.ReLU: Derivative(
        lambda _, x, out: _A.relu.out(x, out=out),
        lambda _, y, g: _A.threshold_backward.grad_input(g, y, 0, grad_input=g),
        of_result=True,
    ),
    nn.LeakyReLU: Derivative(
        lambda m, x, out: _A.leaky_relu.out(x, m.negative_slope, out=out),
        lambda m, y, g: _A.leaky_relu_backward.grad_input(g, y, m.negative_slope, True, grad_input=g),
        of_result=True,
    ),
    nn.PReLU: Derivative(
        lambda slope, x, out: out.copy_(leaky(x, slope)),
        lambda slope, x, g: g.copy_(torch.where(x > 0, g, slope.view(-1, *(1,) * (g.dim() - 1)) * g)),
        of_result=False,
    ),
    nn.ELU: Derivative(
        lambda m, x, out: _A.elu.out(x, m.alpha, out=out),
        lambda m, y, g: _A.elu_backward.grad_input(g, m.alpha, 1.0, 1.0, True, y, grad_input=g),
        of_result=True,
    ),
    nn.SELU: Derivative(
        lambda _, x, out: _A.elu.out(x, *_SELU, out=out),
        lambda _, y, g: _A.elu_backward.grad_input(g, *_SELU, 1.0, True, y, grad_input=g),
        of_result=True,
    ),
    nn.GELU: Derivative(
        lambda m, x, out: _A.gelu.out(x, approximate=m.approximate, out=out),
        lambda m, x, g: _A.gelu_backward.grad_input(g, x, approximate=m.approximate, grad_input=g),
        of_result=False,
    ),
    nn.SiLU: Derivative(
        lambda _, x, out: _A.silu.out(x, out=out),
        lambda _, x, g: _A.silu_backward.grad_input(g, x, grad_input=g),
        of_result=False,
    ),
    nn.Mish: Derivative(
        lambda _, x, out: _A.mish.out(x, out=out),
        lambda _, x, g: g.copy_(_A.mish_backward(g, x)),
        of_result=False,
    ),
    nn.Softplus: Derivative(
        lambda m, x, out: _A.softplus.out(x, m.beta, m.threshold, out=out),
        lambda m, x, g: _A.softplus_backward.grad_input(g, x, m.beta, m.threshold, grad_input=g),
        of_result=False,
    ),
    nn.Tanh: Derivative(
        lambda _, x, out: torch.tanh(x, out=out),
        lambda _, y, g: _A.tanh_backward.grad_input(g, y, grad_input=g),
        of_result=True,
    ),
    nn.Sigmoid: Derivative(
        lambda _, x, out: torch.sigmoid(x, out=out),
        lambda _, y, g: _A.sigmoid_backward.grad_input(g, y, grad_input=g),
        of_result=True,
    ),
    nn.Identity: Derivative(lambda _, x, out: out.copy_(x), lambda _, y, g: g, of_result=True),
}
"""What is known. An activation that is not here is left to autograd."""
