"""The look at the test rows: the outputs that winner and baseline left, beside the targets, become a verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from hpo.decision.confirm.verdict import (
    METHOD_RESAMPLED,
    METHOD_ROWS,
    Judged,
    judge,
    resampled,
    share_padded,
    spread_of_resamples,
    spread_of_rows,
)
from hpo.lazy import lazy_import
from hpo.objective.outputs import digest_of_rows
from hpo.spec.faults import UserError
from hpo.training.vocabulary.metrics import ROW_SHARES, LogitReading, are_called, measure
from hpo.training.vocabulary.thresholds import HALF, logit_of

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from hpo.training.task import Kind, Splits
else:
    np = lazy_import("numpy")
    torch = lazy_import("torch")

_NUMBERS = 60_000_000  # outputs that the bootstrap looks at in all: some seconds
_AT_ONCE = 1_000_000  # of these, in one go
_DRAWS = (200, 2000)  # of the bootstrap: at least, and at most
Loss = Callable[["Tensor"], "Tensor"]


class OutputsGone(Exception):
    """What a trial's model said of the test rows is not there, or of other rows. The message says which."""


@dataclass(frozen=True)
class HeldOut:
    """The test rows' targets, in their own units, and what tells these rows from others."""

    kind: Kind
    y: Tensor
    digest: str  # of rows and targets
    rows_digest: str  # of the rows' features

    def __len__(self) -> int:
        return len(self.y)


def split_of(kind: Kind, splits: Splits) -> HeldOut:
    """Return the test split of a task."""
    rows, y = digest_of_rows(splits.test.x), splits.test.y.detach().cpu()
    digest = hashlib.sha256(f"{kind} {rows} {tuple(y.shape)} {y.dtype}".encode())
    digest.update(y.contiguous().numpy().data)
    return HeldOut(kind, y, digest.hexdigest(), rows)


@dataclass(frozen=True)
class LeftOutputs:
    """What the models of one contender say of the test rows, a model a seed."""

    outputs: Tensor  # [seeds, rows] or [seeds, rows, classes], the models' raw ones
    values: Tensor  # of the same shape: what they say, in the target's own units, or as logits
    loss: Loss | None = None  # of one model's outputs, [rows]; where the metric is the loss
    above: Tensor | None = None  # [seeds], the logits above which rows are of class 1; None: 0


def left_outputs(paths: Sequence[Path], split: HeldOut, loss: Loss | None = None) -> LeftOutputs:
    """Read what a contender's trials have left. Raises OutputsGone."""
    outputs, values, thresholds = [], [], []
    for path in paths:
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                arrays = {name: kept[name] for name in kept.files}
            rows = str(arrays["rows"])
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise OutputsGone(f"{path} can't be read ({type(error).__name__})") from None
        if rows != split.rows_digest:
            raise OutputsGone(f"{path} is of other test rows: the data has changed since")
        outputs.append(torch.from_numpy(arrays["outputs"]))
        values.append(torch.from_numpy(arrays.get("values", arrays["outputs"])))
        thresholds.append(float(arrays.get("threshold", HALF)))  # earlier releases had none
    above = logit_of(torch.tensor(thresholds, dtype=torch.float64)) if split.kind == "binary" else None
    return LeftOutputs(torch.stack(outputs), torch.stack(values), loss, above)


@dataclass(frozen=True)
class SideBySide:
    """Winner and baseline on the test rows. winner, baseline: the metric of each seed."""

    winner: tuple[float, ...]
    baseline: tuple[float, ...]
    judged: Judged
    method: str


def compare(winner: LeftOutputs, baseline: LeftOutputs, split: HeldOut, metric: str, goal: str) -> SideBySide:
    """Return the verdict. metric: without its prefix, as in hpo.training.vocabulary.metrics; goal: its own.

    Raises UserError if the metric is not defined on these rows.
    """
    sign = 1.0 if goal == "maximize" else -1.0
    by_row = _by_row(metric, split)
    if by_row is not None:
        rows = [by_row(each).double().numpy() for each in (winner, baseline)]
        means = [each.mean(1) for each in rows]
        differences = sign * (rows[0] - rows[1])
        padded = share_padded(differences) if metric in ROW_SHARES else differences
        judged = judge(float(differences.mean()), spread_of_rows(padded), centre=float(padded.mean()))
        return SideBySide(tuple(means[0].tolist()), tuple(means[1].tolist()), judged, METHOD_ROWS)
    whole: list[NDArray[Any]] = [_measured(each, split, metric, None) for each in (winner, baseline)]
    if not np.isfinite(np.stack(whole)).all():
        raise _undefined(metric, split)
    size = max(each.values.numel() for each in (winner, baseline))
    draws = min(_DRAWS[1], max(_DRAWS[0], _NUMBERS // size))

    def statistic(drawn: NDArray[np.intp]) -> NDArray[Any]:
        found = [_measured(each, split, metric, torch.from_numpy(drawn)) for each in (winner, baseline)]
        difference: NDArray[Any] = sign * (found[0] - found[1])
        return difference.T

    of_seeds = sign * (whole[0] - whole[1])
    redrawn = resampled(statistic, len(split), draws, max(1, _AT_ONCE // size))
    spread = spread_of_resamples(of_seeds, redrawn, len(split))
    judged = judge(float(of_seeds.mean()), replace(spread, by_rows=max(spread.by_rows, _least(split))))
    return SideBySide(tuple(whole[0].tolist()), tuple(whole[1].tolist()), judged, METHOD_RESAMPLED)


def refuse_undefined(metric: str, split: HeldOut, outputs: int) -> None:
    """Raise UserError if a metric is not defined on these rows, whatever a model says of them. outputs: of a model, for
    each row."""
    if metric == "loss":
        return
    shape = (len(split), outputs) if split.kind == "multiclass" else (len(split),)
    if not torch.isfinite(measure(split.kind, torch.zeros(shape), split.y)[metric]):
        raise _undefined(metric, split)


def _undefined(metric: str, split: HeldOut) -> UserError:
    return UserError(f"test_{metric} is not defined on the {len(split)} test rows (they lack a class, say)")


def _least(split: HeldOut) -> float:
    """Return the least variance of a difference of shares: what a row of the rarest class makes, and two rows more, as
    in `share_padded`. Where all models are wholly right or wrong about a class, the bootstrap finds none."""
    if split.kind == "regression":
        return 0.0
    counts = torch.bincount(split.y.long())
    return float(1 / (counts[counts > 0].min() + 2)) ** 2


def _measured(left: LeftOutputs, split: HeldOut, metric: str, drawn: Tensor | None) -> NDArray[Any]:
    """Return the metric of each seed over all rows, [seeds], or over drawn ones, [n, rows]: [seeds, n]."""
    values, y, above = left.values, split.y, left.above
    if drawn is not None:
        values, y = values[:, drawn], y[drawn]
        above = None if above is None else above.unsqueeze(-1)
    found: NDArray[Any] = measure(split.kind, values, y, LogitReading(above))[metric].double().numpy()
    return found


def _by_row(metric: str, split: HeldOut) -> Callable[[LeftOutputs], Tensor] | None:
    """Return what gives a metric of each row, [seeds, rows], of which it is the mean; None if it is no such metric."""

    def hits(left: LeftOutputs) -> Tensor:
        said = left.values.argmax(-1) if split.kind == "multiclass" else are_called(left.values, left.above)
        return (said == split.y).double()

    def misses(left: LeftOutputs) -> Tensor:
        return (left.values.double() - split.y.double()).abs()

    def squares(left: LeftOutputs) -> Tensor:
        return (left.values.double().sigmoid() - split.y).square()

    def losses(left: LeftOutputs) -> Tensor:
        assert left.loss is not None, "who compares losses says which"
        return torch.stack([left.loss(outputs) for outputs in left.outputs])

    found: Mapping[str, Callable[[LeftOutputs], Tensor]] = {
        "accuracy": hits,
        "mae": misses,
        "brier": squares,
        "loss": losses,
    }
    return found.get(metric)
