"""The platform's own layers. They subclass nn.Module, so importing this file loads Torch: do so inside functions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SqueezeLast(nn.Module):
    """[N, 1] -> [N]: the single output of a binary or regression model."""

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze(-1)


class SeededDropout(nn.Module):
    """Dropout whose masks come from a given generator, so that a trial's masks do not depend on other trials.

    Keeps each element with probability 1 - p and scales it by 1 / (1 - p), as nn.Dropout does.
    channelwise: drop whole channels of [N, C, ...], as nn.Dropout1d, 2d and 3d do.
    """

    def __init__(self, p: float, generator: torch.Generator, channelwise: bool = False) -> None:
        super().__init__()
        self.p = p
        self.generator = generator
        self.channelwise = channelwise

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        shape = (*x.shape[:2], *(1,) * (x.dim() - 2)) if self.channelwise else x.shape
        mask = x.new_empty(shape).bernoulli_(1 - self.p, generator=self.generator)
        return x * mask.div_(max(1 - self.p, torch.finfo(x.dtype).tiny))  # p = 1: all zero, not 0 / 0

    def extra_repr(self) -> str:
        return f"p={self.p}, channelwise={self.channelwise}"


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
