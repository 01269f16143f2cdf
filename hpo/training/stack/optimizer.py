"""The optimizers of a stack: every member's own, applied to slices of members that share one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hpo.training.penalty import Pull
from hpo.training.stack.slot import CannotStack, Ragged
from hpo.training.vocabulary.hyper import Hyper

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hpo.training.vocabulary.optimizers import OptimizerChoice
    from hpo.training.vocabulary.timetable import Timetable


@dataclass(frozen=True)
class Settings:
    """How one member is optimized. defaults: those of its torch.optim.Optimizer."""

    choice: OptimizerChoice
    defaults: Mapping[str, Any]
    clip_norm: float | None = None
    clip_value: float | None = None
    l1_penalty: float = 0.0


@dataclass
class _Group:
    choice: OptimizerChoice
    rows: list[int]  # of the stack, in the order of this group
    hyper: Hyper

    def update(self, own: Tensor, gradient: Tensor) -> None:
        """Change parameters in place by one step of all members."""
        assert self.choice.update is not None
        self.choice.update(own, gradient, self.hyper)


@dataclass(frozen=True)
class _GroupedTensors:
    """Tensors in the order of the groups: those of one optimizer side by side."""

    flat: Tensor  # the stack's own parameters, in its own order
    order: Tensor | None  # None: the same as the stack's
    back: Tensor | None
    own: Tensor  # the parameters
    gradient: Tensor
    clip_norm: Tensor | None  # [K, 1]; None: nobody has a limit
    clip_value: Tensor | None
    penalty: Tensor | None  # on each weight, [K, P]; None: nobody has one


class StackedOptimizer:
    """Clips and applies gradients to the flat parameters [K, P] of a stack.

    Members lie in the stack in an order that suits the forward pass. Here those with one optimizer lie side by side,
    in a copy of the parameters: each kind updates one contiguous slice, and one gather puts the result back.
    """

    def __init__(self, settings: Sequence[Settings], flat: Tensor, weights: Callable[[], Tensor]) -> None:
        """weights: returns which of the P numbers of a member are weights that a penalty is on, [P] of bool.

        Raises CannotStack if an optimizer has no stacked form."""
        self._settings = list(settings)
        self._weights = weights
        kinds: dict[str, list[int]] = {}
        for row, each in enumerate(settings):
            if each.choice.update is None:
                raise CannotStack(f"the optimizer {each.choice.name} has no stacked form")
            kinds.setdefault(each.choice.name, []).append(row)
        self._groups = []
        for rows in kinds.values():
            defaults = [settings[row].defaults for row in rows]
            self._groups.append(_Group(settings[rows[0]].choice, rows, Hyper(defaults, flat)))
        self._tensors = self._arranged(flat)

    def _arranged(self, flat: Tensor) -> _GroupedTensors:
        order = [row for group in self._groups for row in group.rows]
        moved = None if order == list(range(len(order))) else torch.tensor(order, device=flat.device)
        return _GroupedTensors(
            flat,
            moved,
            None if moved is None else moved.argsort(),
            flat if moved is None else flat[moved],
            torch.empty_like(flat),
            _limits([self._settings[row].clip_norm for row in order], flat),
            _limits([self._settings[row].clip_value for row in order], flat),
            self._penalties([self._settings[row].l1_penalty for row in order], flat),
        )

    def _penalties(self, sizes: Sequence[float], flat: Tensor) -> Tensor | None:
        return flat.new_tensor(sizes).unsqueeze(1) * self._weights() if any(sizes) else None

    def plan(self, timetable: Timetable, rates: NDArray[np.float64]) -> None:
        """Let a timetable say what changes from step to step, until `took`. rates: each member's learning rate at each
        step of the epoch that begins, [steps, K]."""
        for group in self._groups:
            group.hyper.plan(timetable, torch.from_numpy(rates[:, group.rows]))

    def took(self, count: int) -> None:
        """Take in how many of the planned steps were taken."""
        for group in self._groups:
            group.hyper.took(count)

    def step(self, gradients: Sequence[Tensor], rates: Sequence[float] | None, ragged: Ragged | None) -> None:
        """Take one step. gradients: [K, ...], in the order of the flat parameters; rates: each member's learning rate,
        None: as planned. Members without rows in a ragged batch stay as they are. Called without autograd."""
        self._gather([each.flatten(1) for each in gradients])
        pull = None
        if self._tensors.penalty is not None:
            pull = Pull(self._tensors.own, self._tensors.gradient, self._tensors.penalty)
        self._clip(self._tensors.gradient)
        idle = [] if ragged is None else ragged.idle
        start = 0
        for group in self._groups:
            stop = start + len(group.rows)
            own, its = self._tensors.own[start:stop], self._tensors.gradient[start:stop]
            rest = [place for place, row in enumerate(group.rows) if row in idle] if idle else []
            if rates is None:
                group.update(own, its)
            elif len(rest) < len(group.rows):
                group.hyper.set_learning_rates([rates[row] for row in group.rows])
                _update(group, own, its, rest)
            start = stop
        if pull is not None:
            pull.settle()
        if self._tensors.back is not None:
            torch.index_select(self._tensors.own, 0, self._tensors.back, out=self._tensors.flat)

    def _gather(self, gradients: Sequence[Tensor]) -> None:
        """Put gradients [K, ...] side by side, in the order of the groups."""
        order, together = self._tensors.order, self._tensors.gradient
        if order is None:
            torch.cat(list(gradients), 1, out=together)
            return
        begin = 0
        for each in gradients:
            torch.index_select(each, 0, order, out=together[:, begin : begin + each.shape[1]])
            begin += each.shape[1]

    def _clip(self, gradient: Tensor) -> None:
        """As torch.nn.utils.clip_grad_value_ and then clip_grad_norm_ do."""
        if self._tensors.clip_value is not None:
            gradient.clamp_(-self._tensors.clip_value, self._tensors.clip_value)
        if self._tensors.clip_norm is not None:
            norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
            factor = (self._tensors.clip_norm / (norm + 1e-6)).clamp(max=1.0)
            gradient.mul_(torch.where(self._tensors.clip_norm.isinf(), 1.0, factor))

    @property
    def learning_rates(self) -> list[float]:
        """Each member's in the last step."""
        pairs = (pair for it in self._groups for pair in zip(it.rows, it.hyper.learning_rates, strict=True))
        return [rate for _, rate in sorted(pairs)]

    def tensors(self) -> list[Tensor]:
        """Return what a step changes on the device: parameters and states."""
        own = [] if self._tensors.order is None else [self._tensors.own]
        states = [tensor for group in self._groups for tensor in group.hyper.state.values()]
        return [each for each in (self._tensors.flat, *own, *states) if each.device == self._tensors.flat.device]

    def member(self, row: int) -> tuple[Hyper, int]:
        """Return the state that holds the member in a row of the stack, and its place there."""
        return next((group.hyper, group.rows.index(row)) for group in self._groups if row in group.rows)

    def select(self, rows: list[int], flat: Tensor) -> None:
        """Keep only the members in these rows of the stack, whose parameters are `flat` from now on."""
        new_row = {row: index for index, row in enumerate(rows)}
        self._settings = [self._settings[row] for row in rows]
        for group in self._groups:
            places = [place for place, row in enumerate(group.rows) if row in new_row]
            group.rows = [new_row[group.rows[place]] for place in places]
            group.hyper.select(places)
        self._groups = [group for group in self._groups if group.rows]
        self._tensors = self._arranged(flat)


def _update(group: _Group, own: Tensor, gradient: Tensor, idle: list[int]) -> None:
    """Update one slice in place; members in the places `idle` get back what they had."""
    hyper = group.hyper
    hyper.steps = [step + (place not in idle) for place, step in enumerate(hyper.steps)]
    before = {name: tensor[idle] for name, tensor in hyper.state.items()} if idle else {}
    parameters = own[idle] if idle else None
    group.update(own, gradient)
    if parameters is not None:
        own[idle] = parameters
        for name, tensor in before.items():
            hyper.state[name][idle] = tensor


def _limits(limits: Sequence[float | None], flat: Tensor) -> Tensor | None:
    """Return limits as a column, infinite where there is none; None if nobody has one."""
    if all(limit is None for limit in limits):
        return None
    return flat.new_tensor([torch.inf if limit is None else limit for limit in limits]).unsqueeze(1)
