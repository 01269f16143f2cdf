"""The slots of the known layers, and which slot each module type has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hpo.training.layers import (
    Fork,
    ProjectedShortcut,
    SeededDropout,
    Shortcut,
    SqueezeLast,
    UniformPool,
    mask_shape,
)
from hpo.training.stack.channels import BatchNormSlot, ChannelwiseSlot, ConvSlot
from hpo.training.stack.linear import LinearSlot
from hpo.training.stack.shortcuts import ForkSlot, ProjectedShortcutSlot, ShortcutSlot
from hpo.training.stack.slot import Ragged, Slot


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
    Fork: ForkSlot,
    Shortcut: ShortcutSlot,
    ProjectedShortcut: ProjectedShortcutSlot,  # type: ignore[dict-item]
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
