"""Slots of a residual block, whose shortcut goes around the slots between them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from hpo.training.health import layer_of
from hpo.training.outputs import LayerOutputs
from hpo.training.stack.linear import LinearSlot
from hpo.training.stack.slot import CannotStack, Ragged, Slot


class ForkSlot(Slot):
    """Fork: keeps the block's input for the slot at its end, and takes back the gradient that comes from there."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__(modules)
        self.kept_input: Tensor | None = None
        self.around: Tensor | None = None  # the gradient of the input by way of the shortcut

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        self.kept_input = x
        return x

    def record(self, x: Tensor, ragged: Ragged | None, own: bool) -> Tensor:
        return self.forward(x, True, ragged)

    def examined(self, seen: LayerOutputs, path: str, given: Tensor, made: Tensor) -> None:
        seen.begin(layer_of(path))

    def backward(self, gradient: Tensor, needed: bool) -> tuple[Tensor | None, list[Tensor | None]]:
        assert self.around is not None
        around, self.around = self.around, None
        return gradient + around, []


class ShortcutSlot(Slot):
    """Shortcut: adds the block's input."""

    fresh = True

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__(modules)
        self.fork: ForkSlot | None = None

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        return _taken(self.fork) + x

    def record(self, x: Tensor, ragged: Ragged | None, own: bool) -> Tensor:
        return self.forward(x, True, ragged)

    def examined(self, seen: LayerOutputs, path: str, given: Tensor, made: Tensor) -> None:
        seen.end(layer_of(path), made)

    def backward(self, gradient: Tensor, needed: bool) -> tuple[Tensor | None, list[Tensor | None]]:
        assert self.fork is not None
        self.fork.around = gradient.clone()  # the branch may write over it
        return gradient, []


class ProjectedShortcutSlot(LinearSlot):
    """ProjectedShortcut: adds the block's input times weights of its own."""

    def __init__(self, modules: Sequence[nn.Linear]) -> None:
        super().__init__(modules)
        self.fork: ForkSlot | None = None

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        return super().forward(_taken(self.fork), training, ragged) + x

    def record(self, x: Tensor, ragged: Ragged | None, own: bool) -> Tensor:
        assert self.fork is not None and self.fork.kept_input is not None
        self.keep(self.fork.kept_input)
        return self.forward(x, True, ragged)

    def examined(self, seen: LayerOutputs, path: str, given: Tensor, made: Tensor) -> None:
        seen.end(layer_of(path), made)

    def backward(self, gradient: Tensor, needed: bool) -> tuple[Tensor | None, list[Tensor | None]]:
        assert self.fork is not None
        self.fork.around, found = super().backward(gradient, needed)
        return gradient, found


def _taken(fork: ForkSlot | None) -> Tensor:
    """Return a block's input, which is kept no longer."""
    assert fork is not None and fork.kept_input is not None
    x, fork.kept_input = fork.kept_input, None
    return x


def joined(slots: Sequence[Slot]) -> None:
    """Tell the slots of shortcuts where their blocks begin. slots: of a whole model, in the order in which they run.

    Raises CannotStack if a block's shortcut has another slot: its weights are frozen, say.
    """
    begun: list[ForkSlot] = []
    for slot in slots:
        if isinstance(slot, ForkSlot):
            begun.append(slot)
        elif isinstance(slot, ShortcutSlot | ProjectedShortcutSlot) and begun:
            slot.fork = begun.pop()
    if begun:
        raise CannotStack("a residual block has a shortcut that is not trained as it was made")
