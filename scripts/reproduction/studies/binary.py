"""binary_baseline and binary_search: the course's first network, and its first search."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from reproduction.claims import Claim, Verdict, mean
from reproduction.numbers import show
from reproduction.study import Run, Study
from reproduction.writing import Writer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROWS = (93, 107)  # of class 0 and of class 1 on the course's test rows
# Reported: precision, recall, F1 of each class, accuracy, loss.
_COURSE = {0: (0.85, 0.86, 0.86), 1: (0.88, 0.87, 0.87)}
_ACCURACY, _LOSS = 0.8650, 0.3767
_SEARCHES = 20
_QUICK = ["parameters.epochs.value=2", "budget.trials=4", "confirm={top: 1, seeds: 2}", "references=off"]


def _baseline(page: Writer) -> list[Claim]:
    trials = page.result("binary_baseline").trials
    accuracy, loss = trials["val_accuracy"], trials["val_loss"]
    page.text(
        f"""The data, the network and the split are the course's, to the row: `make_classification` (1,000 rows, 20 features),
        {_ROWS[0]} and {_ROWS[1]} rows of class 0 and 1 held out. Keras starts from Glorot's uniform weights and biases of 0, so the
        file says `xavier_uniform`; which numbers it draws is not known, so the run itself can't be repeated, only its
        distribution over seeds. The course's validation rows are its test rows; here they choose nothing."""
    )
    page.table(["rows", "support", "precision", "recall", "F1", "course: precision", "recall", "F1"], _classes(trials))
    page.text(
        f"""Means over {len(trials)} seeds, all trained as one stack. Accuracy {mean(accuracy)}, from {show(accuracy.min())} to
        {show(accuracy.max())}; loss {mean(loss)}, from {show(loss.min())} to {show(loss.max())}."""
    )
    with page.plot(
        "binary_baseline", "accuracy and loss over seeds, the course's marked", columns=2, height=2.8
    ) as axes:
        _spread(axes[0], accuracy, _ACCURACY, "test accuracy")
        _spread(axes[1], loss, _LOSS, "test loss")
    beside = page.references("binary_baseline", "val_accuracy")
    if beside:
        named = ", ".join(f"{model.words} {show(model.value)}" for model in beside)
        page.text(f"Beside it, scikit-learn's models with their defaults: {named}.")
    return [
        Claim("the baseline's test accuracy is 0.8650", _inside(_ACCURACY, accuracy), _where(_ACCURACY, accuracy)),
        Claim("its test loss is 0.3767", _inside(_LOSS, loss), _where(_LOSS, loss)),
    ]


def _classes(trials: Any) -> list[list[object]]:
    """Return the course's table: mean precision, recall and F1 over seeds, beside the course's."""
    by_class = _by_class(trials)
    rows: list[list[object]] = []
    for name, support, ours, theirs in (
        ("class 0", _ROWS[0], by_class[0], _COURSE[0]),
        ("class 1", _ROWS[1], by_class[1], _COURSE[1]),
        ("macro average", sum(_ROWS), (by_class[0] + by_class[1]) / 2, _average((1, 1))),
        (
            "weighted average",
            sum(_ROWS),
            (by_class[0] * _ROWS[0] + by_class[1] * _ROWS[1]) / sum(_ROWS),
            _average(_ROWS),
        ),
    ):
        rows.append([name, support, *(f"{value:.3f}" for value in ours), *(f"{value:.2f}" for value in theirs)])
    accuracy = f"{trials['val_accuracy'].mean():.3f}"
    rows.insert(2, ["accuracy", sum(_ROWS), "", "", accuracy, "", "", f"{_ACCURACY:.2f}"])
    return rows


def _average(weights: tuple[int, int]) -> list[float]:
    columns = zip(_COURSE[0], _COURSE[1], strict=True)
    return [(low * weights[0] + high * weights[1]) / sum(weights) for low, high in columns]


def _by_class(trials: Any) -> dict[int, Any]:
    """Return {class: array of mean precision, recall, F1}. The platform reports those of class 1, from which, with the
    number of rows, the table of hits and misses follows."""
    precision, recall = (trials[f"val_{name}"].to_numpy() for name in ("precision", "recall"))
    hits = np.rint(recall * _ROWS[1])
    alarms = np.rint(hits / precision - hits)  # rows of class 0 that are called 1
    rejected, missed = _ROWS[0] - alarms, _ROWS[1] - hits
    if not np.allclose((hits + rejected) / sum(_ROWS), trials["val_accuracy"]):
        raise AssertionError("the split has other rows than the course's")
    first = _scores(rejected, missed, alarms)
    return {0: np.mean(first, axis=1), 1: np.mean(_scores(hits, alarms, missed), axis=1)}


def _scores(hits: Any, alarms: Any, missed: Any) -> tuple[Any, Any, Any]:
    return hits / (hits + alarms), hits / (hits + missed), 2 * hits / (2 * hits + alarms + missed)


def _spread(axes: Axes, values: Any, reported: float, label: str) -> None:
    step = 0.005  # of accuracy with 200 rows: no bins that nothing can fall into
    low, high = (math.floor(values.min() / step) - 0.5) * step, (math.ceil(values.max() / step) + 1) * step
    axes.hist(values, bins=np.arange(low, high, step).tolist(), color="C0", alpha=0.7, label=f"{len(values)} seeds")
    axes.axvline(reported, color="C3", linestyle="--", label=f"course: {reported:.4g}")
    axes.set_xlabel(label)
    axes.set_ylabel("seeds")
    axes.legend(fontsize="small")


def _inside(reported: float, values: Any) -> Verdict:
    low, high = values.quantile([0.025, 0.975])
    return Verdict.HOLDS if low <= reported <= high else Verdict.FAILS


def _where(reported: float, values: Any) -> str:
    low, high = values.quantile([0.025, 0.975])
    share = (values < reported).mean() + (values == reported).mean() / 2
    return f"{100 * share:.0f} % of the seeds are below; 95 % of them are from {show(low)} to {show(high)}"


def _search(page: Writer) -> list[Claim]:
    found = [page.result(run.study) for run in SEARCH.runs(page.quick)]
    confirmed = [result.confirmation for result in found]
    rows = []
    for result, verdict in zip(found, confirmed, strict=True):
        assert result.best is not None and verdict is not None
        first = float(result.trials["value"].iloc[0])
        rows.append((result.best.value, result.best.value - first, verdict))
    page.text(
        f"""{len(rows)} searches of 20 trials, each with another seed, of which the first is the course's untuned network. Then
        the best three of each and the baseline are trained again over 10 fresh seeds (`hpo confirm`), and the winner is judged
        on test rows that nobody has looked at."""
    )
    best, gain = mean([row[0] for row in rows]), mean([row[1] for row in rows])
    again = mean([row[2].winner.validation - row[2].baseline.validation for row in rows])
    test = mean([row[2].difference for row in rows])
    page.table(["of the best of 20 trials", "mean over searches"], [
        ["validation accuracy, as the search reports it", str(best)],
        ["its lead over the baseline, as the search reports it", str(gain)],
        ["the confirmed winner's lead, over fresh seeds, same rows", str(again)],
        ["the confirmed winner's lead on test rows", str(test)],
    ])  # fmt: skip
    verdicts = [row[2].verdict for row in rows]
    counted = ", ".join(
        f"{verdicts.count(each)} {each}" for each in ("better", "not shown", "worse") if each in verdicts
    )
    page.text(f"Verdicts of the {len(rows)} confirmations: {counted}.")
    with page.plot("binary_search", "each search's lead, reported and on test rows", height=2.8) as axes:
        places = range(1, len(rows) + 1)
        axes[0].plot(places, [row[1] for row in rows], "o", label="as the search reports it")
        axes[0].errorbar(
            places, [row[2].difference for row in rows], fmt="s", capsize=2, label="winner on test rows, 95 %",
            yerr=[[row[2].difference - row[2].interval[0] for row in rows],
                  [row[2].interval[1] - row[2].difference for row in rows]],
        )  # fmt: skip
        axes[0].axhline(0, color="gray", linewidth=1)
        axes[0].set_xticks(places)
        axes[0].set_xlabel("search")
        axes[0].set_ylabel("lead over the baseline")
        axes[0].legend(fontsize="small")
    real = Verdict.HOLDS if test.low > 0 else Verdict.FAILS if test.high < gain.value / 2 else Verdict.UNKNOWN
    share = f"{100 * test.value / gain.value:.0f} % of it" if gain.value > 0 < test.value else "nothing of it"
    return [Claim(
        "20 trials of a search find a better network than the baseline", real,
        f"The search reports a lead of {gain}; on test rows the confirmed winner has {test}: {share}",
    )]  # fmt: skip


BASELINE = Study(
    "binary_baseline",
    "Baseline",
    "the course's first network, to the row of its split: how good, over 100 seeds?",
    [Run("binary_baseline", quick=["parameters.seed.max=4", "parameters.epochs.value=3", "references=off"])],
    _baseline,
)
SEARCH = Study(
    "binary_search",
    "A search of 20 trials",
    "how much of the winner's lead is real, on rows that nobody looked at?",
    [
        Run(
            "binary_search",
            f"binary_search_{seed}",
            [f"seed={seed}"],
            _QUICK if seed <= 2 else None,
            timed=seed == 1,
        )
        for seed in range(1, _SEARCHES + 1)
    ],
    _search,
)
