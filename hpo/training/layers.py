"""The platform's own layers. They subclass nn.Module, so importing this file loads Torch: do so inside functions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_PIECES, _POOL = 8, 65536  # masks drawn in one call, and the most numbers that such a call draws beyond one mask


class SqueezeLast(nn.Module):
    """[N, 1] -> [N]: the single output of a binary or regression model."""

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze(-1)


GATES = {"rnn": 1, "gru": 3, "lstm": 4}
"""The recurrent cells, and how many values of each unit a step works out."""


class Recurrent(nn.Module):
    """A recurrent layer: [N, T, features] -> [N, T, units], or the last step's [N, units].

    cell: `rnn` (Elman 1990), `gru` (Cho et al. 2014, as PyTorch has it) or `lstm` (Hochreiter and Schmidhuber 1997 with
    Gers et al.'s forget gate, 2000). It computes what nn.RNN, nn.GRU and nn.LSTM do, step by step in operations that
    torch.func can vectorise, so that many trials' layers train as one stack; and in `nn.Linear` layers, so that the
    platform's initializers draw its weights (of all gates together, as Keras does).

    activation: in place of tanh. forget_bias: is added to the forget gate, so that an LSTM begins by remembering
    (Jozefowicz et al. 2015 recommend 1; nn.LSTM has 0). sequence: whether all steps are returned.
    """

    def __init__(
        self,
        cell: str,
        features: int,
        units: int,
        activation: nn.Module | None = None,
        forget_bias: float = 1.0,
        sequence: bool = False,
    ) -> None:
        super().__init__()
        self.cell, self.units, self.forget_bias, self.sequence = cell, units, forget_bias, sequence
        self.given = nn.Linear(features, GATES[cell] * units)
        self.kept = nn.Linear(units, GATES[cell] * units, bias=cell == "gru")  # the others' biases would only add up
        self.activation = nn.Tanh() if activation is None else activation

    def forward(self, x: Tensor) -> Tensor:
        state: tuple[Tensor, ...] = (x.new_zeros(x.shape[0], self.units),) * (2 if self.cell == "lstm" else 1)
        outputs: list[Tensor] = []
        for given in self.given(x).unbind(1):
            state = self._step(given, *state)
            outputs.append(state[0])
        return torch.stack(outputs, 1) if self.sequence else outputs[-1]

    def _step(self, given: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        if self.cell == "lstm":
            return self._lstm(given, *state)
        return self._gru(given, *state) if self.cell == "gru" else self._rnn(given, *state)

    def _rnn(self, given: Tensor, hidden: Tensor) -> tuple[Tensor, ...]:
        return (self.activation(given + self.kept(hidden)),)

    def _gru(self, given: Tensor, hidden: Tensor) -> tuple[Tensor, ...]:
        new = given.chunk(3, -1)
        old = self.kept(hidden).chunk(3, -1)
        reset, update = torch.sigmoid(new[0] + old[0]), torch.sigmoid(new[1] + old[1])
        candidate = self.activation(new[2] + reset * old[2])
        return (candidate + update * (hidden - candidate),)

    def _lstm(self, given: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        enter, forget, candidate, leave = (given + self.kept(hidden)).chunk(4, -1)
        memory = torch.sigmoid(forget + self.forget_bias) * memory + torch.sigmoid(enter) * self.activation(candidate)
        return torch.sigmoid(leave) * self.activation(memory), memory

    def extra_repr(self) -> str:
        return f"{self.cell}, units={self.units}, forget_bias={self.forget_bias}, sequence={self.sequence}"


class Fork(nn.Module):
    """Where a residual block begins: hands its input on to branch and shortcut."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Shortcut(nn.Module):
    """The way around a branch that keeps the width."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class ProjectedShortcut(nn.Linear):
    """The way around a branch that changes the width: a linear layer without bias."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__(width, outputs, bias=False)


class Residual(nn.Module):
    """x -> shortcut(x) + branch(x) on [N, width] (He et al., "Deep residual learning", 2016, equations 1 and 2).

    The sum is handed on as it is, with the activation in the branch: a way through all blocks on which nothing changes
    signals and gradients (He et al., "Identity mappings in deep residual networks", 2016).
    """

    def __init__(self, branch: nn.Sequential, width: int, outputs: int) -> None:
        """width, outputs: of the branch; where they differ the shortcut is a projection (option B of the paper)."""
        super().__init__()
        self.fork = Fork()
        self.branch = branch
        self.shortcut = Shortcut() if width == outputs else ProjectedShortcut(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fork(x)
        out: Tensor = self.shortcut(x) + self.branch(x)
        return out


class UniformPool:
    """Uniform numbers in [0, 1) for K models, each model's from its own generator.

    They are drawn many batches at a time, since a call costs more than the numbers of a small batch, and dealt out in
    pieces of the size of the first batch after `reset`. So what a model gets depends on its own generator and its own
    batches only: K models together get what each gets alone.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self.generators = list(generators)
        self._pool: Tensor | None = None
        self._piece = self._next = self._pieces = 0

    def reset(self) -> None:
        """Forget what is left of the pool: an epoch begins."""
        self._pool = None
        self._piece = self._next = self._pieces = 0

    def take(self, count: int, like: Tensor, active: Sequence[bool] | None = None) -> Tensor:
        """Return [K, count] numbers of the dtype and on the device of `like`.

        active: which models draw (default: all); the others' generators stay as they are and their numbers are 0. A
        model that is left out stays so until the next reset.
        """
        if count > self._piece:
            self._piece, self._next, self._pieces = count, 0, 0
        if self._pool is None or self._next == self._pieces:
            self._pieces, self._next = max(1, min(_PIECES, _POOL // self._piece)), 0
            self._pool = like.new_zeros(len(self.generators), self._pieces, self._piece)
            for index, generator in enumerate(self.generators):
                if active is None or active[index]:
                    self._pool[index].uniform_(generator=generator)
        piece = self._pool[:, self._next, :count]
        self._next += 1
        return piece


class SeededDropout(nn.Module):
    """Dropout whose masks come from a given generator, so that a trial's masks do not depend on other trials.

    Keeps each element with probability 1 - p and scales it by 1 / (1 - p), as nn.Dropout does.
    channelwise: drop whole channels of [N, C, ...], as nn.Dropout1d, 2d and 3d do.
    """

    def __init__(self, p: float, generator: torch.Generator, channelwise: bool = False) -> None:
        super().__init__()
        self.p = p
        self.pool = UniformPool([generator])
        self.channelwise = channelwise

    def train(self, mode: bool = True) -> SeededDropout:
        self.pool.reset()
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        shape = mask_shape(x.shape, self.channelwise)
        kept = self.pool.take(shape.numel(), x)[0].view(shape) < 1 - self.p
        return x * (kept.to(x.dtype) / max(1 - self.p, torch.finfo(x.dtype).tiny))  # p = 1: all zero, not 0 / 0

    def extra_repr(self) -> str:
        return f"p={self.p}, channelwise={self.channelwise}"


def mask_shape(shape: torch.Size, channelwise: bool) -> torch.Size:
    """Return the shape of a dropout mask for a batch [N, C, ...]."""
    return torch.Size((*shape[:2], *(1,) * (len(shape) - 2))) if channelwise else shape


def seed_dropout(model: nn.Module, generator: torch.Generator) -> None:
    """Replace every nn.Dropout, 1d, 2d and 3d below `model`, in place, by a SeededDropout that draws from `generator`.

    Layers that drop inside themselves (nn.LSTM, nn.MultiheadAttention, functional dropout) keep drawing from the global
    generator, which the training loop seeds at each epoch.
    """
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d):
                seeded = SeededDropout(child.p, generator, channelwise=not isinstance(child, nn.Dropout))
                setattr(parent, name, seeded.train(child.training))
