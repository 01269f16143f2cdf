"""Which rule for a trial's value finds better models: its best epoch, or its last (`metric: {at: best | last}`)?

For each table of scikit-learn's and each seed: configurations drawn at random from a shipped space, each trained once
on a split of the seed's own. Both rules choose a winner among the same trainings by their validation values: `last`
with the weights of its last epoch, `best` with those of its best one. Both winners are measured on the test rows, which
took no part in it. The difference is best - last, turned so that positive says that `best` is better, with a 95 %
interval over the seeds (Student's). Besides: by how much each rule's value, on validation, flatters the model on the
test rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.common import ROOT, print_table, say
from hpo.events import BestStep, TrialSpec
from hpo.objective.build import build, inspect, named_of
from hpo.objective.stacking import stack_of
from hpo.objective.torch_task import TorchObjective
from hpo.search.searcher import Searcher
from hpo.spec.load import load_sweep
from hpo.spec.sweep import Sweep
from hpo.training.epochs import train_epochs
from hpo.training.evaluation import all_metrics, predict
from hpo.training.run import Run

# table: (sweep file, its metric, 1 where more is better)
TABLES = {
    "breast_cancer": ("binary", "roc_auc", 1),
    "wine": ("multiclass", "balanced_accuracy", 1),
    "digits": ("multiclass", "accuracy", 1),
    "diabetes": ("regression", "rmse", -1),
}
RULES = ("last", "best")


@dataclass(frozen=True)
class Winner:
    """What a rule chose. value: its metric on validation; test: on the test rows; epoch: whose weights it has."""

    value: float
    test: float
    epoch: int


def configurations(sweep: Sweep, trials: int) -> list[dict[str, Any]]:
    """Return what is trained: the file's baselines, and random draws."""
    searcher = Searcher(sweep)
    proposals = [searcher.propose() for _ in range(trials)]
    return [proposal.params for proposal in proposals if proposal is not None]


def winners(table: str, seed: int, trials: int, epochs: int) -> dict[str, Winner]:
    """Train the configurations of one seed, and return what each rule chooses among them."""
    file, metric, sign = TABLES[table]
    overrides = [f"data={{source: {table}, split_seed: {seed}}}", f"metric={{name: val_{metric}}}", "method=random"]
    overrides += [f"seed={seed}", f"parameters.epochs.value={epochs}", f"budget.trials={trials}", "confirm=null"]
    sweep = load_sweep(ROOT / "search_spaces" / f"{file}.yaml", inspect, overrides)
    objective = build(named_of(sweep))
    assert isinstance(objective, TorchObjective)
    objective.prepare()
    name = f"val_{metric}"
    specs = [
        TrialSpec(number, params, 1000 * seed + number, epochs, best_step=BestStep(name, sign))
        for number, params in enumerate(configurations(sweep, trials))
    ]
    runs = [objective.beginning.runs(spec) for spec in specs]
    for _ in train_epochs(stack_of(runs, compile=False)):
        pass
    done = [run for (run,) in runs if run.completed == epochs]  # the others diverged
    first, second = (
        max(done, key=lambda run: sign * run.reports[-1].metrics[name]),
        max(done, key=lambda run: sign * (run.best.value if run.best is not None else -np.inf)),
    )
    last = Winner(first.reports[-1].metrics[name], on_test(objective, sweep, first, metric), epochs)
    assert second.best is not None
    second.take_best()
    return {
        "last": last,
        "best": Winner(second.best.value, on_test(objective, sweep, second, metric), second.best.epoch),
    }


def on_test(objective: TorchObjective, sweep: Sweep, run: Run, metric: str) -> float:
    """Return the metric of a run's model on the test rows."""
    rows = objective.task.splits(sweep.data).test
    x, y = rows.x.to(run.device), rows.y.to(run.device)
    outputs, units = predict(run.task, run.model, x, run.params), run.data.units
    found = all_metrics(run.task.kind, "test", outputs, units.forward(y), run.loss, units, threshold=run.threshold)
    return found[f"test_{metric}"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options."""
    parser.add_argument("--seeds", type=int, metavar="N", help="of splits and trainings (default 30)")
    parser.add_argument("--epochs", type=int, nargs="+", metavar="N", help="of each training (default 30 100)")
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES), help="default: all")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`."""
    seeds = options.seeds or (2 if options.quick else 30)
    trials = options.trials or (12 if options.quick else 30)
    lengths = options.epochs or ([5] if options.quick else [30, 100])
    torch.set_num_threads(1)
    rows = []
    for table in options.tables:
        for epochs in lengths:
            found = [winners(table, seed, trials, epochs) for seed in range(1, seeds + 1)]
            results[f"{table}, {epochs} epochs"] = [{rule: vars(each[rule]) for rule in RULES} for each in found]
            rows.append(told(table, epochs, found))
            say(f"{table}, {epochs} epochs: {rows[-1]}")
    print_table(
        f"winners of {trials} trainings on the test rows, {seeds} seeds; difference: positive, `best` is better",
        ["table", "metric", "epochs", "last", "best", "difference (95 % interval)", "better / equal / worse",
         "last flatters by", "best flatters by", "median best epoch"],
        rows,
    )  # fmt: skip


def told(table: str, epochs: int, found: Sequence[dict[str, Winner]]) -> list[object]:
    """Return a row of the table."""
    _, metric, sign = TABLES[table]
    tests = {rule: np.array([each[rule].test for each in found]) for rule in RULES}
    flattered = {rule: np.mean([sign * (each[rule].value - each[rule].test) for each in found]) for rule in RULES}
    differences = sign * (tests["best"] - tests["last"])
    low, high = interval_of(differences)
    counts = (int((differences > 0).sum()), int((differences == 0).sum()), int((differences < 0).sum()))
    return [
        table, metric, epochs, f"{tests['last'].mean():.4f}", f"{tests['best'].mean():.4f}",
        f"{differences.mean():+.4f} ({low:+.4f}, {high:+.4f})", "{} / {} / {}".format(*counts),
        f"{flattered['last']:+.4f}", f"{flattered['best']:+.4f}",
        str(int(np.median([each["best"].epoch for each in found]))),
    ]  # fmt: skip


def interval_of(differences: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of a mean, by Student's t."""
    from scipy.stats import t

    half = t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / np.sqrt(len(differences))
    return float(differences.mean() - half), float(differences.mean() + half)
