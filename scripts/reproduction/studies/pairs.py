"""activation_loss_pairs: which output activation goes with which loss?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reproduction.claims import Claim, Verdict, against, better, mean
from reproduction.numbers import show
from reproduction.shares import by_seed, less_by_seed
from reproduction.study import Run, Study
from reproduction.writing import Writer, heat_map

if TYPE_CHECKING:
    import pandas as pd

_NEAR = 0.02  # a good pair's mean is no further from the best one's, as a share of the best one's value


@dataclass(frozen=True)
class _Task:
    """One of the three grids. converged: the value of the metric that counts as such."""

    kind: str
    words: str
    metric: str
    label: str
    converged: float
    activations: tuple[str, ...]
    losses: tuple[str, ...]

    @property
    def study(self) -> str:
        return f"activation_loss_pairs_{self.kind}"

    @property
    def rises(self) -> bool:
        return self.metric == "val_accuracy"

    @property
    def target(self) -> str:
        return f"{self.label} {'of at least' if self.rises else 'of at most'} {self.converged:g}"

    def is_there(self, values: pd.Series) -> pd.Series:
        return values >= self.converged if self.rises else values <= self.converged


_TASKS = {
    task.kind: task
    for task in (
        _Task("binary", "two classes", "val_accuracy", "accuracy", 0.85, ("sigmoid", "linear", "relu", "tanh"),
              ("bce", "mse", "mae")),
        _Task("multiclass", "ten classes", "val_accuracy", "accuracy", 0.9,
              ("softmax", "sigmoid", "linear", "relu", "tanh"), ("cross_entropy", "bce", "mse", "mae")),
        _Task("regression", "a number", "val_rmse", "RMSE", 2.0, ("linear", "relu", "tanh", "sigmoid"), ("mse", "mae")),
    )
}  # fmt: skip
_GOOD = (("binary", "sigmoid", "bce"), ("multiclass", "softmax", "cross_entropy"), ("regression", "linear", "mse"))
_SLOW = (("binary", "sigmoid", "bce"), ("multiclass", "softmax", "cross_entropy"))  # these, and not with mse


def _write(page: Writer) -> list[Claim]:
    runs = {kind: _runs(page, task) for kind, task in _TASKS.items()}
    some = runs["binary"]
    page.text(
        f"""One network (two hidden layers, Adam, {some["epochs"].max()} epochs) with each output activation and each loss,
        {some["param_seed"].nunique()} seeds a pair: on two classes (`synthetic`), on ten (`digits`), and on a number, standardised,
        so that it falls below 0 (`friedman`). A loss that has a sigmoid or a softmax built in gets the probabilities that the
        activation makes, clamped away from 0 and 1, as Keras does."""
    )
    with page.plot(
        "activation_loss_pairs", "final metric and epochs to converge of each pair", columns=3, rows=2, height=5.0
    ) as axes:
        for column, (kind, task) in enumerate(_TASKS.items()):
            cells = [[_pair(runs[kind], each, loss) for loss in task.losses] for each in task.activations]
            final = [[float(cell[task.metric].mean()) for cell in row] for row in cells]
            epochs = [[_median_epochs(cell) for cell in row] for row in cells]
            worse_is_dark = "viridis" if task.rises else "viridis_r"
            heat_map(axes[column], final, task.activations, _wrapped(task.losses), cmap=worse_is_dark)
            heat_map(axes[3 + column], epochs, task.activations, _wrapped(task.losses), cmap="viridis_r")
            axes[column].set_title(f"{task.words}: {task.label} at the end", fontsize="medium")
            axes[3 + column].set_title(f"epochs to {task.label} {task.converged:g}", fontsize="medium")
            axes[3 + column].set_xlabel("loss")
        axes[0].set_ylabel("output activation")
        axes[3].set_ylabel("output activation")
    page.text(
        f"""Above: the mean over seeds after the last epoch, bright is better. Below: the epoch by which half of the runs have
        converged ({"; ".join(f"{task.words}: an {task.target}" for task in _TASKS.values())}); x: less than half of them ever do."""
    )
    page.table(["pair", "at the end (95 %)", "converged", "median epochs"], _rows(runs))
    return [
        *(_good(runs[kind], _TASKS[kind], activation, loss) for kind, activation, loss in _GOOD),
        *(claim for kind, activation, loss in _SLOW for claim in _slow(page, runs[kind], _TASKS[kind], activation, loss)),
        _relu(page),
    ]  # fmt: skip


def _runs(page: Writer, task: _Task) -> pd.DataFrame:
    """Return the trials with a column `converged`: the first epoch at which the metric is good enough, else infinite."""
    result = page.result(task.study)
    reached = result.curves[task.is_there(result.curves[task.metric])].groupby("number")["step"].min()
    return result.trials.assign(converged=result.trials["number"].map(reached).fillna(math.inf).astype(float))


def _pair(runs: pd.DataFrame, activation: str, loss: str) -> pd.DataFrame:
    return runs[(runs["output_activation"] == activation) & (runs["loss"] == loss)]


def _median_epochs(runs: pd.DataFrame) -> float:
    return float(runs["converged"].median()) if len(runs) else math.nan


def _wrapped(losses: tuple[str, ...]) -> list[str]:
    return [loss.replace("_", "\n") for loss in losses]


def _rows(runs: dict[str, pd.DataFrame]) -> list[list[object]]:
    """Return the pairs that the claims are about."""
    rows: list[list[object]] = []
    for kind, activation, loss in (
        ("binary", "sigmoid", "bce"), ("binary", "sigmoid", "mse"), ("multiclass", "softmax", "cross_entropy"),
        ("multiclass", "softmax", "mse"), ("regression", "linear", "mse"), ("regression", "relu", "mse"),
    ):  # fmt: skip
        task, there = _TASKS[kind], _pair(runs[kind], activation, loss)
        count = int(there["converged"].map(math.isfinite).sum())
        name = f"{task.words}: {activation} with {loss}"
        rows.append([
            name, f"{task.label} {mean(there[task.metric])}", f"{count} of {len(there)}", show(_median_epochs(there)),
        ])  # fmt: skip
    return rows


def _good(runs: pd.DataFrame, task: _Task, activation: str, loss: str) -> Claim:
    """A good pair is near the best one of its grid: the mean difference, in pairs of a seed, lies within _NEAR."""
    sign = 1 if task.rises else -1
    means = runs.groupby(["output_activation", "loss"])[task.metric].mean()
    found = (sign * means).idxmax()
    best_activation, best_loss = str(found[0]), str(found[1])
    text = f"{task.words}: {activation} with {loss} is a good pair"
    if (best_activation, best_loss) == (activation, loss):
        return Claim(
            text, Verdict.HOLDS, f"The best of {len(means)} pairs by its mean {task.label}, {show(means[found])}"
        )
    best, own = (
        by_seed(_pair(runs, *pair), task.metric) for pair in ((best_activation, best_loss), (activation, loss))
    )
    short, margin = less_by_seed(sign * best, sign * own), _NEAR * float(means[found])
    verdict = Verdict.UNKNOWN
    if short.count > 1:
        verdict = Verdict.HOLDS if short.high <= margin else Verdict.FAILS if short.low > margin else Verdict.UNKNOWN
    return Claim(
        text, verdict,
        f"{short} {task.label} behind the best of {len(means)} pairs ({best_activation} with {best_loss}); up to "
        f"{show(margin)}, {100 * _NEAR:.0f} % of the best one's, counts as near",
    )  # fmt: skip


def _slow(page: Writer, runs: pd.DataFrame, task: _Task, activation: str, loss: str) -> list[Claim]:
    """The course's problem of squared errors behind a sigmoid or softmax: gradients that vanish where it is flat."""
    where = f"output_activation == '{activation}' and loss in ['{loss}', 'mse']"
    end = better(page.result(task.study).compare(by="loss", where=where), loss, "mse")
    squared, own = (by_seed(_pair(runs, activation, each), "converged") for each in ("mse", loss))
    late = less_by_seed(squared, own)
    beyond = sum(math.isinf(value) for value in (*squared, *own))
    left_out = f"; without {beyond} runs that do not converge" if beyond else ""
    return [
        Claim(f"{task.words}: {activation} with mse ends worse than with {loss}", *end),
        Claim(
            f"{task.words}: {activation} with mse converges more slowly than with {loss}", against(late, 0.0, below=False),
            f"Epochs to an {task.target} with mse less those with {loss}: {late}{left_out}",
        ),
    ]  # fmt: skip


def _relu(page: Writer) -> Claim:
    where = "loss == 'mse' and output_activation in ['linear', 'relu']"
    compared = page.result(_TASKS["regression"].study).compare(by="output_activation", where=where)
    return Claim("a number: a ReLU output is a problem in regression", *better(compared, "linear", "relu"))


PAIRS = Study(
    "activation_loss_pairs",
    "Output activations and losses",
    "which output activation goes with which loss?",
    [
        Run(task.study, quick=["parameters.seed.max=1", "parameters.epochs.value=1", *quick])
        for task, quick in zip(_TASKS.values(), (["data.rows=100"], [], ["data.rows=100"]), strict=True)
    ],
    _write,
)
