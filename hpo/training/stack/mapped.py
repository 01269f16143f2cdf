"""The slot of any module that has none of its own: torch.func over the members' tensors."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from hpo.training.health import LookedAt, looked_at, watched
from hpo.training.layers import Recurrent, SeededDropout
from hpo.training.outputs import LayerOutputs
from hpo.training.stack.slot import CannotStack, Ragged, Slot, not_in_place


class MappedSlot(Slot):
    """Any module, by torch.func: one call vectorised over the members' tensors. Equal structure only."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__(modules)
        self._like = deepcopy(modules[0])  # torch.func leaves traces in one that has the same layer twice
        not_in_place(self._like.modules())
        if any(isinstance(module, SeededDropout) and module.p > 0 for module in self._like.modules()):
            raise CannotStack(f"{type(self._like).__name__} drops out inside a module of its own")
        # of the original: a copy of a module that was compiled in place is not
        what = looked_at(modules[0])
        layers, activations = ({path: self._like.get_submodule(path) for path in each} for each in what.paths())
        self._looked_at = LookedAt(layers, activations, what.closed)
        frozen = {name for name, parameter in self._like.named_parameters() if not parameter.requires_grad}
        parameters, buffers = torch.func.stack_module_state(list(modules))
        self.trained = {name: tensor.detach() for name, tensor in parameters.items() if name not in frozen}
        self.kept = {name: tensor.detach() for name, tensor in parameters.items() if name in frozen} | dict(buffers)
        self._seen: set[bool] = set()  # modes (training or not) that it has run in

    @property
    def replays(self) -> bool:
        return not self.kept  # which a call gives anew

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

    def examined(self, seen: LayerOutputs, path: str, given: Tensor, made: Tensor) -> None:
        """By a pass of its own over these rows, for the activations inside the module."""
        taken_in: list[LayerOutputs] = []

        def call(tensors: dict[str, Tensor], row: Tensor) -> list[Tensor]:
            with watched(self._like, self._looked_at, path, seen) as inside:
                torch.func.functional_call(self._like, tensors, (row,))
            taken_in.append(inside)
            return [*inside.found.values(), *([] if inside.out is None else [inside.out])]

        self._like.train(False)
        kept = {name: tensor.clone() for name, tensor in self.kept.items()}  # the module may write to them
        all_members: list[Tensor] = torch.vmap(call)(self.trained | kept, given)
        (inside,), tensors = taken_in, [each.squeeze(1) for each in all_members]
        out = None if inside.out is None else tensors.pop()
        seen.joined(inside, dict(zip(inside.found, tensors, strict=True)), out)

    def backward(self, gradient: Tensor, needed: bool) -> tuple[Tensor | None, list[Tensor | None]]:
        below, found = super().backward(gradient, needed)
        return (None if below is None else below.clone()), found  # autograd may give one tensor to several


def _attributes(module: nn.Module) -> list[dict[str, str]]:
    """Return every attribute of a module and those below it, but not its parameters and buffers, as text."""
    own = [{key: repr(value) for key, value in vars(inner).items() if key[0] != "_"} for inner in module.modules()]
    private = [
        {key: repr(value) for key, value in vars(inner).items() if key[0] == "_" and key not in _TENSORS}
        for inner in module.modules()
    ]
    return own + private


_TENSORS = frozenset({"_parameters", "_buffers", "_modules"})
ROWWISE: set[type[nn.Module]] = {
    nn.LayerNorm, nn.GroupNorm, nn.Embedding, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, Recurrent,
}  # fmt: skip
"""Module types without a slot (or frozen) that treat every row of a batch apart, as padding of short batches needs."""
