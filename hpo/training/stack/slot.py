"""What a slot is: one layer of K models at a time, on activations [K, B, ...].

Slot i of a stack holds layer i of every member. Its tensors have a leading dimension of members, and what it computes
for one member never depends on another's numbers: not even on a NaN in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from hpo.training.outputs import LayerOutputs

from hpo.training.upload import upload


class CannotStack(Exception):
    """These models can't train as one stack; the message says why. The plain loop can train them."""


class Ragged:
    """A batch in which members have different numbers of rows, padded to the longest.

    sizes: rows of each member. idle: the members without any, which take no step. mask: [K, B], true where a row
    counts.
    """

    def __init__(self, sizes: Sequence[int], width: int, device: torch.device) -> None:
        self.sizes = list(sizes)
        self.idle = [row for row, size in enumerate(self.sizes) if size == 0]
        self.counts = upload(self.sizes, device)
        self.mask = torch.arange(width, device=device) < self.counts[:, None]


class Slot:
    """Base class: a layer that works on any leading dimensions, with or without tensors of its own.

    trained, kept: tensors [K, ...] by their names in the members' modules; `trained` ones get gradients, `kept` ones
    (running statistics, frozen weights) do not.
    idle: whether no member uses the trained tensors any more, so that they get no gradient.
    fresh: whether what `record` returns is nobody else's, so that the next slot may write over it.
    replays: whether `record` and `backward` do the same on the device at each step, and change tensors in place.
    """

    idle = False
    fresh = False

    @property
    def replays(self) -> bool:
        return True

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.modules = list(modules)
        self.trained: dict[str, Tensor] = {}
        self.kept: dict[str, Tensor] = {}
        self._tape: tuple[Tensor, Tensor] | None = None  # what `record` was given and has made

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        out: Tensor = self.modules[0](x)
        return out

    def infer(self, x: Tensor, own: bool) -> Tensor:
        """Return the output for evaluation. own: x may be written over. Called without autograd."""
        return self.forward(x, False, None)

    def record(self, x: Tensor, ragged: Ragged | None, own: bool) -> Tensor:
        """Return the output for training, and keep what `backward` needs. Called without autograd.

        A slot whose derivative is known takes it by hand, which saves autograd's bookkeeping and most of the memory;
        the others let autograd do so for this one layer.
        """
        x = x.detach()
        if x.is_floating_point():
            x.requires_grad_()
        with torch.enable_grad():
            out = self.forward(x, True, ragged)
        self._tape = x, out
        return out.detach()

    def backward(self, gradient: Tensor, needed: bool) -> tuple[Tensor | None, list[Tensor | None]]:
        """Return the gradients of the recorded input (None unless needed) and of each trained tensor (None: it has no
        part in the output). gradient: that of the output; may be written over. Once for each `record`."""
        assert self._tape is not None
        (x, out), self._tape = self._tape, None
        wanted = [*([x] if needed and x.requires_grad else []), *self.trained.values()]
        if not wanted or not out.requires_grad:
            return None, [None] * len(self.trained)
        found: list[Tensor | None] = list(torch.autograd.grad(out, wanted, gradient, allow_unused=True))
        return (found.pop(0) if needed and x.requires_grad else None), found

    def examined(self, seen: LayerOutputs, path: str, given: Tensor, made: Tensor) -> None:
        """Have what health says of activations taken in, each figure [K], NaN for members that lack it.

        path: of the layer in its model. given, made: input and output [K, B, ...] of an `infer`, which may have
        written over its input.
        """
        seen.begin(path)
        seen.end(path, made)

    def select(self, rows: list[int]) -> None:
        """Keep only the members in these rows. `trained` is taken care of by whoever owns its memory."""
        self.modules = [self.modules[row] for row in rows]
        self.kept = {name: tensor[rows] for name, tensor in self.kept.items()}

    def plain(self, name: str, tensor: Tensor) -> Tensor:
        """Return one member's part of a tensor as its module has it."""
        return tensor

    def held(self, name: str, tensor: Tensor) -> Tensor:
        """Return one member's part of a tensor as the slot has it, from how its module has it."""
        return tensor

    def begin_epoch(self) -> None:
        """Called before the first batch of an epoch."""


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Return copies of the members' tensors as one, [K, ...]."""
    return torch.stack([tensor.detach() for tensor in tensors])


def not_in_place(modules: Iterable[nn.Module]) -> None:
    """Have activations leave their input alone, which gives the same numbers: slices can't be written to, and health
    looks at inputs again."""
    for module in modules:
        if getattr(module, "inplace", False):
            setattr(module, "inplace", False)  # noqa: B010 (of any module type)
