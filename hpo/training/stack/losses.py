"""The losses of a stack: each kind on the members that chose it, with their own parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hpo.training.stack.slot import Ragged

if TYPE_CHECKING:
    from hpo.training.vocabulary.losses import Bound, LossChoice


@dataclass(frozen=True)
class _Arrangement:
    """Members by kinds. order, back: None where those of a kind lie side by side."""

    kinds: Sequence[tuple[LossChoice, Bound]]
    sizes: list[int]
    order: Tensor | None
    back: Tensor | None


class StackedLoss:
    """Per-example losses [K, B] of outputs [K, B] or [K, B, C] against targets [K, B]."""

    def __init__(self, members: Sequence[tuple[LossChoice, Bound]], like: Tensor) -> None:
        """members: each member's loss and the keyword arguments of its function. like: has the outputs' dtype and
        device."""
        self._members = list(members)
        self._like = like.new_empty(0)
        self._arrangement = self._arranged()

    def _arranged(self) -> _Arrangement:
        kinds: dict[str, list[int]] = {}
        for row, (choice, _) in enumerate(self._members):
            kinds.setdefault(choice.name, []).append(row)
        bound = [self._columns([self._members[row][1] for row in rows]) for rows in kinds.values()]
        choices = [self._members[rows[0]][0] for rows in kinds.values()]
        order = [row for rows in kinds.values() for row in rows]
        moved = torch.tensor(order, device=self._like.device) if order != sorted(order) else None
        return _Arrangement(
            list(zip(choices, bound, strict=True)),
            [len(rows) for rows in kinds.values()],
            moved,
            None if moved is None else moved.argsort(),
        )

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self._by_kind(outputs, targets, lambda choice: choice.function)

    def derivative(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the derivative of each example's loss by its outputs, in the shape of the outputs."""
        return self._by_kind(outputs, targets, lambda choice: choice.derivative or _by_autograd(choice))

    def _by_kind(
        self, outputs: Tensor, targets: Tensor, function_of: Callable[[LossChoice], Callable[..., Tensor]]
    ) -> Tensor:
        its = self._arrangement
        if its.order is not None:
            outputs, targets = outputs[its.order], targets[its.order]
        pieces = zip(its.kinds, outputs.split_with_sizes(its.sizes), targets.split_with_sizes(its.sizes), strict=True)
        found = [function_of(choice)(out, target, **bound) for (choice, bound), out, target in pieces]
        together = torch.cat(found) if len(found) > 1 else found[0]
        return together if its.back is None else together[its.back]

    def counts(self, outputs: Tensor, targets: Tensor, rows: Sequence[int]) -> dict[str, Tensor]:
        """Return the further metrics that the losses of the members in these rows have, [rows], NaN for members whose
        loss lacks them. outputs, targets: these members' own."""
        found: dict[str, Tensor] = {}
        for place, row in enumerate(rows):
            for name, count in self._members[row][0].counts:
                column = found.setdefault(name, outputs.new_full((len(rows),), torch.nan, dtype=torch.float64))
                column[place] = count(outputs[place], targets[place])
        return found

    def select(self, rows: list[int]) -> None:
        """Keep only the members in these rows."""
        self._members = [self._members[row] for row in rows]
        self._arrangement = self._arranged()

    def _columns(self, bounds: Sequence[Bound]) -> Bound:
        """Return each keyword argument for all members: the value that all have, else numbers as [K, 1] and tensors
        [C] as [K, 1, C]."""
        columns: Bound = {}
        for name, first in bounds[0].items():
            values = [bound[name] for bound in bounds]
            if isinstance(first, Tensor):
                columns[name] = torch.stack(values).unsqueeze(1).to(self._like)
            elif all(value == first for value in values):
                columns[name] = first
            else:
                columns[name] = self._like.new_tensor(values).unsqueeze(1)
        return columns


def weighted(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return values of rows, [K, B] or [K, B, C], times the rows' weights [K, B]; None: as they are."""
    return values if weights is None else values * weights.view(*weights.shape, *(1,) * (values.dim() - 2))


def mean(losses: Tensor, ragged: Ragged | None) -> Tensor:
    """Return each member's mean [K] over the rows that count of losses [K, B]."""
    if ragged is None:
        return losses.mean(1)
    return torch.where(ragged.mask, losses, 0.0).sum(1) / ragged.counts.clamp(min=1)


def of_mean(derivatives: Tensor, ragged: Ragged | None) -> Tensor:
    """Return derivatives of the mean over the rows that count, of those of each row [K, B, ...]."""
    if ragged is None:
        return derivatives.div_(derivatives.shape[1])
    shape = (*ragged.mask.shape, *(1,) * (derivatives.dim() - 2))
    counts = ragged.counts.clamp(min=1).view(-1, *(1,) * (derivatives.dim() - 1))
    return torch.where(ragged.mask.view(shape), derivatives, 0.0) / counts


def _by_autograd(choice: LossChoice) -> Callable[..., Tensor]:
    """Return a loss's derivative as autograd finds it."""

    def derivative(outputs: Tensor, targets: Tensor, **bound: Any) -> Tensor:
        leaf = outputs.detach().requires_grad_()
        with torch.enable_grad():
            total = choice.function(leaf, targets, **bound).sum()
        return torch.autograd.grad(total, leaf)[0]

    return derivative
