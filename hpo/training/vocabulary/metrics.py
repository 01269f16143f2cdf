"""Metrics, computed by Torch alone from a model's outputs; each agrees with scikit-learn's of the same name.

Outputs may have a leading dimension of models, so that one call measures a cohort:

    binary, regression: outputs [..., N], targets [..., N] or [N]          -> each metric [...]
    multiclass:         outputs [..., N, C], targets [..., N] or [N] int64  -> each metric [...]

Counts are summed in float64. Where a ratio has nothing to divide by it is 0 (scikit-learn's zero_division=0); a metric
that cannot be defined at all, such as roc_auc of one class, is NaN here and left out of what is reported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hpo.lazy import lazy_import
from hpo.spec.contract import Goal, KnownMetric
from hpo.training.task import Kind

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor
else:
    np = lazy_import("numpy")
    torch = lazy_import("torch")

_CLASSIFICATION: dict[str, Goal] = {
    "loss": "minimize",
    "accuracy": "maximize",
    "balanced_accuracy": "maximize",
    "f1": "maximize",
    "precision": "maximize",
    "recall": "maximize",
    "roc_auc": "maximize",
}
METRICS: dict[Kind, dict[str, Goal]] = {
    "binary": _CLASSIFICATION,
    "multiclass": _CLASSIFICATION,
    "regression": {
        "loss": "minimize",
        "rmse": "minimize",
        "mae": "minimize",
        "r2": "maximize",
        "median_absolute_error": "minimize",
    },
}
"""Name and goal of each kind's metrics, without the prefix `train_` or `val_`."""
ROW_SHARES = frozenset({"accuracy"})
"""Metrics that are the share of a split's rows of which something holds: their standard error is the binomial one.
(Recall and precision are shares of some of the rows, whose number differs; the others are no shares.)"""


def known_metrics(
    kind: Kind,
    loss_parameters: frozenset[str],
    target_parameters: frozenset[str] = frozenset(),
    without_scale: tuple[str, ...] = (),
) -> dict[str, KnownMetric]:
    """Return the contract's metrics of one kind, `train_*` and `val_*`.

    loss_parameters: `loss` and the hyperparameters of all losses: they change the scale of the loss.
    without_scale: losses that have none.
    target_parameters: those that change which rows are trained on and in which units. The loss varies with them, and so
        do all of a training split's metrics: they are taken over the rows that were kept.
    """
    facts = {}
    for prefix in ("train", "val"):
        for name, goal in METRICS[kind].items():
            varies = loss_parameters if name == "loss" else frozenset()
            if name == "loss" or prefix == "train":
                varies |= target_parameters
            scale = {"loss": without_scale} if name == "loss" and without_scale else {}
            facts[f"{prefix}_{name}"] = KnownMetric(goal, varies, scale)
    return facts


def measure(kind: Kind, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Return every metric of the kind but the loss, as float64 tensors of the leading shape. Outputs must be finite."""
    return {"binary": _binary, "multiclass": _multiclass, "regression": _regression}[kind](outputs, targets)


def as_floats(metrics: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the metrics of one model as numbers, without those that are not finite."""
    values = torch.stack([value.double() for value in metrics.values()]).tolist()  # one copy from the device
    return {name: value for name, value in zip(metrics, values, strict=True) if math.isfinite(value)}


def _binary(outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    predicted, positive = outputs > 0, (targets > 0.5).expand(outputs.shape)
    hits = (predicted & positive).sum(-1).double()
    called, positives = predicted.sum(-1).double(), positive.sum(-1).double()
    rows = outputs.shape[-1]
    negatives = rows - positives
    rejected = negatives - (called - hits)  # true negatives
    recalls = torch.stack([_ratio(hits, positives), _ratio(rejected, negatives)], -1)
    present = torch.stack([positives > 0, negatives > 0], -1)
    return {
        "accuracy": (hits + rejected) / rows,
        "balanced_accuracy": recalls.sum(-1) / present.sum(-1),
        "f1": _ratio(2 * hits, called + positives),
        "precision": _ratio(hits, called),
        "recall": recalls[..., 0],
        "roc_auc": _roc_auc(outputs, positive),
    }


def _multiclass(outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    *models, rows, classes = outputs.shape
    predicted, targets = outputs.argmax(-1), targets.expand(outputs.shape[:-1])
    confusion = _confusion(predicted.reshape(-1, rows), targets.reshape(-1, rows), classes)
    confusion = confusion.reshape(*models, classes, classes).double()  # [..., target, predicted]
    hits, actual, called = confusion.diagonal(dim1=-2, dim2=-1), confusion.sum(-1), confusion.sum(-2)
    seen = ((actual > 0) | (called > 0)).sum(-1)  # macro means are over classes that occur, as scikit-learn's
    recall = _ratio(hits, actual)
    is_class = targets.unsqueeze(-2) == torch.arange(classes, device=outputs.device).unsqueeze(-1)
    # One class against the rest is ranked by probability; its logarithm has the same order and no underflow.
    scores = outputs.log_softmax(-1).transpose(-1, -2)
    return {
        "accuracy": hits.sum(-1) / rows,
        "balanced_accuracy": recall.sum(-1) / (actual > 0).sum(-1),
        "f1": _ratio(2 * hits, actual + called).sum(-1) / seen,
        "precision": _ratio(hits, called).sum(-1) / seen,
        "recall": recall.sum(-1) / seen,
        "roc_auc": _roc_auc(scores, is_class).mean(-1),  # NaN if a class does not occur
    }


def _regression(outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    targets = targets.double()
    error = outputs.double() - targets
    absolute = error.abs()
    rows = error.shape[-1]
    ordered = absolute.sort(-1).values
    residual = error.square().sum(-1)
    total = (targets - targets.mean(-1, keepdim=True)).square().sum(-1).expand(residual.shape)
    # Constant targets have no variance to explain: 1 if predicted exactly, else 0, as scikit-learn defines it.
    r2 = torch.where(total > 0, 1 - residual / total, (residual == 0).double())
    return {
        "rmse": (residual / rows).sqrt(),
        "mae": absolute.mean(-1),
        "r2": r2 if rows > 1 else torch.full_like(residual, math.nan),
        "median_absolute_error": (ordered[..., (rows - 1) // 2] + ordered[..., rows // 2]) / 2,
    }


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, part / whole, 0.0)


def _confusion(predicted: Tensor, targets: Tensor, classes: int) -> Tensor:
    """[K, N] class indices -> [K, C, C] counts."""
    models = len(predicted)
    offset = torch.arange(models, device=predicted.device).unsqueeze(-1) * classes * classes
    cells = (offset + targets * classes + predicted).flatten()
    return torch.bincount(cells, minlength=models * classes * classes).reshape(models, classes, classes)


def _roc_auc(scores: Tensor, positive: Tensor) -> Tensor:
    """Area under the ROC curve as the Mann-Whitney statistic: [..., N] -> [...]; NaN if one class is missing.

    It is the chance that a positive outscores a negative, ties counting half: so tied rows share their mean rank.
    """
    quick = scores.dtype == torch.float32 and scores.device.type == "cpu"
    twice_rank, positive = (_ranks_on_cpu if quick else _ranks)(scores, positive)
    positives = positive.sum(-1).double()
    negatives = scores.shape[-1] - positives
    wins = (twice_rank * positive).sum(-1).double() / 2 - positives * (positives + 1) / 2
    return wins / (positives * negatives)


def _ranks(scores: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Return twice the mean rank (from 1) of each row in the order of the scores, and which of these are positive."""
    ordered, order = scores.sort(-1)
    ordered = ordered.contiguous()
    below = torch.searchsorted(ordered, ordered)  # of sorted values: several times as fast as of shuffled ones
    up_to = torch.searchsorted(ordered, ordered, right=True)
    return below + up_to + 1, positive.gather(-1, order)


def _ranks_on_cpu(scores: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """The same by NumPy, whose sort of whole numbers takes a twentieth of the time of Torch's argsort.

    A float's bits, read as a whole number, have the floats' order but for the sign; the row's class rides in the lowest
    bit.
    """
    bits = scores.contiguous().numpy().view(np.int32)
    keys = np.where(bits < 0, np.int32(-(2**31)) - bits, bits).astype(np.int64)  # -0.0 becomes 0
    keys = np.left_shift(keys, 1, out=keys)
    keys |= positive.numpy()
    keys.sort(-1)
    positive = torch.from_numpy(keys & 1)
    keys >>= 1
    rows = keys.shape[-1]
    steps = keys[..., 1:] != keys[..., :-1]
    first, last = np.ones(keys.shape, bool), np.ones(keys.shape, bool)  # of each run of ties
    first[..., 1:] = last[..., :-1] = steps
    place = np.arange(rows)
    below = np.maximum.accumulate(np.where(first, place, 0), axis=-1)
    up_to = np.minimum.accumulate(np.where(last, place + 1, rows)[..., ::-1], axis=-1)[..., ::-1]
    return torch.from_numpy(below + up_to + 1), positive
