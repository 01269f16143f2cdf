"""losses_imbalance: one row in twenty is of class 1. Plain, weighted or focal loss?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproduction.claims import Claim, Mean, against, better, mean
from reproduction.shares import by_seed, less_by_seed
from reproduction.study import Run, Study
from reproduction.writing import Writer

if TYPE_CHECKING:
    import pandas as pd

_LOSSES = {"bce": "BCE", "weighted_bce": "weighted BCE", "focal": "focal"}
_METRICS = {
    "val_f1": "F1",
    "val_recall": "recall",
    "val_precision": "precision",
    "val_roc_auc": "area under the ROC curve",
    "val_average_precision": "average precision",
    "val_brier": "Brier score (less is better)",
    "val_calibration_error": "calibration error (less is better)",
}
"""Of the rare class. Those that a study has not are left out: older ones lack the last three."""


def _write(page: Writer) -> list[Claim]:
    result = page.result("losses_imbalance")
    everything = result.trials
    trials = _fixed(everything)
    there = {name: words for name, words in _METRICS.items() if name in trials and trials[name].notna().any()}
    page.text(
        f"""{result.sweep["data"]["rows"]:,} rows, {100 * result.sweep["data"]["imbalance"]:.0f} % of them of class 1,
        {trials["param_seed"].nunique()} seeds for each loss. Weighted BCE counts a row of class 1 as often as balances the
        classes; focal loss counts rows less that the network is sure of (gamma {_one(trials, "focal_gamma")}, alpha
        {_one(trials, "focal_alpha")}). All figures are of the rare class on validation rows."""
    )
    page.table(
        ["mean over seeds (95 %)", *_LOSSES.values()],
        [[words, *(str(mean(_of(trials, loss)[name])) for loss in _LOSSES)] for name, words in there.items()],
    )
    with page.plot("losses_imbalance", "recall against precision, and F1 by epoch", columns=2) as axes:
        curves = result.curves.merge(trials[["number", "loss"]], on="number")
        for index, (loss, words) in enumerate(_LOSSES.items()):
            runs = _of(trials, loss)
            axes[0].scatter(runs["val_recall"], runs["val_precision"], color=f"C{index}", s=16, label=words)
            course = _of(curves, loss).groupby("step")["val_f1"].mean()
            axes[1].plot(course.index, course, color=f"C{index}", label=words)
        axes[0].set_xlabel("recall of the rare class")
        axes[0].set_ylabel("precision of the rare class")
        axes[0].set_title("each run after its last epoch", fontsize="medium")
        axes[0].legend(fontsize="small")
        axes[1].set_xlabel("epoch")
        axes[1].set_ylabel("F1 of the rare class")
        axes[1].set_title("mean over seeds", fontsize="medium")
    if "threshold_rule" in everything:
        _thresholds(page, everything)
    return [
        *(_judged(page, loss) for loss in ("weighted_bce", "focal")),
        *(
            _rises(trials, metric, loss)
            for metric in ("val_recall", "val_roc_auc")
            for loss in ("weighted_bce", "focal")
        ),
    ]


def _of(frame: pd.DataFrame, loss: str) -> pd.DataFrame:
    return frame[frame["loss"] == loss]


def _fixed(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that call a row of class 1 from a probability of 0.5 on: all of a study without thresholds."""
    return trials[trials["threshold_rule"] == "fixed"] if "threshold_rule" in trials else trials


def _thresholds(page: Writer, trials: pd.DataFrame) -> None:
    chosen = trials[trials["threshold_rule"] == "best_f1"]
    page.table(
        ["threshold chosen on validation", *_LOSSES.values()],
        [
            [f"{words}, mean (95 %)", *(str(mean(_of(chosen, loss)[name])) for loss in _LOSSES)]
            for name, words in (
                ("val_threshold", "the threshold"), ("val_f1", "F1"), ("val_recall", "recall"), ("val_precision", "precision")
            )
        ] + [["F1 less that at 0.5, in pairs of a seed", *(str(_gain(trials, loss)) for loss in _LOSSES)]],
    )  # fmt: skip
    page.text(
        """Above, a row is of the rare class where its probability is above 0.5; here, where it is above the threshold with the
        largest F1 on the validation rows. These figures flatter: they are of the rows that the threshold was chosen on."""
    )


def _gain(trials: pd.DataFrame, loss: str) -> Mean:
    chosen, fixed = (
        by_seed(_of(trials[trials["threshold_rule"] == rule], loss), "val_f1") for rule in ("best_f1", "fixed")
    )
    return less_by_seed(chosen, fixed)


def _one(trials: pd.DataFrame, parameter: str) -> str:
    """Return the value that a parameter has where it is there."""
    values = trials[parameter].dropna().unique()
    return f"{values[0]:g}" if len(values) else "-"


def _judged(page: Writer, loss: str) -> Claim:
    """F1 is the sweep's metric: by its own test."""
    result = page.result("losses_imbalance")
    compared = result.compare(
        by="loss", where="threshold_rule == 'fixed'" if "threshold_rule" in result.trials else None
    )
    return Claim(f"{_LOSSES[loss]} raises the F1 of the rare class", *better(compared, loss, "bce"))


def _rises(trials: pd.DataFrame, metric: str, loss: str) -> Claim:
    """Another metric: by the mean difference between runs of the same seed."""
    difference = less_by_seed(by_seed(_of(trials, loss), metric), by_seed(_of(trials, "bce"), metric))
    text = f"{_LOSSES[loss]} raises the {_METRICS[metric]} of the rare class"
    return Claim(
        text, against(difference, 0.0, below=False), f"{_LOSSES[loss]} less BCE, in pairs of a seed: {difference}"
    )


LOSSES_IMBALANCE = Study(
    "losses_imbalance",
    "A rare class",
    "one row in twenty is of class 1: plain, weighted or focal loss?",
    [Run("losses_imbalance", quick=["parameters.seed.max=1", "parameters.epochs.value=2", "data.rows=400"])],
    _write,
)
