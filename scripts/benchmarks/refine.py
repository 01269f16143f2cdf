"""What `hpo refine` is worth: is the best of the second sweep, with half the budget, as good as that of the first?

For each seed: a sweep of a shipped file with its confirmation, `hpo refine`, and a sweep of what that writes with its
own confirmation, whose baseline is the winner of the first. Its verdict is one answer. For a more precise one both
winners are trained with many fresh seeds, each as one stack, and measured on the validation and on the test split. The
winner of the second is not worse if the 95 % interval of the paired difference, which covers the chance of seeds and of
rows, does not lie below 0. Counted besides: seeds in which its mean is at least that of the first.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import HPO, ROOT, CheckFailed, print_table, run_all, say, temporary
from benchmarks.ours import sweep
from hpo.events import Diverged, TrialSpec
from hpo.objective.build import build
from hpo.objective.torch_task import TorchObjective
from hpo.spec.named import Named
from hpo.training.device import pick_device
from hpo.training.evaluation import all_metrics, predict
from hpo.training.run import Run, start
from hpo.training.stack.cohort import Cohort, train_cohort
from hpo.training.task import Split

TASKS = {"binary": ("objectives.binary", {"source": "synthetic"}, "accuracy", 1.0),
         "regression": ("objectives.regression", {"source": "friedman", "outliers": 0.05}, "rmse", -1.0)}  # fmt: skip
FIRST_SEED = 1_000_003  # of the retraining: none of a sweep's
TIMEOUT = 3600.0
BOOTSTRAPS = 4000
SPLITS = ("val", "test")
COUNTED = ("not worse", "mean at least")


@dataclass(frozen=True)
class Measured:
    """A configuration after training with each fresh seed.

    rows: of each split what the metric is the mean of, [seeds, rows]: 1 where a row is right, else 0, or the squared
    error; not a number where the training diverged.
    """

    rows: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """One seed of one task. mean, interval: of second - first on each split, positive: better."""

    task: str
    seed: int
    trials: tuple[int, int]
    verdict: str  # of `hpo confirm` on the second sweep: its winner against the winner of the first
    mean: Mapping[str, float]
    interval: Mapping[str, tuple[float, float]]

    def not_worse(self, split: str) -> bool:
        return self.interval[split][1] >= 0


def retrained(task: str, params: Mapping[str, Any], seeds: Sequence[int]) -> Measured:
    """Train a configuration with each seed, as one stack, and measure it on both splits."""
    reference, data, metric, _ = TASKS[task]
    objective = build(Named(reference, None, (), data, f"val_{metric}", tuple(params), Path()))
    assert isinstance(objective, TorchObjective)
    splits, device = objective.task.splits(data), pick_device()
    runs = [
        start(objective.task, splits.without_test(), TrialSpec(number, params, seed), device)
        for number, seed in enumerate(seeds)
    ]
    diverged: set[int] = set()
    for events in train_cohort(Cohort(list(runs))):
        diverged |= {event.number for event in events if isinstance(event, Diverged)}
    found = {}
    for split, rows in (("val", splits.validation), ("test", splits.test)):
        found[split] = np.full((len(seeds), len(rows)), np.nan)
        for number, run in enumerate(runs):
            if number not in diverged:
                found[split][number] = by_row(run, rows, split, metric)
    return Measured(found)


def by_row(run: Run, rows: Split, split: str, metric: str) -> np.ndarray:
    """Return what the metric is made of for each row. Raises CheckFailed if it is not what the platform measures."""
    x, y = rows.x.to(run.device), rows.y.to(run.device)
    outputs, units = predict(run.task, run.model, x, run.params), run.data.units
    found = (
        ((outputs > 0) == (y > 0.5)).double() if metric == "accuracy" else (units.inverse(outputs) - y).double() ** 2
    )
    theirs = all_metrics(run.task.kind, split, outputs, units.forward(y), run.loss, units)[f"{split}_{metric}"]
    ours = float(value_of(metric, found.mean().numpy()))
    if not np.isclose(ours, theirs, rtol=1e-4):
        raise CheckFailed(f"{split}_{metric} is {theirs}, but its rows make it {ours}")
    return found.numpy()


def value_of(metric: str, mean: np.ndarray) -> np.ndarray:
    """Return a metric from the mean over rows of what it is made of."""
    return np.sqrt(mean) if metric == "rmse" else mean


def interval_of(task: str, first: np.ndarray, second: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Return the mean difference, second - first, positive: better, and its 95 % interval, by a bootstrap over seeds
    and rows at once (Owen, "The pigeonhole bootstrap", 2007), both configurations with the same draws.

    first, second: [seeds, rows]. A seed with which either diverged decides alone if only one did.
    """
    _, _, metric, sign = TASKS[task]
    fine_first, fine_second = (~np.isnan(each).any(axis=1) for each in (first, second))
    if fine_first.sum() != fine_second.sum():
        worse = float(fine_second.sum()) - float(fine_first.sum())
        return worse, (worse, worse)
    both = fine_first & fine_second
    first, second = first[both], second[both]
    generator, (seeds, rows) = np.random.default_rng(0), first.shape
    drawn_rows = generator.multinomial(rows, [1 / rows] * rows, size=BOOTSTRAPS) / rows
    drawn_seeds = generator.multinomial(seeds, [1 / seeds] * seeds, size=BOOTSTRAPS) / seeds

    def values(of: np.ndarray) -> np.ndarray:
        return (value_of(metric, of @ drawn_rows.T) * drawn_seeds.T).sum(axis=0)

    drawn = sign * (values(second) - values(first))
    means = [value_of(metric, each.mean(axis=1)).mean() for each in (first, second)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(sign * (means[1] - means[0])), (float(low), float(high))


def one(task: str, seed: int, options: argparse.Namespace) -> Outcome:
    """Run both sweeps of one seed, each with its confirmation, and compare their winners."""
    with temporary() as folder:
        home, file, second_file = folder / "home", ROOT / "search_spaces" / f"{task}.yaml", folder / "refined.yaml"
        given = ["-o", f"seed={seed}", "-o", "references=off"]
        given += ["-o", f"budget.trials={options.trials}"] if options.trials else []
        given += ["-o", "early_terminate=none"] if options.quick else []  # of few trials, too few would be complete
        first, _ = sweep(file, home, *given, timeout=TIMEOUT)
        run_all([[HPO, "refine", first["study"], "--home", home, "--output", second_file]], folder, TIMEOUT)
        second, _ = sweep(second_file, home, timeout=TIMEOUT)
    for said in (first, second):
        if said["confirmation"] is None:
            raise CheckFailed(f"{said['study']} has no verdict")
    winners = [said["confirmation"]["winner"]["params"] for said in (first, second)]
    fresh = [FIRST_SEED + 1000 * seed + index for index in range(options.retrain)]
    before, after = (retrained(task, params, fresh) for params in winners)
    compared = {split: interval_of(task, before.rows[split], after.rows[split]) for split in SPLITS}
    trials = [sum(said["trials"][state] for state in ("complete", "pruned")) for said in (first, second)]
    return Outcome(
        task,
        seed,
        (trials[0], trials[1]),
        second["confirmation"]["verdict"],
        {split: mean for split, (mean, _) in compared.items()},
        {split: interval for split, (_, interval) in compared.items()},
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options."""
    parser.add_argument("--seeds", type=int, metavar="N", help="of the first sweep (default 10)")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS), help="default: all")
    parser.add_argument("--retrain", type=int, metavar="N", help="fresh seeds of each best configuration (default 30)")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`."""
    options.seeds = options.seeds or (1 if options.quick else 10)
    options.retrain = options.retrain or (4 if options.quick else 30)
    options.trials = options.trials or (24 if options.quick else None)
    torch.set_num_threads(1)
    outcomes: list[Outcome] = []
    for seed in range(1, options.seeds + 1):
        for task in options.tasks:
            outcomes.append(outcome := one(task, seed, options))
            say(f"{task}, seed {seed}: {json.dumps(outcome.interval)}")
    results["refine"] = [vars(outcome) for outcome in outcomes]
    print_table(
        f"each seed: verdict, and second - first over {options.retrain} fresh seeds, positive: better (95 % interval)",
        ["task", "seed", "trials", "hpo confirm", "validation", "not worse", "test", "not worse"],
        [
            [
                outcome.task,
                outcome.seed,
                "{} + {}".format(*outcome.trials),
                outcome.verdict,
                *(cell for split in SPLITS for cell in told(outcome, split)),
            ]
            for outcome in outcomes
        ],
    )
    print_table(
        "seeds in which the second sweep's winner is not worse, and in which its mean is at least that of the first",
        ["task", "seeds", "hpo confirm, not worse", *(f"{split}, {what}" for split in SPLITS for what in COUNTED)],
        [[task, options.seeds, *counts([o for o in outcomes if o.task == task])] for task in options.tasks],
    )


def told(outcome: Outcome, split: str) -> list[str]:
    """Return a difference with its interval, and whether the second is not worse."""
    low, high = outcome.interval[split]
    return [f"{outcome.mean[split]:+.4f} ({low:+.4f}, {high:+.4f})", "yes" if outcome.not_worse(split) else "no"]


def counts(outcomes: Sequence[Outcome]) -> list[int]:
    """Return in how many seeds the second is not worse, and in how many it has at least the mean, on each split."""
    judged = [outcome.verdict != "worse" for outcome in outcomes]
    of_splits = [
        [by(outcome, split) for outcome in outcomes]
        for split in SPLITS
        for by in (Outcome.not_worse, lambda outcome, split: outcome.mean[split] >= 0)
    ]
    return [sum(judged), *map(sum, of_splits)]
