"""Metrics, computed by Torch alone from a model's outputs; each agrees with scikit-learn's of the same name.

Outputs may have a leading dimension of models, so that one call measures a cohort:

    binary, regression: outputs [..., N], targets [..., N] or [N]          -> each metric [...]
    multiclass:         outputs [..., N, C], targets [..., N] or [N] int64  -> each metric [...]

Counts are summed in float64. Where a ratio has nothing to divide by it is 0 (scikit-learn's zero_division=0); a metric
that cannot be defined at all, such as roc_auc of one class, is NaN here and left out of what is reported. So are
`brier` and `calibration_error` where outputs stand for no probability (losses.makes_probabilities).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo.lazy import lazy_import
from hpo.spec.contract import Goal, KnownMetric
from hpo.training.task import Kind
from hpo.training.vocabulary.ranking import Ranks, ranks_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
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
OF_PROBABILITIES: dict[str, Goal] = {"brier": "minimize", "calibration_error": "minimize"}
"""Metrics of two classes that need probabilities, not just an order of the rows."""
METRICS: dict[Kind, dict[str, Goal]] = {
    "binary": {**_CLASSIFICATION, "average_precision": "maximize", **OF_PROBABILITIES},
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
BINS = 15
"""Of `calibration_error`: as many as Guo et al. 2017 take."""


@dataclass(frozen=True)
class LogitReading:
    """How the outputs of two classes are read; of several models, all alike or each in its own way.

    above: the logits above which a row is of class 1, [...], float64; None: 0.
    probable: whether their sigmoids stand for probabilities, [...] of bool; None: they do.
    """

    above: Tensor | None = None
    probable: Tensor | None = None


AS_LOGITS = LogitReading()


def known_metrics(
    kind: Kind,
    loss_parameters: frozenset[str],
    target_parameters: frozenset[str] = frozenset(),
    without_scale: tuple[str, ...] = (),
    improbable: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, KnownMetric]:
    """Return the contract's metrics of one kind, `train_*` and `val_*`.

    loss_parameters: `loss` and the hyperparameters of all losses: they change the scale of the loss.
    without_scale: losses that have none.
    improbable: values of hyperparameters beside which outputs are no probabilities, and why.
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
            absent = improbable if name in OF_PROBABILITIES and improbable else {}
            facts[f"{prefix}_{name}"] = KnownMetric(goal, varies, scale, absent)
    return facts


def measure(kind: Kind, outputs: Tensor, targets: Tensor, reading: LogitReading = AS_LOGITS) -> dict[str, Tensor]:
    """Return every metric of the kind but the loss, as float64 tensors of the leading shape. Outputs must be finite.

    reading: of two classes.
    """
    if kind == "binary":
        return _binary(outputs, targets, reading)
    return {"multiclass": _multiclass, "regression": _regression}[kind](outputs, targets)


def as_floats(metrics: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the metrics of one model as numbers, without those that are not finite."""
    values = torch.stack([value.double() for value in metrics.values()]).tolist()  # one copy from the device
    return {name: value for name, value in zip(metrics, values, strict=True) if math.isfinite(value)}


def are_called(logits: Tensor, above: Tensor | None) -> Tensor:
    """Return which rows are called class 1, [..., N] of bool. logits: [..., N]; above: as a LogitReading has it."""
    return logits > 0 if above is None else logits.double() > above.unsqueeze(-1)


def _binary(outputs: Tensor, targets: Tensor, reading: LogitReading) -> dict[str, Tensor]:
    predicted, positive = are_called(outputs, reading.above), (targets > 0.5).expand(outputs.shape)
    hits = (predicted & positive).sum(-1).double()
    called, positives = predicted.sum(-1).double(), positive.sum(-1).double()
    rows = outputs.shape[-1]
    negatives = rows - positives
    rejected = negatives - (called - hits)  # true negatives
    recalls = torch.stack([_ratio(hits, positives), _ratio(rejected, negatives)], -1)
    present = torch.stack([positives > 0, negatives > 0], -1)
    ranks = ranks_of(outputs, positive)
    found = {
        "accuracy": (hits + rejected) / rows,
        "balanced_accuracy": recalls.sum(-1) / present.sum(-1),
        "f1": _ratio(2 * hits, called + positives),
        "precision": _ratio(hits, called),
        "recall": recalls[..., 0],
        "roc_auc": _roc_auc(ranks),
        "average_precision": _average_precision(ranks),
    }
    probabilities = outputs.double().sigmoid()
    errors = probabilities - targets
    of_probabilities = {
        "brier": errors.square().mean(-1),
        "calibration_error": _calibration_error(probabilities, errors),
    }
    if (probable := reading.probable) is not None:
        of_probabilities = {name: torch.where(probable, each, math.nan) for name, each in of_probabilities.items()}
    return found | of_probabilities


def _calibration_error(probabilities: Tensor, errors: Tensor) -> Tensor:
    """Return the expected calibration error: how far the mean probability of class 1 is from the share of class 1, in
    each of BINS parts of (0, 1] of equal width, as a mean over rows. [..., N] -> [...]

    Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning"; the bins' edges are those of
    Guo et al. 2017, "On calibration of modern neural networks".

    errors: the probabilities less the labels, 0 or 1.
    """
    # An edge belongs to the bin below it, also where rounding made it a little larger (a forest says 0.2 of many rows).
    # One of several models may have gone astray, to NaN: its rows may be in any bin.
    bins = (probabilities * BINS).sub_(1e-9).ceil_().long().sub_(1).clamp_(0, BINS - 1)
    *models, rows = probabilities.shape
    count = math.prod(models)
    if models:  # each has bins of its own
        bins += torch.arange(0, count * BINS, BINS, device=bins.device).view(*models, 1)
    sums = errors.new_zeros(count * BINS).index_add_(0, bins.flatten(), errors.flatten())
    return sums.view(*models, BINS).abs().sum(-1) / rows


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
        "roc_auc": _roc_auc(ranks_of(scores, is_class)).mean(-1),  # NaN if a class does not occur
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


def _roc_auc(ranks: Ranks) -> Tensor:
    """Area under the ROC curve as the Mann-Whitney statistic, [...]; NaN if one class is missing.

    It is the chance that a positive outscores a negative, ties counting half: so tied rows share their mean rank.
    """
    twice_rank = ranks.below + ranks.up_to + 1
    positives = ranks.positive.sum(-1).double()
    negatives = twice_rank.shape[-1] - positives
    wins = (twice_rank * ranks.positive).sum(-1).double() / 2 - positives * (positives + 1) / 2
    return wins / (positives * negatives)


def _average_precision(ranks: Ranks) -> Tensor:
    """Area under the curve of precision and recall as scikit-learn defines it, [...]: by steps, not by straight lines.

    So it is the mean over positives of the precision at their own score: among rows that score as much, or more.
    """
    count = ranks.positive.cumsum(-1)
    positives = count[..., -1]
    no_less = positives.unsqueeze(-1) - (count - ranks.positive).gather(-1, ranks.below)  # positives
    precision = no_less.double() / (ranks.below.shape[-1] - ranks.below)
    return _ratio((precision * ranks.positive).sum(-1), positives)
