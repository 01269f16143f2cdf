"""The slots of the known layers, and which slot each module type has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hpo.training.layers import SeededDropout, SqueezeLast, UniformPool, mask_shape
from hpo.training.stack.channels import BatchNormSlot, ChannelwiseSlot, ConvSlot
from hpo.training.stack.slot import Ragged, Slot, stacked


class LinearSlot(Slot):
    """nn.Linear: one batched matrix product. Weights are held [K, in, out], so that the product reads them straight."""

    def __init__(self, modules: Sequence[nn.Linear]) -> None:
        super().__init__(modules)
        self.trained["weight"] = stacked([module.weight.T for module in modules]).contiguous()
        if modules[0].bias is not None:
            self.trained["bias"] = stacked([module.bias for module in modules])
        self._input: Tensor | None = None  # recorded

    fresh = True

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        weight, bias = self.trained["weight"], self.trained.get("bias")
        rows = x.flatten(1, -2)
        if weight.shape[2] == 1:  # a product by hand is three times as fast as K products of a matrix and a vector
            out = (rows * weight.transpose(1, 2)).sum(2, keepdim=True)
            out = out if bias is None else out + bias.unsqueeze(1)
        elif bias is None:
            out = torch.bmm(rows, weight)
        else:
            out = torch.baddbmm(bias.unsqueeze(1), rows, weight)
        return out.view(*x.shape[:-1], out.shape[-1])

    def record(self, x: Tensor, ragged: Ragged | None, own: bool) -> Tensor:
        self._input = x
        return self.forward(x, True, ragged)

    def backward(self, gradient: Tensor, needed: bool) -> tuple[Tensor | None, list[Tensor | None]]:
        assert self._input is not None
        (x, self._input), weight = (self._input, None), self.trained["weight"]
        rows, gradient = x.flatten(1, -2), gradient.flatten(1, -2)
        if weight.shape[2] == 1:
            of_weight = torch.bmm(gradient.transpose(1, 2), rows).transpose(1, 2)
            below = gradient * weight.transpose(1, 2) if needed else None
        else:
            of_weight = torch.bmm(rows.transpose(1, 2), gradient)
            below = torch.bmm(gradient, weight.transpose(1, 2)) if needed else None
        found: list[Tensor | None] = [of_weight]
        if "bias" in self.trained:
            found.append(gradient.sum(1))
        return None if below is None else below.view(x.shape), found

    def plain(self, name: str, tensor: Tensor) -> Tensor:
        return tensor.T if name == "weight" else tensor

    def held(self, name: str, tensor: Tensor) -> Tensor:
        return tensor.T if name == "weight" else tensor


class ViewSlot(Slot):
    """A layer that only shows its input in another shape, or as it is."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__(modules)
        self._shape = torch.Size()  # of the recorded input

    def record(self, x: Tensor, ragged: Ragged | None, own: bool) -> Tensor:
        self._shape = x.shape
        return self.forward(x, True, ragged)

    def backward(self, gradient: Tensor, needed: bool) -> tuple[Tensor | None, list[Tensor | None]]:
        return gradient.reshape(self._shape), []


class FlattenSlot(ViewSlot):
    """nn.Flatten of all but the batch dimension."""

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        return x.flatten(2) if x.dim() > 2 else x.unsqueeze(-1)


class _Masks:
    """What the members of a dropout draw."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        dropouts = [module for module in modules if isinstance(module, SeededDropout)]
        self._pool = UniformPool([module.pool.generators[0] for module in dropouts])
        self._keep = torch.tensor([1 - module.p for module in dropouts], dtype=torch.float64)
        self._drops = [module.p > 0 for module in dropouts]
        self._channelwise = dropouts[0].channelwise

    @property
    def any(self) -> bool:
        """Whether anybody drops anything."""
        return any(self._drops)

    def begin_epoch(self) -> None:
        self._pool.reset()

    def draw(self, x: Tensor, ragged: Ragged | None) -> Tensor | None:
        """Return what to multiply x by in this batch; None: nothing."""
        if not self.any:
            return None
        active = self._drops
        if ragged is not None:
            active = [drops and size > 0 for drops, size in zip(self._drops, ragged.sizes, strict=True)]
        shape = mask_shape(x.shape[1:], self._channelwise)
        self._keep = self._keep.to(x)
        keep = self._keep.view(-1, *(1,) * len(shape))
        kept = self._pool.take(shape.numel(), x, active).view(len(x), *shape) < keep
        return kept.to(x.dtype) / keep.clamp(min=torch.finfo(x.dtype).tiny)


class DropoutSlot(Slot):
    """SeededDropout: every member's masks from its own generator, as many and in the order as alone."""

    def __init__(self, modules: Sequence[SeededDropout]) -> None:
        super().__init__(modules)
        self._masks = _Masks(self.modules)
        self._taken: Tensor | None = None  # recorded

    def select(self, rows: list[int]) -> None:
        super().select(rows)
        self._masks = _Masks(self.modules)

    @property
    def replays(self) -> bool:
        return not self._masks.any  # each draws from its own generator

    def begin_epoch(self) -> None:
        self._masks.begin_epoch()

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        mask = self._masks.draw(x, ragged) if training else None
        return x if mask is None else x * mask

    def record(self, x: Tensor, ragged: Ragged | None, own: bool) -> Tensor:
        self._taken = self._masks.draw(x, ragged)
        return x if self._taken is None else x * self._taken

    def backward(self, gradient: Tensor, needed: bool) -> tuple[Tensor | None, list[Tensor | None]]:
        mask, self._taken = self._taken, None
        return gradient if mask is None else gradient * mask, []


SLOTS: dict[type[nn.Module], Callable[[Sequence[nn.Module]], Slot]] = {
    nn.Identity: ViewSlot,
    SqueezeLast: ViewSlot,
    nn.Flatten: FlattenSlot,
    nn.Linear: LinearSlot,  # type: ignore[dict-item]
    nn.Conv1d: ConvSlot,  # type: ignore[dict-item]
    nn.Conv2d: ConvSlot,  # type: ignore[dict-item]
    nn.Conv3d: ConvSlot,  # type: ignore[dict-item]
    nn.BatchNorm1d: BatchNormSlot,  # type: ignore[dict-item]
    nn.BatchNorm2d: BatchNormSlot,  # type: ignore[dict-item]
    nn.BatchNorm3d: BatchNormSlot,  # type: ignore[dict-item]
    SeededDropout: DropoutSlot,  # type: ignore[dict-item]
    nn.MaxPool1d: ChannelwiseSlot,
    nn.MaxPool2d: ChannelwiseSlot,
    nn.AvgPool1d: ChannelwiseSlot,
    nn.AvgPool2d: ChannelwiseSlot,
    nn.AdaptiveAvgPool1d: ChannelwiseSlot,
    nn.AdaptiveAvgPool2d: ChannelwiseSlot,
    nn.AdaptiveMaxPool2d: ChannelwiseSlot,
}
"""How each module type is stacked. One that is not here goes through torch.func."""
