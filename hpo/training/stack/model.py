"""From K models of one structure to one stack, and back."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType

import torch
from torch import Tensor, nn

from hpo.training.health import spread
from hpo.training.layers import Residual, SeededDropout
from hpo.training.outputs import LayerOutputs
from hpo.training.stack.activations import ActivationSlot
from hpo.training.stack.mapped import MappedSlot
from hpo.training.stack.shortcuts import joined
from hpo.training.stack.slot import CannotStack, Ragged, Slot
from hpo.training.stack.slots import SLOTS
from hpo.training.vocabulary.activations import ACTIVATIONS

ACTIVATION_TYPES: frozenset[type[nn.Module]] = frozenset(getattr(nn, choice.torch_name) for choice in ACTIVATIONS)
_MODULES_OWN = frozenset(vars(nn.Module()))


@dataclass(frozen=True)
class Columns:
    """Where a parameter is: its path in the members' models, its slot and its name there, its columns of `flat`."""

    path: str
    slot: Slot
    name: str
    where: slice

    @property
    def has_weights(self) -> bool:
        """Whether one member's part has two dimensions or more (hpo.training.health.weights_of)."""
        return self.slot.trained[self.name].dim() > 2


class StackedModel:
    """K models as one function on [K, B, ...].

    flat: all trained numbers, [K, P], a member a row; the slots' tensors are views of it.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        """Raises CannotStack unless all models have the same `structure_of`."""
        if len({structure_of(model) for model in models}) > 1:
            raise CannotStack("their models differ in structure")
        layers = [_layers(model) for model in models]
        self._names = [name for name, _ in layers[0]]
        self.slots = [make_slot([member[index][1] for member in layers]) for index in range(len(self._names))]
        joined(self.slots)
        tensors = [tensor for slot in self.slots for tensor in slot.trained.values()]
        if not tensors:
            raise CannotStack("there is nothing to train")
        if len({tensor.dtype for tensor in tensors}) > 1:
            raise CannotStack("their weights are of different types")
        self.activation_numbers = 0  # of one member, in the largest batch so far
        self.flat = torch.cat([tensor.flatten(1) for tensor in tensors], 1)
        self.parameters = self._views(self.flat)

    def _views(self, flat: Tensor) -> list[Tensor]:
        """Make `flat` the memory of the slots' trained tensors; return these."""
        views: list[Tensor] = []
        start = 0
        for slot in self.slots:
            for name, tensor in slot.trained.items():
                size = tensor[0].numel()
                view = flat[:, start : start + size].view(len(flat), *tensor.shape[1:])
                slot.trained[name] = view.detach().requires_grad_()
                views.append(slot.trained[name])
                start += size
        return views

    def __len__(self) -> int:
        return len(self.flat)

    def __call__(self, x: Tensor, ragged: Ragged | None = None) -> Tensor:
        """Return the outputs of a training batch by differentiable operations."""
        for slot in self.slots:
            x = slot.forward(x, True, ragged)
        return x

    def record(self, x: Tensor, ragged: Ragged | None = None) -> Tensor:
        """Return the outputs of a training batch, and keep what `backward` needs. Called without autograd."""
        numbers, own = 0, False
        for slot in self.slots:
            x = slot.record(x, ragged, own)
            own = slot.fresh
            numbers += x.numel()
        self.activation_numbers = max(self.activation_numbers, numbers // len(self))
        return x

    def backward(self, gradient: Tensor) -> list[Tensor | None]:
        """Return the gradient of each of `parameters`, None for one without a part in the output. Once for each
        `record`. gradient: that of the outputs; may be written over. Called without autograd."""
        found: list[list[Tensor | None]] = [[None] * len(slot.trained) for slot in self.slots]
        first = next(index for index, slot in enumerate(self.slots) if slot.trained)
        below: Tensor | None = gradient
        for index in reversed(range(first, len(self.slots))):
            if below is None:
                break
            below, found[index] = self.slots[index].backward(below, needed=index > first)
        return [each for several in found for each in several]

    def infer(self, x: Tensor, seen: LayerOutputs | None = None, rows: int = 0) -> Tensor:
        """Return the outputs for evaluation. Called without autograd.

        seen: takes in what health says of the activations of some of the first `rows` rows (Slot.examined).
        """
        own, looked_at = False, spread(rows)
        for name, slot in zip(self._names, self.slots, strict=True):
            given, x = x, slot.infer(x, own)
            own = slot.fresh
            if seen is not None:
                slot.examined(seen, name, given[:, looked_at], x[:, looked_at])
        if seen is not None:
            seen.close()
        return x

    def begin_epoch(self) -> None:
        for slot in self.slots:
            slot.begin_epoch()

    def select(self, rows: list[int]) -> None:
        """Keep only the members in these rows."""
        for slot in self.slots:
            slot.select(rows)
        self.flat = self.flat[rows]
        self.parameters = self._views(self.flat)

    def idle(self) -> list[bool]:
        """Return for each of `parameters` whether no member uses it any more."""
        return [slot.idle for slot in self.slots for _ in slot.trained]

    @property
    def replays(self) -> bool:
        """Whether a step takes nothing from Python that differs between steps: see Slot.replays."""
        return all(slot.replays for slot in self.slots)

    def running(self) -> list[Tensor]:
        """Return the tensors [K, ...] that change while training without being trained."""
        return [tensor for slot in self.slots for tensor in slot.kept.values()]

    def columns(self) -> Iterator[Columns]:
        """Yield where each of `parameters` is."""
        start = 0
        for prefix, slot in zip(self._names, self.slots, strict=True):
            for name, tensor in slot.trained.items():
                size = tensor[0].numel()
                yield Columns(f"{prefix}.{name}" if prefix else name, slot, name, slice(start, start + size))
                start += size

    def weights(self) -> Tensor:
        """Return which of a member's numbers in `flat` are weights, [P] of bool; the others are biases and scales."""
        return torch.cat(
            [torch.full((each.where.stop - each.where.start,), each.has_weights) for each in self.columns()]
        ).to(self.flat.device)

    def write_back(self, members: Mapping[int, nn.Module]) -> None:
        """Copy the weights and statistics of the members in these rows into their models."""
        targets: list[Tensor] = []
        sources: list[Tensor] = []
        with torch.no_grad():
            for prefix, slot in zip(self._names, self.slots, strict=True):
                tensors = {name: each.unbind() for name, each in (slot.trained | slot.kept).items()}
                if not tensors:
                    continue
                for row, model in members.items():
                    module = model.get_submodule(prefix)
                    known = dict(module.named_parameters()) | dict(module.named_buffers())
                    for name in tensors.keys() & known.keys():  # a slope is kept for members of other activations too
                        targets.append(known[name])
                        sources.append(slot.plain(name, tensors[name][row]))
            torch._foreach_copy_(targets, sources)  # one call for all, where each copy would be a launch on a GPU


def make_slot(modules: Sequence[nn.Module]) -> Slot:
    """Return the slot of one layer of all members."""
    first = modules[0]
    if all(map(_is_activation, modules)):
        return ActivationSlot(modules)
    return SLOTS[type(first)](modules) if _is_known(first) else MappedSlot(modules)


def _is_activation(module: nn.Module) -> bool:
    """Whether a module is one of the vocabulary's activations, of which members may have different ones."""
    one_slope = not isinstance(module, nn.PReLU) or module.weight.numel() == 1
    return type(module) in ACTIVATION_TYPES and one_slope and _is_simple(module)


def _is_known(module: nn.Module) -> bool:
    """Whether a slot of its own exists for a module's type and settings."""
    if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) != (1, -1):
        return False
    if isinstance(module, nn.modules.conv._ConvNd) and module.padding_mode != "zeros":
        return False
    if isinstance(module, nn.PReLU) and module.weight.numel() > 1:
        return False
    return type(module) in SLOTS and _is_simple(module)


def _is_simple(module: nn.Module) -> bool:
    """Whether a module computes what its type says, on weights that are all trained."""
    replaced = "forward" in vars(module)
    return not replaced and not _has_hooks(module) and all(each.requires_grad for each in module.parameters())


def _layers(model: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    """Return a model's layers in the order in which they run: of nn.Sequential and Residual, nested or not; else
    itself."""
    if type(model) not in (nn.Sequential, Residual) or _has_hooks(model) or "forward" in vars(model):
        return [(prefix, model)]
    found: list[tuple[str, nn.Module]] = []
    for name, child in model._modules.items():
        assert child is not None
        found += _layers(child, f"{prefix}.{name}" if prefix else name)
    tensors = [tensor for _, layer in found for tensor in (*layer.parameters(), *layer.buffers())]
    if len(tensors) > len({id(tensor) for tensor in tensors}):
        return [(prefix, model)]  # layers that share tensors: torch.func knows how
    return found


def structure_of(model: nn.Module) -> Hashable:
    """Return what models must have in common to train as one stack.

    Activations of the vocabulary count as one kind, and a dropout's rate does not count. Of a module that the stack
    does not know everything counts that is not a parameter or a buffer: a model that keeps its hyperparameters in
    attributes stacks only with its like.

    Raises CannotStack for a model that no stack can hold.
    """
    parts: list[Hashable] = []
    for _, layer in _layers(model):
        if _is_activation(layer):
            parts.append("activation")
        elif isinstance(layer, SeededDropout):
            parts.append(("dropout", layer.channelwise))
        else:
            shapes = tuple((name, tensor.shape, tensor.dtype) for name, tensor in layer.state_dict().items())
            parts.append((type(layer), _is_known(layer), shapes, _settings(layer)))
    return tuple(parts)


def _settings(module: nn.Module) -> Hashable:
    """Return everything of a module and those below it that is not a parameter or a buffer.

    Raises CannotStack for what can't be compared for certain.
    """
    facts: list[Hashable] = []
    for name, inner in module.named_modules():
        if _has_hooks(inner):
            raise CannotStack(f"{type(inner).__name__} has hooks")
        if isinstance(inner, SeededDropout):
            facts.append((name, inner.p, inner.channelwise))
            continue
        frozen = tuple(key for key, parameter in inner.named_parameters(recurse=False) if not parameter.requires_grad)
        own = {key: value for key, value in vars(inner).items() if key not in _MODULES_OWN}
        for key, value in own.items():
            if not _is_plain(value):
                raise CannotStack(f"{type(inner).__name__}.{key} can't be compared between trials")
        facts.append((name, type(inner), frozen, repr(sorted(own.items()))))
    return tuple(facts)


def _is_plain(value: object) -> bool:
    """Whether two values with the same repr are the same: numbers, text, containers of them, and functions, whose repr
    says which object it is."""
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.keys())) and all(map(_is_plain, value.values()))
    if value is None or type(value) in (bool, int, float, str, bytes, torch.dtype, torch.device):
        return True  # not their subclasses, which may have any repr
    # Not classes: two that a function made have the same repr, and may close over different hyperparameters.
    return isinstance(value, FunctionType | BuiltinFunctionType)


def _has_hooks(module: nn.Module) -> bool:
    """Whether something beside its forward runs when a module is called, or when its weights get gradients."""
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
        *(parameter._backward_hooks for parameter in module._parameters.values() if parameter is not None),
        *(
            getattr(parameter, "_post_accumulate_grad_hooks", None)
            for parameter in module._parameters.values()
            if parameter is not None
        ),
    )
    return any(hooks)
