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
    """rows: [K, B] rows of the whole training split; targets: [K, B]; ragged: None if all rows of all members count."""

    rows: Tensor
    targets: Tensor
    ragged: Ragged | None


def epoch_batches(runs: Sequence[Run]) -> Iterator[Batch]:
    """Yield one epoch's batches, as hpo.training.loop.draw_batches makes them for each run."""
    size = runs[0].pace.batch_size
    used = [min(run.pace.steps_per_epoch * size, len(run.data.train)) for run in runs]
    longest = max(used)
    orders = [torch.randperm(len(run.data.train), generator=run.streams.order) for run in runs]
    order = _padded([each[:count] for each, count in zip(orders, used, strict=True)], longest).to(runs[0].device)
    targets = _targets(runs, order, longest)
    rows = order
    kept_rows = [run.data.kept_rows for run in runs]
    if any(kept is not None for kept in kept_rows):
        rows = torch.stack([each if kept is None else kept[each] for kept, each in zip(kept_rows, order, strict=True)])
    for start in range(0, longest, size):
        sizes = [max(0, min(size, count - start)) for count in used]
        stop = start + max(sizes)
        ragged = Ragged(sizes, max(sizes), rows.device) if len(set(sizes)) > 1 else None
        yield Batch(rows[:, start:stop], targets[:, start:stop], ragged)


def _padded(orders: Sequence[Tensor], longest: int) -> Tensor:
    """Return [K, longest], with row 0 in the places that do not count."""
    if all(len(order) == longest for order in orders):
        return torch.stack(list(orders))
    return torch.stack([torch.nn.functional.pad(order, (0, longest - len(order))) for order in orders])


def _targets(runs: Sequence[Run], order: Tensor, longest: int) -> Tensor:
    first = runs[0].data.train.y
    if all(run.data.train.y is first for run in runs):
        return first[order]
    return torch.stack([run.data.train.y[each] for run, each in zip(runs, order, strict=True)])
