"""Slots: one layer of K models at a time, on activations [K, B, ...].

Slot i of a stack holds layer i of every member. Its tensors have a leading dimension of members, and what it computes
for one member never depends on another's numbers: not even on a NaN in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from hpo.training.layers import SeededDropout, SqueezeLast, UniformPool, mask_shape
from hpo.training.stack.upload import upload


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
    """Base class: a layer without tensors of its own that works on any leading dimensions (elementwise, say).

    trained, kept: tensors [K, ...] by their names in the members' modules; `trained` ones get gradients, `kept` ones
    (running statistics, frozen weights) do not.
    idle: whether no member uses the trained tensors any more, so that they get no gradient.
    """

    idle = False

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.modules = list(modules)
        self.trained: dict[str, Tensor] = {}
        self.kept: dict[str, Tensor] = {}

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        out: Tensor = self.modules[0](x)
        return out

    def select(self, rows: list[int]) -> None:
        """Keep only the members in these rows. `trained` is taken care of by whoever owns its memory."""
        self.modules = [self.modules[row] for row in rows]
        self.kept = {name: tensor[rows] for name, tensor in self.kept.items()}

    def plain(self, name: str, tensor: Tensor) -> Tensor:
        """Return one member's part of a tensor as its module has it."""
        return tensor

    def begin_epoch(self) -> None:
        """Called before the first batch of an epoch."""


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Return copies of the members' tensors as one, [K, ...]."""
    return torch.stack([tensor.detach() for tensor in tensors])


class LinearSlot(Slot):
    """nn.Linear: one batched matrix product. Weights are held [K, in, out], so that the product reads them straight."""

    def __init__(self, modules: Sequence[nn.Linear]) -> None:
        super().__init__(modules)
        self.trained["weight"] = stacked([module.weight.T for module in modules]).contiguous()
        if modules[0].bias is not None:
            self.trained["bias"] = stacked([module.bias for module in modules])

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

    def plain(self, name: str, tensor: Tensor) -> Tensor:
        return tensor.T if name == "weight" else tensor


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


class FlattenSlot(Slot):
    """nn.Flatten of all but the batch dimension."""

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        return x.flatten(2) if x.dim() > 2 else x.unsqueeze(-1)


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


class DropoutSlot(Slot):
    """SeededDropout: every member's masks from its own generator, as many and in the order as alone."""

    def __init__(self, modules: Sequence[SeededDropout]) -> None:
        super().__init__(modules)
        self._set(modules)

    def _set(self, modules: Sequence[nn.Module]) -> None:
        dropouts = [module for module in modules if isinstance(module, SeededDropout)]
        self._pool = UniformPool([module.pool.generators[0] for module in dropouts])
        self._keep = torch.tensor([1 - module.p for module in dropouts], dtype=torch.float64)
        self._drops = [module.p > 0 for module in dropouts]
        self._channelwise = dropouts[0].channelwise

    def select(self, rows: list[int]) -> None:
        super().select(rows)
        self._set(self.modules)

    def begin_epoch(self) -> None:
        self._pool.reset()

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        if not training or not any(self._drops):
            return x
        active = self._drops
        if ragged is not None:
            active = [drops and size > 0 for drops, size in zip(self._drops, ragged.sizes, strict=True)]
        shape = mask_shape(x.shape[1:], self._channelwise)
        self._keep = self._keep.to(x)
        keep = self._keep.view(-1, *(1,) * len(shape))
        kept = self._pool.take(shape.numel(), x, active).view(len(x), *shape) < keep
        return x * (kept.to(x.dtype) / keep.clamp(min=torch.finfo(x.dtype).tiny))


class PReluSlot(Slot):
    """nn.PReLU with one slope a model."""

    def __init__(self, modules: Sequence[nn.PReLU]) -> None:
        super().__init__(modules)
        self.trained["weight"] = stacked([module.weight for module in modules])

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        return leaky(x, self.trained["weight"])


def leaky(x: Tensor, slope: Tensor) -> Tensor:
    """x [K, ...] where it is positive, elsewhere times the member's slope [K, 1]."""
    return torch.where(x > 0, x, slope.view(-1, *(1,) * (x.dim() - 1)) * x)


def kind_of(module: nn.Module) -> tuple[type[nn.Module], str]:
    """Return an activation's type and settings."""
    return type(module), module.extra_repr()


def not_in_place(modules: Sequence[nn.Module]) -> None:
    """Have activations leave their input alone, which gives the same numbers: slices can't be written to."""
    for module in modules:
        if getattr(module, "inplace", False):
            setattr(module, "inplace", False)  # noqa: B010 (of any module type)


class MixedSlot(Slot):
    """Activations that differ between members: each kind on its own slice.

    Members of a kind should lie side by side; then a slice is no copy.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__(modules)
        not_in_place(modules)
        self._sort()
        slopes = [module.weight if isinstance(module, nn.PReLU) else None for module in modules]
        if given := [slope for slope in slopes if slope is not None]:
            # Every member has a slope, as all tensors have a row for each; those of other kinds are never used.
            self.trained["weight"] = stacked([given[0] if slope is None else slope for slope in slopes])

    def _sort(self) -> None:
        kinds: dict[tuple[type[nn.Module], str], list[int]] = {}
        for row, module in enumerate(self.modules):
            kinds.setdefault(kind_of(module), []).append(row)
        self._kinds = [(self.modules[rows[0]], len(rows)) for rows in kinds.values()]
        self.idle = not any(isinstance(module, nn.PReLU) for module in self.modules)  # the last one may have left
        order = [row for rows in kinds.values() for row in rows]
        self._order = order if order != sorted(order) else []  # []: they lie side by side
        self._back = [order.index(row) for row in range(len(order))]

    def select(self, rows: list[int]) -> None:
        super().select(rows)
        self._sort()

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        sizes = [size for _, size in self._kinds]
        pieces = torch.split(x[self._order] if self._order else x, sizes)
        slopes: Sequence[Tensor | None] = [None] * len(sizes)
        if "weight" in self.trained:
            weight = self.trained["weight"]
            slopes = torch.split(weight[self._order] if self._order else weight, sizes)
        outs = [
            leaky(piece, slope) if isinstance(module, nn.PReLU) and slope is not None else module(piece)
            for (module, _), piece, slope in zip(self._kinds, pieces, slopes, strict=True)
        ]
        out = torch.cat(outs)
        return out[self._back] if self._order else out


class MappedSlot(Slot):
    """Any module, by torch.func: one call vectorised over the members' tensors. Equal structure only."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__(modules)
        self._like = deepcopy(modules[0])  # torch.func leaves traces in one that has the same layer twice
        if any(isinstance(module, SeededDropout) and module.p > 0 for module in self._like.modules()):
            raise CannotStack(f"{type(self._like).__name__} drops out inside a module of its own")
        frozen = {name for name, parameter in self._like.named_parameters() if not parameter.requires_grad}
        parameters, buffers = torch.func.stack_module_state(list(modules))
        self.trained = {name: tensor.detach() for name, tensor in parameters.items() if name not in frozen}
        self.kept = {name: tensor.detach() for name, tensor in parameters.items() if name in frozen} | dict(buffers)
        self._seen: set[bool] = set()  # modes (training or not) that it has run in

    def forward(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        if ragged is not None and type(self._like) not in ROWWISE:  # it might look at other rows, or count them
            raise CannotStack(f"{type(self._like).__name__} would meet batches of different sizes")
        kept = list(self.kept)

        def call(tensors: dict[str, Tensor], row: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            out: Tensor = torch.func.functional_call(self._like, tensors, (row,))
            return out, {name: tensors[name] for name in kept}  # functional_call put there what forward has assigned

        self._like.train(training)
        before = None if training in self._seen else _attributes(self._like)
        out, changed = torch.vmap(call)(self.trained | self.kept, x)
        if before is not None and _attributes(self._like) != before:
            # One module stands for all members here: what it remembers from one call to the next would be mixed up.
            raise CannotStack(f"{type(self._like).__name__} changes its attributes when it is called")
        self._seen.add(training)
        self.kept = changed
        return out


def _attributes(module: nn.Module) -> list[dict[str, str]]:
    """Return every attribute of a module and those below it, but not its parameters and buffers, as text."""
    own = [{key: repr(value) for key, value in vars(inner).items() if key[0] != "_"} for inner in module.modules()]
    private = [
        {key: repr(value) for key, value in vars(inner).items() if key[0] == "_" and key not in _TENSORS}
        for inner in module.modules()
    ]
    return own + private


_TENSORS = frozenset({"_parameters", "_buffers", "_modules"})
ROWWISE: set[type[nn.Module]] = {nn.LayerNorm, nn.GroupNorm, nn.Embedding, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d}
"""Module types without a slot (or frozen) that treat every row of a batch apart, as padding of short batches needs."""


ELEMENTWISE: set[type[nn.Module]] = {nn.Identity, SqueezeLast}
"""Module types without tensors that give the same for [K, B, ...] as for each of the K; activations join them."""

SLOTS: dict[type[nn.Module], Callable[[Sequence[nn.Module]], Slot]] = {
    nn.Linear: LinearSlot,  # type: ignore[dict-item]
    nn.Conv1d: ConvSlot,  # type: ignore[dict-item]
    nn.Conv2d: ConvSlot,  # type: ignore[dict-item]
    nn.Conv3d: ConvSlot,  # type: ignore[dict-item]
    nn.BatchNorm1d: BatchNormSlot,  # type: ignore[dict-item]
    nn.BatchNorm2d: BatchNormSlot,  # type: ignore[dict-item]
    nn.BatchNorm3d: BatchNormSlot,  # type: ignore[dict-item]
    SeededDropout: DropoutSlot,  # type: ignore[dict-item]
    nn.PReLU: PReluSlot,  # type: ignore[dict-item]
    nn.MaxPool1d: ChannelwiseSlot,
    nn.MaxPool2d: ChannelwiseSlot,
    nn.AvgPool1d: ChannelwiseSlot,
    nn.AvgPool2d: ChannelwiseSlot,
    nn.AdaptiveAvgPool1d: ChannelwiseSlot,
    nn.AdaptiveAvgPool2d: ChannelwiseSlot,
    nn.AdaptiveMaxPool2d: ChannelwiseSlot,
}
"""How each module type is stacked. One that is not here goes through torch.func."""
