"""The slot of linear layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

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
        self.keep(x)
        return self.forward(x, True, ragged)

    def keep(self, x: Tensor) -> None:
        """Keep the input that `backward` needs."""
        self._input = x

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
