"""Slots of layers with channels: members side by side as channels of one tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hpo.training.stack.slot import Ragged, Slot, stacked


def members_to_channels(x: Tensor) -> Tensor:
    """[K, B, C, ...] -> [B, K * C, ...]: members side by side as channels. Free of copies between two such layers."""
    return x.transpose(0, 1).flatten(1, 2)


def channels_to_members(x: Tensor, members: int) -> Tensor:
    """[B, K * C, ...] -> [K, B, C, ...], without a copy."""
    return x.view(len(x), members, -1, *x.shape[2:]).transpose(0, 1)


class ConvSlot(Slot):
    """nn.Conv1d, 2d, 3d: one grouped convolution."""

    def __init__(self, modules: Sequence[nn.modules.conv._ConvNd]) -> None:
        super().__init__(modules)
        self.trained["weight"] = stacked([module.weight for module in modules])
        if modules[0].bias is not None:
            self.trained["bias"] = stacked([module.get_parameter("bias") for module in modules])
        functional = torch.nn.functional
        by_rank = {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}
        self._convolve: Callable[..., Tensor] = by_rank[modules[0].weight.dim()]

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        like, bias = self.modules[0], self.trained.get("bias")
        assert isinstance(like, nn.modules.conv._ConvNd)
        out = self._convolve(
            members_to_channels(x),
            self.trained["weight"].flatten(0, 1),
            None if bias is None else bias.flatten(),
            like.stride,
            like.padding,
            like.dilation,
            like.groups * len(x),
        )
        return channels_to_members(out, len(x))


class ChannelwiseSlot(Slot):
    """Layers that treat every channel alike and apart (pooling)."""

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        if x.dim() < (5 if type(self.modules[0]).__name__.endswith("2d") else 4):  # no channels: rows take their place
            out: Tensor = self.modules[0](x.flatten(0, 1))
            return out.view(*x.shape[:2], *out.shape[1:])
        return channels_to_members(self.modules[0](members_to_channels(x)), len(x))


class BatchNormSlot(Slot):
    """nn.BatchNorm1d, 2d, 3d: every member's channels have statistics of their own."""

    def __init__(self, modules: Sequence[nn.modules.batchnorm._BatchNorm]) -> None:
        super().__init__(modules)
        for name, parameter in modules[0].named_parameters():
            self.trained[name] = stacked([module.get_parameter(name) for module in modules])
            assert parameter is not None
        for name, _ in modules[0].named_buffers():
            self.kept[name] = stacked([module.get_buffer(name) for module in modules])

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        like = self.modules[0]
        assert isinstance(like, nn.modules.batchnorm._BatchNorm)
        tracked = like.running_mean is not None
        momentum = like.momentum if like.momentum is not None else 0.0
        if training and tracked:
            if ragged is not None:
                return self._ragged(x, ragged, like)
            if like.momentum is None:  # a running mean over all batches so far: members may have seen different numbers
                return self._ragged(x, Ragged([x.shape[1]] * len(x), x.shape[1], x.device), like)
            self.kept["num_batches_tracked"] += 1
        elif training and ragged is not None:
            return self._ragged(x, ragged, like)
        means, variances = (self.kept[name].flatten() if tracked else None for name in ("running_mean", "running_var"))
        weight, bias = (self.trained[n].flatten() if n in self.trained else None for n in ("weight", "bias"))
        out = torch.nn.functional.batch_norm(
            members_to_channels(x), means, variances, weight, bias, training or not tracked, momentum, like.eps
        )
        return channels_to_members(out, len(x))

    def _ragged(self, x: Tensor, ragged: Ragged, like: nn.modules.batchnorm._BatchNorm) -> Tensor:
        """The same by hand, over the rows that count."""
        others = [1, *range(3, x.dim())]
        mask = ragged.mask.view(*ragged.mask.shape, *(1,) * (x.dim() - 2))
        zero = x.new_zeros(())
        spots = x[0, 0, 0].numel()  # of one channel, in one row
        count = (ragged.counts * spots).clamp(min=1).to(x.dtype).view(-1, *(1,) * (x.dim() - 1))
        mean = torch.where(mask, x, zero).sum(others, keepdim=True) / count
        variance = torch.where(mask, (x - mean).square(), zero).sum(others, keepdim=True) / count
        if like.running_mean is not None:
            with torch.no_grad():
                self.kept["num_batches_tracked"] += 1
                seen = self.kept["num_batches_tracked"].to(x.dtype)[:, None]
                share = torch.full_like(seen, like.momentum) if like.momentum is not None else 1 / seen
                unbiased = variance * count / (count - 1).clamp(min=1)
                for name, fresh in (("running_mean", mean), ("running_var", unbiased)):
                    self.kept[name].lerp_(fresh.view_as(self.kept[name]), share.expand_as(self.kept[name]))
        out = (x - mean) * (variance + like.eps).rsqrt()
        if "weight" in self.trained:
            shape = mean.shape
            out = out * self.trained["weight"].view(shape) + self.trained["bias"].view(shape)
        return out
