"""momentum: how much faster, and from where on it no longer trains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hpo.review.comparison.chance import wilson
from reproduction.claims import Claim, geometric, mean
from reproduction.curves import draw, first_steps, with_parameters
from reproduction.numbers import show
from reproduction.paired import pairs
from reproduction.study import Run, Study
from reproduction.writing import Writer, heat_map

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_SLOW = 0.03  # the rate at which epochs are counted
_FAST = 0.1  # the rate at which too much momentum shows
_TARGET = 0.85  # of validation accuracy
_SOME, _MUCH = 0.9, 0.99
_GUESS = math.log(2)  # the loss of who answers one half for each row of two classes
_NEAR, _MOVED = 0.95, 0.1


def _write(page: Writer) -> list[Claim]:
    result = page.result("momentum")
    trials, curves = result.trials, with_parameters(result, "momentum", "learning_rate")
    trials["diverged"] = _diverged(trials, curves)
    trials["to"] = first_steps(curves, trials, "val_accuracy", _TARGET).to_numpy()
    trials["overshoot"] = trials["train_loss"] - trials["best_train_loss"]
    momenta, rates = sorted(trials["momentum"].unique()), sorted(trials["learning_rate"].unique())
    seeds = trials["param_seed"].nunique()
    page.text(
        f"""A network of 64 and 32 ReLU units, SGD with batches of 32, {int(trials["epochs"].max())} epochs, {len(momenta)} momenta by
        {len(rates)} learning rates with {seeds} seeds each. A trial is called diverged if its loss is no longer a number, or if its
        training loss moved by more than {_MOVED:g} and ended no better than {_NEAR:g} of {_GUESS:.3f}, the loss of answering one half
        for each row. The x marks where half of the seeds or more diverged."""
    )
    with page.plot(
        "momentum_map", "final validation accuracy by learning rate and momentum; diverged cells are marked", height=3.2
    ) as axes:
        _map(axes[0], trials, rates, momenta)
    rows = [_row(trials[trials["momentum"] == momentum], momentum) for momentum in momenta]
    page.table(
        ["momentum", f"epochs to {100 * _TARGET:.0f} % at {_SLOW:g}", "largest rate that trains", "rate / (1 - momentum)",
         "best rate", "accuracy there", "diverged, of all rates"], rows,
    )  # fmt: skip
    page.text(
        """The largest rate that trains is the largest one up to which less than half of the seeds diverge. Its fourth column is what
        a step comes to in the long run: momentum adds up the last 1 / (1 - momentum) gradients."""
    )
    with page.plot("momentum", "epochs to the target by momentum, and training loss by epoch", columns=2) as axes:
        _speed(axes[0], trials[trials["learning_rate"] == _SLOW], momenta)
        for momentum in (0.0, _SOME, _MUCH):
            chosen = curves[(curves["learning_rate"] == _FAST) & (curves["momentum"] == momentum)]
            if len(chosen):
                draw(axes[1], chosen, "train_loss", f"momentum {momentum:g}")
        axes[1].set_xlabel("epoch")
        axes[1].set_ylabel(f"training loss, rate {_FAST:g}")
        axes[1].legend(fontsize="small")
    return [_speed_up(trials), _overshoot(trials), _stability(trials, rates)]


def _diverged(trials: pd.DataFrame, curves: pd.DataFrame) -> list[bool]:
    """Return whether each trial diverged."""
    losses = curves.groupby("number")["train_loss"].agg(["min", "max", "last", "count"])
    found = []
    for number, state in zip(trials["number"], trials["state"], strict=True):
        loss = losses.loc[number] if number in losses.index else None
        gone = state != "complete" or loss is None or not loss["count"]
        found.append(bool(gone or (loss["max"] - loss["min"] > _MOVED and loss["last"] > _NEAR * _GUESS)))
    return found


def _map(axes: Axes, trials: pd.DataFrame, rates: list[float], momenta: list[float]) -> None:
    cells = trials.groupby(["momentum", "learning_rate"]).agg(value=("val_accuracy", "mean"), lost=("diverged", "mean"))
    values = [
        [cells["value"][m, r] if cells["lost"][m, r] < 0.5 else math.nan for r in rates] for m in reversed(momenta)
    ]
    heat_map(axes, values, [f"{m:g}" for m in reversed(momenta)], [f"{r:g}" for r in rates])
    axes.set_xlabel("learning rate")
    axes.set_ylabel("momentum")
    axes.set_title("validation accuracy after the last epoch; x: diverged", fontsize="medium")


def _row(trials: pd.DataFrame, momentum: float) -> list[object]:
    slow = trials[trials["learning_rate"] == _SLOW]["to"]
    middle = slow.median() if len(slow) else math.nan
    lost = trials.groupby("learning_rate")["diverged"].mean()
    stable = _largest(lost < 0.5)
    accuracy = trials.groupby("learning_rate")["val_accuracy"].mean()
    best = accuracy.idxmax() if accuracy.notna().any() else math.nan
    low, high = wilson(int(trials["diverged"].sum()), len(trials))
    return [
        f"{momentum:g}",
        "never" if math.isinf(middle) else float(middle),
        float(stable),
        float(stable / (1 - momentum)),
        float(best),
        str(mean(trials[trials["learning_rate"] == best]["val_accuracy"])),
        f"{100 * trials['diverged'].mean():.0f} % ({100 * low:.0f} to {100 * high:.0f})",
    ]


def _largest(trains: Any) -> float:
    """Return the largest rate up to which all rates train. trains: whether each does, by rate; NaN: none."""
    found = math.nan
    for rate in sorted(trains.index):
        if not trains[rate]:
            break
        found = rate
    return found


def _speed(axes: Axes, trials: pd.DataFrame, momenta: list[float]) -> None:
    steps = trials.groupby("momentum")["to"].median()
    there = [momentum for momentum in momenta if math.isfinite(steps.get(momentum, math.inf))]
    axes.plot([1 / (1 - momentum) for momentum in there], [steps[momentum] for momentum in there], "o-", label="median")
    if 0.0 in there:
        ideal = [steps[0.0] * (1 - momentum) for momentum in there]
        axes.plot([1 / (1 - momentum) for momentum in there], ideal, "--", color="gray", label="as 1 - momentum")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([1 / (1 - momentum) for momentum in momenta], [f"{momentum:g}" for momentum in momenta])
    axes.minorticks_off()
    axes.set_yticks([0.2, 0.5, 1, 2, 5, 10, 20], ["0.2", "0.5", "1", "2", "5", "10", "20"])
    axes.set_xlabel("momentum")
    axes.set_ylabel(f"epochs to {100 * _TARGET:.0f} %, rate {_SLOW:g}")
    axes.legend(fontsize="small")


def _by_seed(trials: pd.DataFrame, rate: float, figure: str) -> dict[str, pd.Series]:
    at = trials[trials["learning_rate"] == rate]
    return {f"{momentum:g}": rows.set_index("param_seed")[figure] for momentum, rows in at.groupby("momentum")}


def _speed_up(trials: pd.DataFrame) -> Claim:
    steps = _by_seed(trials, _SLOW, "to")
    (found,) = pairs(steps, [(f"{_SOME:g}", "0")])
    evidence = f"At the rate {_SLOW:g}, epochs to {100 * _TARGET:.0f} %: momentum {found.words('epochs')}"
    if {"0", f"{_SOME:g}"} <= set(steps):
        ratios = geometric([each for each in steps["0"] / steps[f"{_SOME:g}"] if math.isfinite(each)])
        if ratios.count:
            evidence += f"; {ratios} times as fast, where adding up gradients would make it {1 / (1 - _SOME):g} times"
    return Claim("momentum speeds training up", found.smaller, evidence)


def _overshoot(trials: pd.DataFrame) -> Claim:
    (found,) = pairs(_by_seed(trials, _FAST, "overshoot"), [(f"{_MUCH:g}", f"{_SOME:g}")])
    return Claim(
        "too much momentum overshoots",
        found.larger,
        f"At the rate {_FAST:g}, how far the training loss ends above the lowest that it had: momentum {found.words('in loss')}",
    )


def _stability(trials: pd.DataFrame, rates: list[float]) -> Claim:
    """By steps of the grid's rates, of which each is about three times the one before."""
    largest = {
        f"{momentum:g}": rows.groupby("param_seed").apply(_step_of_largest, rates, include_groups=False)
        for momentum, rows in trials.groupby("momentum")
    }
    (found,) = pairs(largest, [(f"{_SOME:g}", "0")])
    middles = [
        f"{show(rates[int(steps.median())])} with momentum {momentum}"
        for momentum, steps in largest.items() if momentum in ("0", f"{_SOME:g}") and steps.median() >= 0
    ]  # fmt: skip
    return Claim(
        "with momentum only smaller learning rates are stable",
        found.smaller,
        f"The largest rate that trains is {', '.join(middles) or 'not among those tried'}; in steps of the {len(rates)} rates, "
        f"momentum {found.words('steps')}",
    )


def _step_of_largest(trials: pd.DataFrame, rates: list[float]) -> int:
    """Return which of the rates is the largest that trains, for the trials of one seed; -1: none does."""
    largest = _largest(~trials.set_index("learning_rate")["diverged"])
    return rates.index(largest) if math.isfinite(largest) else -1


MOMENTUM = Study(
    "momentum",
    "Momentum",
    "learning rate by momentum: how much faster, and from where on does it overshoot?",
    [Run("momentum", quick=["parameters.seed.max=1", "parameters.epochs.value=2", "parameters.learning_rate.values=[0.03, 0.1, 10.0]", "budget.trials=48",
                            "references=off", "data.rows=100"])],
    _write,
)  # fmt: skip
