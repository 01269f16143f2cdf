"""optimizers_cifar10 and optimizers_cifar10_tuned: four optimizers on pictures, as the course set them, and each tuned."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scipy import stats

import hpo
from reproduction.claims import Claim, Verdict, first_of
from reproduction.curves import with_parameters
from reproduction.numbers import show
from reproduction.study import Run, Study
from reproduction.writing import Writer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_COURSE = {"sgd": 0.01, "adam": 0.001, "rmsprop": 0.001, "adagrad": 0.01}  # the rates
_NAMES = {"sgd": "SGD", "adam": "Adam", "rmsprop": "RMSprop", "adagrad": "Adagrad"}
_EARLY = 1  # epochs after which training is looked at early
_ORDER = {1: "above", -1: "below", 0: "not told apart from"}


@dataclass(frozen=True)
class Noise:
    """The standard deviation between seeds, pooled over optimizers, and its degrees of freedom; 0: not known."""

    spread: float
    freedom: int

    def half(self, left: int, right: int, compared: int) -> float:
        """Return the half width of the interval of a difference of two means, of so many trials each, one of `compared`
        intervals that hold together in 95 % of cases (Bonferroni); infinite if the noise is not known."""
        if not self.freedom:
            return math.inf
        factor = float(stats.t.ppf(1 - 0.025 / compared, self.freedom))
        return factor * self.spread * math.sqrt(1 / left + 1 / right)


def noise_of(groups: Mapping[str, Sequence[float]]) -> Noise:
    """Return the noise between the seeds of each group."""
    squares, freedom = 0.0, 0
    for values in groups.values():
        if len(values) > 1:
            squares += (len(values) - 1) * statistics.variance(values)
            freedom += len(values) - 1
    return Noise(math.sqrt(squares / freedom), freedom) if freedom else Noise(math.nan, 0)


@dataclass(frozen=True)
class Gap:
    """By how much one optimizer's mean is above another's."""

    left: str
    right: str
    value: float
    half: float

    @property
    def sign(self) -> int:
        """1: shown to be above; -1: below; 0: not told apart."""
        return 0 if not abs(self.value) > self.half else 1 if self.value > 0 else -1

    @property
    def above(self) -> Verdict:
        return {1: Verdict.HOLDS, -1: Verdict.FAILS, 0: Verdict.UNKNOWN}[self.sign]

    def __str__(self) -> str:
        half = f" ± {show(self.half)}" if math.isfinite(self.half) else ", noise not known"
        return f"{_NAMES[self.left]} minus {_NAMES[self.right]} {show(self.value)}{half}"


def gaps_of(groups: Mapping[str, Sequence[float]], noise: Noise, compared: Sequence[tuple[str, str]]) -> list[Gap]:
    """Return the gaps between groups that have values."""
    found = []
    for left, right in compared:
        first, second = groups.get(left, ()), groups.get(right, ())
        if len(first) and len(second):
            half = noise.half(len(first), len(second), len(compared))
            found.append(Gap(left, right, sum(first) / len(first) - sum(second) / len(second), half))
    return found


def _write(page: Writer) -> list[Claim]:
    result = page.result("optimizers_cifar10")
    curves = with_parameters(result, "optimizer").dropna(subset=["val_accuracy"])
    last = int(curves["step"].max()) if len(curves) else 0
    page.text(
        f"""The course's network (three convolutions of 32, 64 and 64 channels, a dense layer of 64), {last} epochs in batches of 64,
        Glorot's weights, {_seeds(result)} seeds, on {_share(result)}. The rates are the course's; so are the pixels, from 0 to 1."""
    )
    rows = []
    for optimizer, rate in _COURSE.items():
        at = {step: _means(curves, optimizer, step) for step in (_EARLY, last)}
        end = at[last]
        rows.append([
            _NAMES[optimizer], f"{rate:g}", at[_EARLY]["val_accuracy"], end["val_accuracy"], end["train_accuracy"],
            end["train_accuracy"] - end["val_accuracy"], end["train_loss"], end["val_loss"],
        ])  # fmt: skip
    page.table(["optimizer", "rate", f"validation accuracy, epoch {_EARLY}", f"epoch {last}", "training accuracy", "gap",
                "training loss", "validation loss"], rows)  # fmt: skip
    page.text("Means over seeds, the last five columns after the last epoch.")
    with page.plot(
        "optimizers_cifar10", "accuracy and loss by epoch for each optimizer", 2, height=5.4, rows=2
    ) as axes:
        for each, metric in zip(axes, ("train_accuracy", "val_accuracy", "train_loss", "val_loss"), strict=True):
            _lines(each, curves, metric)
        axes[0].legend(fontsize="small")
    return [_slows(curves, last), _generalises(curves, last), _early(curves)]


def _seeds(result: hpo.Result) -> int:
    trials = result.trials
    return int(trials.groupby("optimizer").size().max()) if len(trials) else 0


def _share(result: hpo.Result) -> str:
    limit = result.sweep["data"].get("limit")
    if limit is None:
        return "the whole training set of CIFAR-10, of which a tenth is held out for validation"
    return f"{100 * limit:g} % of CIFAR-10" if limit <= 1 else f"{limit:,} training pictures of CIFAR-10"


def _means(curves: pd.DataFrame, optimizer: str, step: int) -> dict[str, float]:
    at = curves[(curves["optimizer"] == optimizer) & (curves["step"] == step)]
    return {metric: float(at[metric].mean()) for metric in ("train_accuracy", "val_accuracy", "train_loss", "val_loss")}


_LABELS = {"train_accuracy": "training accuracy", "val_accuracy": "validation accuracy", "train_loss": "training loss",
           "val_loss": "validation loss"}  # fmt: skip


def _lines(axes: Axes, curves: pd.DataFrame, metric: str) -> None:
    """Draw the mean over seeds, and from the lowest to the highest seed."""
    for place, (optimizer, name) in enumerate(_NAMES.items()):
        by_step = curves[curves["optimizer"] == optimizer].groupby("step")[metric]
        axes.plot(by_step.mean(), color=f"C{place}", marker="o", markersize=3, label=name)
        axes.fill_between(by_step.mean().index, by_step.min(), by_step.max(), color=f"C{place}", alpha=0.2, linewidth=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel(_LABELS[metric])
    axes.xaxis.get_major_locator().set_params(integer=True)


def _values(curves: pd.DataFrame, step: int, metric: str) -> dict[str, list[float]]:
    at = curves[curves["step"] == step]
    return {str(name): rows[metric].dropna().tolist() for name, rows in at.groupby("optimizer")}


def _told(values: Mapping[str, Sequence[float]], first: str) -> list[Gap]:
    return gaps_of(values, noise_of(values), [(first, name) for name in _COURSE if name != first])


def _evidence(gaps: Sequence[Gap]) -> str:
    return ", ".join(map(str, gaps)) or "too few trials"


_BOUNDS = "(95 % intervals of all differences together, with the seeds' spread pooled over optimizers)"


def _slows(curves: pd.DataFrame, last: int) -> Claim:
    """By what the second half of the epochs still takes off the training loss."""
    middle = max(1, last // 2)
    by_trial = curves.pivot_table(index=["optimizer", "number"], columns="step", values="train_loss")
    falls = {
        str(name): (rows[middle] - rows[last]).dropna().tolist() for name, rows in by_trial.groupby(level=0)
    } if middle < last else {}  # fmt: skip
    gaps = _told(falls, "adagrad")
    turned = [Gap(gap.right, gap.left, -gap.value, gap.half) for gap in gaps]
    return Claim(
        "Adagrad slows down",
        first_of(gap.above for gap in turned),
        f"What the training loss still falls by after epoch {middle}: {_evidence(turned)} {_BOUNDS}",
    )


def _generalises(curves: pd.DataFrame, last: int) -> Claim:
    values = _values(curves, last, "val_accuracy")
    gaps = _told(values, "sgd")
    ends = {name: _means(curves, name, last) for name in values}
    apart = ", ".join(
        f"{_NAMES[name]} {show(end['train_accuracy'] - end['val_accuracy'])}" for name, end in ends.items()
    )
    return Claim(
        "SGD generalises better",
        first_of(gap.above for gap in gaps),
        f"Validation accuracy after epoch {last}: {_evidence(gaps)} {_BOUNDS}. Training accuracy is above it by: {apart or '-'}",
    )


def _early(curves: pd.DataFrame) -> Claim:
    gaps = _told(_values(curves, _EARLY, "val_accuracy"), "adam")
    return Claim(
        "Adam is fast early",
        first_of(gap.above for gap in gaps),
        f"Validation accuracy after epoch {_EARLY}: {_evidence(gaps)} {_BOUNDS}",
    )


def _write_tuned(page: Writer) -> list[Claim]:
    result = page.result("optimizers_cifar10_tuned")
    trials, curves = result.trials, with_parameters(result, "optimizer", "learning_rate")
    means = trials.groupby(["optimizer", "learning_rate"])["val_accuracy"].mean().dropna()
    best = {str(name): float(rate) for name, rate in means.groupby(level=0).idxmax().map(lambda key: key[1]).items()}
    page.text(
        f"""The same network on {_share(result)}, each optimizer at {trials["learning_rate"].nunique()} learning rates,
        {_runs(trials)} of each. The best rate is chosen by the validation accuracy
        after the last epoch, which flatters all four alike."""
    )
    rows = []
    for optimizer, rate in _COURSE.items():
        tuned = best.get(optimizer, math.nan)
        rows.append([
            _NAMES[optimizer], f"{rate:g}", float(means.get((optimizer, rate), math.nan)), show(tuned),
            float(means.get((optimizer, tuned), math.nan)),
        ])  # fmt: skip
    page.table(["optimizer", "the course's rate", "accuracy there", "the best rate", "accuracy there"], rows)
    with page.plot("optimizers_cifar10_tuned", "accuracy by learning rate, and by epoch at the best rate", 2) as axes:
        for place, (optimizer, name) in enumerate(_NAMES.items()):
            if optimizer in best:
                axes[0].plot(means[optimizer], "o-", color=f"C{place}", markersize=4, label=name)
                chosen = curves[(curves["optimizer"] == optimizer) & (curves["learning_rate"] == best[optimizer])]
                axes[1].plot(chosen.groupby("step")["val_accuracy"].mean(), "o-", color=f"C{place}", markersize=3,
                             label=f"{name}, {best[optimizer]:g}")  # fmt: skip
        axes[0].set_xscale("log")
        axes[0].set_xlabel("learning rate")
        axes[0].set_ylabel("validation accuracy, last epoch")
        axes[1].set_xlabel("epoch")
        axes[1].set_ylabel("validation accuracy, best rate")
        for each in axes:
            each.legend(fontsize="small")
    tuned = {name: trials[(trials["optimizer"] == name) & (trials["learning_rate"] == rate)]["val_accuracy"].tolist()
             for name, rate in best.items()}  # fmt: skip
    return [_ranking(_as_set(page), tuned)]


def _runs(trials: pd.DataFrame) -> str:
    most = int(trials.groupby(["optimizer", "learning_rate"]).size().max()) if len(trials) else 0
    return "one run" if most == 1 else f"{most} runs"


def _as_set(page: Writer) -> dict[str, list[float]]:
    """Return the validation accuracies with the course's rates, of the other study; none if that was not run."""
    try:
        trials = page.result("optimizers_cifar10").trials
    except hpo.UserError:
        return {}
    return {str(name): rows["val_accuracy"].dropna().tolist() for name, rows in trials.groupby("optimizer")}


def _ranking(before: dict[str, list[float]], after: dict[str, list[float]]) -> Claim:
    """Tuned rates have one run each, so the noise is that between the seeds of the other study."""
    noise, compared = noise_of(before), list(itertools.combinations(_COURSE, 2))
    orders: list[dict[tuple[str, str], Any]] = [
        {(gap.left, gap.right): gap for gap in gaps_of(values, noise, compared)} for values in (before, after)
    ]
    both = [(orders[0][pair], orders[1][pair]) for pair in compared if pair in orders[0] and pair in orders[1]]
    kept = [pair for pair in both if pair[0].sign and pair[0].sign == pair[1].sign]
    turned = [pair for pair in both if pair[0].sign * pair[1].sign < 0]
    verdict = Verdict.UNKNOWN
    if turned:
        verdict = Verdict.FAILS
    elif kept:
        verdict = Verdict.HOLDS if len(kept) == len(both) else Verdict.PARTLY
    ranks = "; ".join(
        f"{name}: {' > '.join(_NAMES[each] for each in sorted(values, key=lambda each: -sum(values[each]) / len(values[each])))}"
        for name, values in (("with the course's rates", {k: v for k, v in before.items() if v}), ("tuned", {k: v for k, v in after.items() if v}))
        if values
    )  # fmt: skip
    listed = ", ".join(str(after) for _, after in both) or "too few trials"
    return Claim(
        "the optimizers' ranking is the same when each learning rate is tuned",
        verdict,
        f"From the best on, {ranks}. Of {len(both)} pairs {len(kept)} are told apart in the same order both times, {len(turned)} in opposite orders. "
        f"Tuned: {listed} (95 % intervals of all together, by the spread between the seeds of `optimizers_cifar10`)",
    )


_QUICK = ["data.limit=0.002", "parameters.epochs.value=1", "references=off"]
CIFAR10 = Study(
    "optimizers_cifar10",
    "Optimizers on CIFAR-10",
    "SGD, Adam, RMSprop and Adagrad as the course set them, on pictures: which is fast, and which generalises?",
    [Run("optimizers_cifar10", quick=_QUICK)],
    _write,
    cifar10=True,
)
CIFAR10_TUNED = Study(
    "optimizers_cifar10_tuned",
    "The same optimizers, each tuned",
    "with its learning rate tuned for each of the four: is the ranking the same?",
    [Run("optimizers_cifar10_tuned", options=["data.limit=0.2"], quick=_QUICK)],
    _write_tuned,
    cifar10=True,
)
