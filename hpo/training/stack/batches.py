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
    all rows of all members count."""

    rows: Tensor
    targets: Tensor
    ragged: Ragged | None


def epoch_batches(runs: Sequence[Run]) -> Iterator[Batch]:
    """Yield one epoch's batches, as hpo.training.loop.draw_batches makes them for each run."""
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
    for start in range(0, longest, size):
        sizes = [max(0, min(size, count - start)) for count in used]
        stop = start + max(sizes)
        ragged = Ragged(sizes, max(sizes), rows.device) if len(set(sizes)) > 1 else None
        yield Batch(rows[:, start:stop], targets[:, start:stop], ragged)


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
