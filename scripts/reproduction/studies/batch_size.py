"""batch_size: small batches or large ones, at one learning rate and at one that grows with the batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from reproduction.claims import Claim, Mean, Verdict, against, better, geometric, mean
from reproduction.numbers import minutes
from reproduction.paired import Pair, pairs
from reproduction.study import Run, Study
from reproduction.writing import Writer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_FIXED = 0.01  # the one learning rate
_PER_ROW = 0.01 / 32  # of the rate that grows with the batch (Goyal et al. 2017)
_USUAL, _LARGEST, _SMALLEST = 32, 512, 16
_TRAINS = 0.6  # of the rows: a fifth each is for validation and test
_ALONE = "batch_size_alone"


def _write(page: Writer) -> list[Claim]:
    result = page.result("batch_size")
    trials, alone = result.trials, page.result(_ALONE).trials
    trials["scaled"] = (trials["learning_rate"] / trials["batch_size"] / _PER_ROW - 1).abs() < 1e-6
    sizes = sorted(trials["batch_size"].unique())
    rows, epochs = round(_TRAINS * result.sweep["data"]["rows"]), int(trials["epochs"].max())
    page.text(
        f"""SGD with momentum 0.9 on {rows:,} training rows, {epochs} epochs, {trials["param_seed"].nunique()} seeds each: all batch
        sizes at all of {trials["learning_rate"].nunique()} rates. *Fixed* is the rate {_FIXED:g} throughout, *scaled* the rate that
        grows with the batch, {_FIXED:g} at {_USUAL}; both see each row as often, so a large batch makes fewer steps."""
    )
    choices = {
        "fixed rate": trials[trials["learning_rate"] == _FIXED], "scaled rate": trials[trials["scaled"]],
        "best rate": _at_best(trials),
    }  # fmt: skip
    table = [_row(size, choices, alone[alone["batch_size"] == size], rows, epochs) for size in sizes]
    page.table(["batch size", "steps", *(f"accuracy, {name}" for name in choices), "the best rate", "seconds a trial alone",
                "ms a step"], table)  # fmt: skip
    together = (trials["ended"].max() - trials["started"].min()).total_seconds()
    page.text(
        f"""Means over seeds with 95 % intervals; the best rate is chosen by the very numbers that are shown, so its column flatters.
        The last two columns are of {len(alone)} further trials that train one at a time, without stacks, validation included: in a
        stack all trials share each step, and the {len(trials)} of the table took {minutes(together)} in all."""
    )
    with page.plot("batch_size", "accuracy and seconds a trial by batch size", columns=2) as axes:
        for (name, chosen), mark in zip(choices.items(), "os^", strict=True):
            _line(axes[0], chosen, "val_accuracy", name, mark)
        axes[0].set_ylabel("validation accuracy after the last epoch")
        axes[0].legend(fontsize="small")
        _line(axes[1], alone, "duration", "a trial alone", "o")
        axes[1].set_ylabel("seconds a trial, alone")
        axes[1].set_ylim(bottom=0)
    by_size = {
        f"{size} {name}": rows.set_index("param_seed")["val_accuracy"]
        for name, chosen in choices.items() for size, rows in chosen.groupby("batch_size")
    }  # fmt: skip
    made_up, left, scaled = pairs(by_size, [
        (f"{_LARGEST} scaled rate", f"{_LARGEST} fixed rate"),
        (f"{_LARGEST} scaled rate", f"{_USUAL} fixed rate"), (f"{_SMALLEST} scaled rate", f"{_LARGEST} scaled rate"),
    ])  # fmt: skip
    narrow = result.compare(
        by="batch_size", where=f"learning_rate == {_FIXED} and batch_size in [{_USUAL}, {_LARGEST}]"
    )
    verdict, figures = better(narrow, str(_USUAL), str(_LARGEST))
    return [
        Claim("at one learning rate large batches end lower", verdict, f"At {_FIXED:g}, batches: {figures}"),
        Claim("a rate that grows with the batch makes up for it", _made_up(made_up, left),
              f"{made_up.words('accuracy')}; what is left: {left.words('accuracy')}"),
        Claim("small batches generalise better", scaled.larger, f"Each at its scaled rate: {scaled.words('accuracy')}"),
        _faster(alone),
    ]  # fmt: skip


def _at_best(trials: pd.DataFrame) -> pd.DataFrame:
    """Return of each batch size the trials at the rate with the best mean accuracy."""
    means = trials.groupby(["batch_size", "learning_rate"])["val_accuracy"].mean().dropna()
    best = means.groupby(level=0).idxmax()
    return trials[trials["learning_rate"] == trials["batch_size"].map({size: rate for size, (_, rate) in best.items()})]


def _row(size: int, choices: dict[str, pd.DataFrame], alone: pd.DataFrame, rows: int, epochs: int) -> list[object]:
    steps = epochs * math.ceil(rows / size)
    at = {name: chosen[chosen["batch_size"] == size] for name, chosen in choices.items()}
    best = at["best rate"]["learning_rate"]
    seconds = geometric(alone["duration"].tolist())
    return [
        size, steps, *(str(mean(chosen["val_accuracy"])) for chosen in at.values()),
        float(best.iloc[0]) if len(best) else math.nan, str(seconds), float(1000 * seconds.value / steps),
    ]  # fmt: skip


def _line(axes: Axes, trials: pd.DataFrame, figure: str, label: str, mark: str) -> None:
    average = geometric if figure == "duration" else mean  # which are never below 0
    means: dict[Any, Mean] = {size: average(rows[figure].tolist()) for size, rows in trials.groupby("batch_size")}
    found = {size: each for size, each in means.items() if each.count}
    values = [each.value for each in found.values()]
    bars = [[each.value - each.low for each in found.values()], [each.high - each.value for each in found.values()]]
    axes.errorbar(list(found), values, yerr=bars, marker=mark, markersize=4, capsize=2, label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(found), [str(size) for size in found])
    axes.set_xlabel("batch size")


def _made_up(gain: Pair, left: Pair) -> Verdict:
    """It holds if the larger rate is better, and what is left to the small batch is not shown to be anything."""
    if gain.larger == Verdict.HOLDS:
        return Verdict.PARTLY if left.smaller == Verdict.HOLDS else Verdict.HOLDS
    return gain.larger


def _faster(alone: pd.DataFrame) -> Claim:
    seconds = {size: rows.set_index("param_seed")["duration"] for size, rows in alone.groupby("batch_size")}
    small, large = seconds.get(_SMALLEST), seconds.get(_LARGEST)
    ratio = geometric([] if small is None or large is None else (small / large).dropna())
    evidence = f"A trial with batches of {_SMALLEST} takes {ratio} times as long as one with {_LARGEST}, alone, with " \
        f"{_LARGEST // _SMALLEST} times as many steps"  # fmt: skip
    return Claim("large batches make a trial faster", against(ratio, 1.0, below=False), evidence)


BATCH_SIZE = Study(
    "batch_size",
    "Batch size",
    "small or large batches, at one rate and at one that grows with the batch?",
    [
        Run("batch_size", quick=["parameters.seed.max=1", "parameters.epochs.value=1", "data.rows=200",
                                 "parameters.learning_rate.values=[0.01, 0.16]", "budget.trials=24", "references=off"]),
        Run("batch_size", _ALONE,
            ["engine.cohort=off", "engine.workers=1", "parameters.learning_rate.values=[0.01]", "parameters.seed.max=2",
             "budget.trials=18", "references=off"],
            ["parameters.seed.max=1", "parameters.epochs.value=1", "data.rows=200", "budget.trials=12"], timed=False),
    ],
    _write,
)  # fmt: skip
