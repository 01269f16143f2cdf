"""The batches of a cohort: at each step the next batch of every run, in the run's own order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hpo.training.stack.slot import Ragged

if TYPE_CHECKING:
    from hpo.training.run import Run


@dataclass(frozen=True)
class Batch:
    """rows: [K, B] rows of the whole training split, each member's counted in its own; targets: [K, B]; ragged: None if
    all rows of all members count; weights: [K, B] of the rows in the loss, None if all are 1."""

    rows: Tensor
    targets: Tensor
    ragged: Ragged | None
    weights: Tensor | None = None


@dataclass(frozen=True)
class EpochOrder:
    """rows, targets, weights: [K, N] of a whole epoch, in the order of its batches. size: of a full batch. used: how
    many of the N are each member's own."""

    rows: Tensor
    targets: Tensor
    size: int
    used: Sequence[int]
    weights: Tensor | None = None

    def batches(self) -> Iterator[Batch]:
        sizes_of = set(self.used)
        for start in range(0, max(sizes_of), self.size):
            sizes = {count: max(0, min(self.size, count - start)) for count in sizes_of}
            width = max(sizes.values())
            stop, ragged = start + width, None
            if len(set(sizes.values())) > 1:
                ragged = Ragged([sizes[count] for count in self.used], width, self.rows.device)
            weights = None if self.weights is None else self.weights[:, start:stop]
            yield Batch(self.rows[:, start:stop], self.targets[:, start:stop], ragged, weights)


def draw_epoch(runs: Sequence[Run]) -> EpochOrder:
    """Draw one epoch's order for each run, as hpo.training.loop.draw_batches does."""
    size = runs[0].batch_size
    used = [min(run.steps_per_epoch * size, len(run.train)) for run in runs]
    longest = max(used)
    orders = [torch.randperm(len(run.train), generator=run.streams.order) for run in runs]
    order = padded([each[:count] for each, count in zip(orders, used, strict=True)], longest).to(runs[0].device)
    targets = _targets(runs, order, longest)
    rows = order
    kept = [run.data.kept_rows for run in runs]
    if any(each is not None for each in kept):
        rows = torch.stack([each if its is None else its[each] for its, each in zip(kept, order, strict=True)])
    return EpochOrder(rows, targets, size, used, _weights(runs, order))


def padded(members: Sequence[Tensor], longest: int) -> Tensor:
    """Return members' values [N] as [K, longest], with 0 in the places that do not count."""
    if all(len(values) == longest for values in members):
        return torch.stack(list(members))
    return torch.stack([torch.nn.functional.pad(values, (0, longest - len(values))) for values in members])


def _targets(runs: Sequence[Run], order: Tensor, longest: int) -> Tensor:
    first = runs[0].train.y
    if all(run.train.y is first for run in runs):
        return first[order]
    return torch.stack([run.train.y[each] for run, each in zip(runs, order, strict=True)])


def _weights(runs: Sequence[Run], order: Tensor) -> Tensor | None:
    """Return the weights of an epoch's rows, in their order; None if all rows of all runs count alike."""
    each = [run.data.weights for run in runs]
    if all(weights is None for weights in each):
        return None
    alike = torch.ones(order.shape[1], device=order.device)
    return torch.stack(
        [
            alike if its is None else its.at(run.completed)[rows]
            for run, its, rows in zip(runs, each, order, strict=True)
        ]
    )
