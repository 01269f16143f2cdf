"""schedules: against a constant rate, for two optimizers at two rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproduction.claims import Claim, Mean, Verdict, better, difference, in_words, mean
from reproduction.curves import with_parameters
from reproduction.numbers import show
from reproduction.paired import pairs
from reproduction.study import Run, Study
from reproduction.writing import Writer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    import hpo

_PLAIN = "constant"
_RATE = "health/model/learning_rate"
_COMBINED = (("sgd", 0.001), ("sgd", 0.01), ("adam", 0.001), ("adam", 0.01))
_NAMES = {"sgd": "SGD", "adam": "Adam"}


def _write(page: Writer) -> list[Claim]:
    result = page.result("schedules")
    trials, curves = result.trials, with_parameters(result, "schedule", "optimizer", "learning_rate")
    schedules = list(dict.fromkeys(trials["schedule"]))
    page.text(
        f"""{len(schedules)} schedules, SGD with momentum 0.9 and Adam, each at two learning rates, {int(trials["epochs"].max())} epochs,
        {trials["param_seed"].nunique()} seeds. The course halved the rate every 10 epochs (`step`); `one_cycle` rises to the given
        rate first, then falls."""
    )
    rows = []
    for schedule in schedules:
        cells: list[object] = [schedule]
        for optimizer, rate in _COMBINED:
            chosen = _of(trials, optimizer, rate)
            chosen = chosen[chosen["schedule"] == schedule]
            cells.append(f"{mean(chosen['val_accuracy'])}, best {show(mean(chosen['best_val_accuracy']).value)}")
        rows.append(cells)
    page.table(["schedule", *(f"{_NAMES[optimizer]} {rate:g}" for optimizer, rate in _COMBINED)], rows)
    page.text(
        """Validation accuracy after the last epoch, mean over seeds with its 95 % interval, then the mean of each trial's best epoch."""
    )
    with page.plot("schedules", "learning rate and losses by epoch for each schedule", 2, height=5.6, rows=2) as axes:
        _lines(axes[0], _of(curves, "sgd", 0.01), _RATE, "learning rate, SGD 0.01", schedules)
        _lines(axes[1], _of(curves, "sgd", 0.01), "train_loss", "training loss, SGD 0.01", schedules)
        _lines(axes[2], _of(curves, "sgd", 0.01), "val_loss", "validation loss, SGD 0.01", schedules)
        _lines(axes[3], _of(curves, "adam", 0.001), "val_loss", "validation loss, Adam 0.001", schedules)
        axes[3].legend(fontsize="x-small")
    with page.plot("schedules_gain", "each schedule's gain over a constant rate", height=3.0) as axes:
        _gains(axes[0], trials, [each for each in schedules if each != _PLAIN])
    return [
        *(_against_constant(result, trials, optimizer, rate) for optimizer, rate in _COMBINED),
        _interaction(trials),
    ]


def _of(table: pd.DataFrame, optimizer: str, rate: float) -> pd.DataFrame:
    return table[(table["optimizer"] == optimizer) & (table["learning_rate"] == rate)]


def _lines(axes: Axes, curves: pd.DataFrame, metric: str, label: str, schedules: list[str]) -> None:
    for place, schedule in enumerate(schedules):
        chosen = curves[curves["schedule"] == schedule]
        middle = chosen.groupby("step")[metric].median().dropna() if metric in curves else chosen["step"][:0]
        axes.plot(middle, color=f"C{place}", linewidth=1.2, label=schedule)
    if metric not in curves:
        axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)


def _gain(trials: pd.DataFrame, optimizer: str, rate: float, schedule: str) -> pd.Series:
    """Return by how much a schedule ends above a constant rate, by seed."""
    chosen = _of(trials, optimizer, rate).set_index("param_seed")
    return (
        chosen[chosen["schedule"] == schedule]["val_accuracy"] - chosen[chosen["schedule"] == _PLAIN]["val_accuracy"]
    ).dropna()


def _gains(axes: Axes, trials: pd.DataFrame, schedules: list[str]) -> None:
    for place, (optimizer, rate) in enumerate(_COMBINED):
        means: list[Mean] = [mean(_gain(trials, optimizer, rate, schedule)) for schedule in schedules]
        axes.errorbar(
            [index + 0.15 * (place - 1.5) for index in range(len(schedules))],
            [each.value for each in means],
            yerr=[[each.value - each.low for each in means], [each.high - each.value for each in means]],
            fmt="o", markersize=4, capsize=2, label=f"{_NAMES[optimizer]} {rate:g}",
        )  # fmt: skip
    axes.axhline(0, color="gray", linewidth=1)
    axes.set_xticks(range(len(schedules)), [schedule.replace("_", "\n", 1) for schedule in schedules])
    axes.set_ylabel("gain in accuracy, 95 %")
    axes.legend(fontsize="small", ncols=2)


def _against_constant(result: hpo.Result, trials: pd.DataFrame, optimizer: str, rate: float) -> Claim:
    compared = result.compare(by="schedule", where=f"optimizer == '{optimizer}' and learning_rate == {rate}")
    others = [each.label for each in compared.choices if each.label != _PLAIN]
    verdicts = {name: better(compared, name, _PLAIN)[0] for name in others}
    won = [name for name, verdict in verdicts.items() if verdict == Verdict.HOLDS]
    lost = [name for name, verdict in verdicts.items() if verdict == Verdict.FAILS]
    verdict = Verdict.UNKNOWN
    if won:
        verdict = Verdict.HOLDS if len(won) == len(others) else Verdict.PARTLY
    elif lost:
        verdict = Verdict.FAILS
    told = [found for name in others if (found := difference(compared, name, _PLAIN)) and found.shift is not None]
    largest = max(told, key=lambda found: found.shift or 0.0, default=None)
    figures = "" if largest is None else f"; the largest difference: {in_words(largest, compared.comparison.metric)}"
    best = _by_best(trials, optimizer, rate, others)
    return Claim(
        f"a schedule ends better than a constant rate, with {_NAMES[optimizer]} at {rate:g}",
        verdict,
        f"Of {len(others)} schedules {len(won)} are shown to be better, {len(lost)} to be worse{figures}. By each trial's best epoch "
        f"instead of the last {best}",
    )


def _by_best(trials: pd.DataFrame, optimizer: str, rate: float, others: list[str]) -> str:
    chosen = _of(trials, optimizer, rate)
    best = {name: rows.set_index("param_seed")["best_val_accuracy"] for name, rows in chosen.groupby("schedule")}
    found = pairs(best, [(name, _PLAIN) for name in others])
    won, lost = (sum(verdict == Verdict.HOLDS for verdict in verdicts) for verdicts in (
        [pair.larger for pair in found], [pair.smaller for pair in found]))  # fmt: skip
    return f"{won} are better and {lost} worse"


def _interaction(trials: pd.DataFrame) -> Claim:
    """By the mean gain of all schedules, seed by seed, so that no schedule is chosen after the fact."""
    others = [each for each in dict.fromkeys(trials["schedule"]) if each != _PLAIN]
    gains = {}
    for optimizer, rate in _COMBINED:
        by_schedule = [_gain(trials, optimizer, rate, schedule) for schedule in others]
        if by_schedule:
            gains[f"{_NAMES[optimizer]} {rate:g}"] = sum(by_schedule[1:], by_schedule[0]) / len(by_schedule)
    found = pairs(gains, [("SGD 0.01", "Adam 0.01"), ("SGD 0.01", "Adam 0.001"), ("SGD 0.01", "SGD 0.001")])
    shown = [pair for pair in found if Verdict.HOLDS in (pair.larger, pair.smaller)]
    return Claim(
        "what a schedule gains depends on the optimizer and its rate",
        Verdict.HOLDS if shown else Verdict.UNKNOWN,
        "Mean gain over all schedules: " + "; ".join(pair.words("accuracy") for pair in found),
    )


SCHEDULES = Study(
    "schedules",
    "Learning rate schedules",
    "seven schedules, two optimizers, two rates: which is better than a constant rate?",
    [Run("schedules", quick=["parameters.seed.max=1", "parameters.epochs.value=2", "data.rows=100",
                             "budget.trials=56", "references=off"])],
    _write,
)  # fmt: skip
