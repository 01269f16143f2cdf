"""regularization: L1, L2 or dropout against overfitting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reproduction.claims import Claim, Mean, Verdict, mean
from reproduction.numbers import show
from reproduction.paired import pairs
from reproduction.study import Run, Study
from reproduction.writing import Writer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_REMEDIES = {"l1_penalty": "L1", "weight_decay": "L2", "dropout": "dropout"}
_ZEROS = "health/model/zero_weights"
_MANY = 0.1  # of the weights


def _write(page: Writer) -> list[Claim]:
    result = page.result("regularization")
    trials, curves = result.trials, result.curves
    trials["gap"] = trials["train_accuracy"] - trials["val_accuracy"]
    trials["zeros"] = trials["number"].map(curves.dropna(subset=[_ZEROS]).groupby("number")[_ZEROS].last())
    plain = trials[(trials[list(_REMEDIES)] == 0).all(axis=1)]
    groups = {name: _strengths(trials, plain, name) for name in _REMEDIES}
    page.text(
        f"""A network of 128 and 128 ReLU units on {round(0.6 * result.sweep["data"]["rows"])} training rows, Adam 0.001,
        {int(trials["epochs"].max())} epochs, {trials["param_seed"].nunique()} seeds each: enough to learn them by heart. One remedy at
        a time, at several strengths. `weight_decay` is L2 here, added to Adam's gradient. Training accuracy is of the batches as
        they are trained, so with dropout it is that of the thinned network."""
    )
    rows = [_row("none", 0.0, plain)]
    for name, by_strength in groups.items():
        rows += [_row(_REMEDIES[name], strength, by_strength[strength]) for strength in _told(by_strength)]
    page.table(
        ["remedy", "strength", "training accuracy", "validation accuracy", "gap", "validation loss", "weights of 0"],
        rows,
    )
    page.text(
        """Means over seeds, validation accuracy with its 95 % interval. Of each remedy the table has the strength with the best
        validation accuracy and those beside it."""
    )
    with page.plot("regularization", "training and validation accuracy by strength of each remedy", columns=3) as axes:
        for each, (name, by_strength) in zip(axes, groups.items(), strict=True):
            each.sharey(axes[0])
            _lines(each, by_strength, {"train_accuracy": "training", "val_accuracy": "validation"}, _REMEDIES[name])
        axes[0].set_ylabel("accuracy after the last epoch")
        axes[0].legend(fontsize="small", loc="lower left")
    with page.plot("regularization_zeros", "share of weights that are 0", columns=2, height=2.6) as axes:
        for each, name in zip(axes, ("l1_penalty", "weight_decay"), strict=True):
            _lines(each, groups[name], {"zeros": "weights of 0"}, _REMEDIES[name])
            each.set_ylim(-0.05, 1.05)
        axes[0].set_ylabel("share of weights of 0")
    return [*(_helps(name, by_strength) for name, by_strength in groups.items()), _sparse(groups)]


def _strengths(trials: pd.DataFrame, plain: pd.DataFrame, name: str) -> dict[float, pd.DataFrame]:
    """Return the trials by a remedy's strength, those without any at 0."""
    found = {float(strength): rows for strength, rows in trials[trials[name] > 0].groupby(name)}
    return {0.0: plain, **found}


def _told(by_strength: dict[float, pd.DataFrame]) -> list[float]:
    """Return the strength with the best mean validation accuracy, and those beside it."""
    strengths = [strength for strength in by_strength if strength > 0]
    means = [mean(by_strength[strength]["val_accuracy"]).value for strength in strengths]
    if not strengths:
        return []
    best = max(range(len(means)), key=lambda place: means[place] if math.isfinite(means[place]) else -1.0)
    return strengths[max(0, best - 1) : best + 2]


def _row(name: str, strength: float, trials: pd.DataFrame) -> list[object]:
    means = {figure: mean(trials[figure]) for figure in ("train_accuracy", "val_accuracy", "gap", "val_loss", "zeros")}
    return [
        name, f"{strength:g}", means["train_accuracy"].value, str(means["val_accuracy"]), means["gap"].value,
        means["val_loss"].value, f"{100 * means['zeros'].value:.0f} %" if means["zeros"].count else "-",
    ]  # fmt: skip


def _lines(axes: Axes, by_strength: dict[float, pd.DataFrame], figures: dict[str, str], title: str) -> None:
    for figure, label in figures.items():
        means: list[Mean] = [mean(trials[figure]) for trials in by_strength.values()]
        bars = [[each.value - each.low for each in means], [each.high - each.value for each in means]]
        axes.errorbar(
            range(len(means)),
            [each.value for each in means],
            yerr=bars,
            marker="o",
            markersize=4,
            capsize=2,
            label=label,
        )
    axes.set_xticks(range(len(by_strength)), [f"{strength:g}" for strength in by_strength], rotation=45)
    axes.set_xlabel(f"strength of {title}")


def _helps(name: str, by_strength: dict[float, pd.DataFrame]) -> Claim:
    """Each strength is compared with none, so that the best one's lead is no choice after the fact."""
    strengths = [strength for strength in by_strength if strength > 0]
    told = {figure: {f"{strength:g}": rows.set_index("param_seed")[figure] for strength, rows in by_strength.items()}
            for figure in ("val_accuracy", "gap")}  # fmt: skip
    compared = [(f"{strength:g}", "0") for strength in strengths]
    accuracy, gap = pairs(told["val_accuracy"], compared), pairs(told["gap"], compared)
    higher = [pair for pair in accuracy if pair.larger == Verdict.HOLDS]
    narrower = [pair for pair in gap if pair.smaller == Verdict.HOLDS]
    verdict = Verdict.HOLDS if higher else Verdict.PARTLY if narrower else Verdict.UNKNOWN
    best = max(accuracy, key=lambda pair: -math.inf if pair.effect is None else pair.effect.shift, default=None)
    if best is None:
        return Claim(f"{_REMEDIES[name]} helps against overfitting", Verdict.UNKNOWN, "Nothing to compare")
    beside = gap[accuracy.index(best)]
    return Claim(
        f"{_REMEDIES[name]} helps against overfitting",
        verdict,
        f"At {len(higher)} of {len(strengths)} strengths validation accuracy is shown to be higher than without, at {len(narrower)} "
        f"the gap to be narrower. The best: {best.words('accuracy')}; gap: {beside.words('accuracy')}",
    )


def _sparse(groups: dict[str, dict[float, pd.DataFrame]]) -> Claim:
    """Whether some L1 that is no worse than none has many weights of 0, and no L2 has any to speak of."""
    by_strength = groups["l1_penalty"]
    accuracy = {f"{each:g}": rows.set_index("param_seed")["val_accuracy"] for each, rows in by_strength.items()}
    compared = pairs(accuracy, [(f"{each:g}", "0") for each in by_strength if each > 0])
    harmless = [float(pair.left) for pair in compared if pair.smaller != Verdict.HOLDS]
    shares = {strength: mean(by_strength[strength]["zeros"]) for strength in harmless}
    told = [strength for strength, share in shares.items() if share.count]
    others = [mean(rows["zeros"]) for strength, rows in groups["weight_decay"].items() if strength > 0]
    l2 = max((each.high for each in others if each.count), default=math.nan)
    if not told or math.isnan(l2):
        return Claim("L1 sets weights to 0, L2 doesn't", Verdict.UNKNOWN, "Weights of 0 were not measured")
    most = max(told, key=lambda strength: shares[strength].value)
    holds = shares[most].low > _MANY > l2
    return Claim(
        "L1 sets weights to 0, L2 doesn't",
        Verdict.HOLDS if holds else Verdict.FAILS,
        f"With L1 {most:g}, which is not shown to be less accurate than none, a share of {shares[most]} of the weights is exactly 0; "
        f"with L2 at most {show(l2)}. Called many from {_MANY:g} on",
    )


REGULARIZATION = Study(
    "regularization",
    "Regularization",
    "L1, L2 or dropout against overfitting?",
    [Run("regularization", quick=["parameters.seed.max=1", "parameters.epochs.value=2", "data.rows=100",
                                  "budget.trials=32", "references=off"])],
    _write,
)  # fmt: skip
