"""What `hpo refine` is worth: is the best of the second sweep, with half the budget, as good as that of the first?

For each seed: a sweep of a shipped file, `hpo refine`, and a sweep of what that writes. Then the best configuration of
each is trained anew with the same fresh seeds, each configuration as one stack, and measured on the validation and on
the test split. The best of the second is not worse if the 95 % interval of the paired difference (Student's t over the
seeds; it does not cover the chance of which rows are measured) does not lie below 0. Counted besides: seeds in which
its mean is at least that of the first.
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
from scipy.stats import ttest_1samp

from benchmarks.common import HPO, CheckFailed, print_table, run_all, say, temporary
from benchmarks.ours import sweep
from hpo.events import Diverged, TrialSpec
from hpo.objective.build import build
from hpo.objective.torch_task import TorchObjective
from hpo.spec.load import Named
from hpo.training.device import pick_device
from hpo.training.evaluation import all_metrics, predict
from hpo.training.run import Run, start
from hpo.training.stack.cohort import Cohort, train_cohort
from hpo.training.task import Split

TASKS = {"binary": ("objectives.binary", {"source": "synthetic"}, "accuracy", 1.0),
         "regression": ("objectives.regression", {"source": "friedman", "outliers": 0.05}, "rmse", -1.0)}  # fmt: skip
FIRST_SEED = 1_000_003  # of the retraining: none of a sweep's
TIMEOUT = 3600.0
SPLITS = ("val", "test")


@dataclass(frozen=True)
class Outcome:
    """One seed of one task. differences: second - first of each fresh seed on each split, positive: better."""

    task: str
    seed: int
    trials: tuple[int, int]
    found: tuple[float, float]  # the best validation values that the sweeps saw
    differences: Mapping[str, Sequence[float]]

    def not_worse(self, split: str) -> bool:
        values = np.asarray(self.differences[split])
        if np.ptp(values) == 0:
            return bool(values[0] >= 0)
        return bool(ttest_1samp(values, 0.0).confidence_interval(0.95).high >= 0)

    def mean(self, split: str) -> float:
        return float(np.mean(self.differences[split]))


def retrained(task: str, params: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, list[float]]:
    """Return what a configuration reaches with each seed on each split, at its last epoch; not finite: it diverged."""
    reference, data, metric, _ = TASKS[task]
    objective = build(Named(reference, None, (), data, f"val_{metric}", tuple(params), Path()))
    assert isinstance(objective, TorchObjective)
    splits, device = objective.task.splits(data), pick_device()
    runs = [
        start(objective.task, splits.without_test(), TrialSpec(number, params, seed), device)
        for number, seed in enumerate(seeds)
    ]
    training, diverged = train_cohort(Cohort(list(runs))), set[int]()
    for events in training:
        diverged |= {event.number for event in events if isinstance(event, Diverged)}
    found = {split: [float("nan")] * len(seeds) for split in SPLITS}
    for number, run in enumerate(runs):
        if number not in diverged:
            for split, rows in (("val", splits.validation), ("test", splits.test)):
                found[split][number] = measured(run, rows, split)[f"{split}_{metric}"]
    return found


def measured(run: Run, rows: Split, split: str) -> dict[str, float]:
    """Return a trained run's metrics on some rows, whose targets are in their own units."""
    outputs = predict(run.task, run.model, rows.x.to(run.device), run.params)
    targets = run.data.units.forward(rows.y.to(run.device))
    return all_metrics(run.task.kind, split, outputs, targets, run.loss, run.data.units)


def one(task: str, seed: int, options: argparse.Namespace) -> Outcome:
    """Run both sweeps of one seed, and compare their best configurations."""
    root = Path(__file__).resolve().parents[2]
    with temporary() as folder:
        home, file = folder / "home", root / "search_spaces" / f"{task}.yaml"
        given = ["-o", f"seed={seed}", "-o", "confirm=null", "-o", "references=off"]
        given += ["-o", f"budget.trials={options.trials}"] if options.trials else []
        first, _ = sweep(file, home, *given, timeout=TIMEOUT)
        second_file = folder / "refined.yaml"
        run_all([[HPO, "refine", first["study"], "--home", home, "--output", second_file]], folder, TIMEOUT)
        second, _ = sweep(second_file, home, timeout=TIMEOUT)
    for said in (first, second):
        if said["best"] is None:
            raise CheckFailed(f"{said['study']} has no complete trial")
    fresh = [FIRST_SEED + 1000 * seed + index for index in range(options.retrain)]
    sign = TASKS[task][3]
    before, after = (retrained(task, said["best"]["params"], fresh) for said in (first, second))
    differences = {}
    for split in SPLITS:
        pairs = zip(before[split], after[split], strict=True)
        differences[split] = [difference(sign, old, new) for old, new in pairs]
    trials = tuple(sum(said["trials"][state] for state in ("complete", "pruned")) for said in (first, second))
    values = (first["best"]["value"], second["best"]["value"])
    return Outcome(task, seed, (trials[0], trials[1]), values, differences)


def difference(sign: float, old: float, new: float) -> float:
    """Return new - old, positive if it is better; one that diverged is far worse than anything."""
    if np.isnan(old) or np.isnan(new):
        return 1e6 * (float(np.isnan(old)) - float(np.isnan(new)))
    return sign * (new - old)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options."""
    parser.add_argument("--seeds", type=int, metavar="N", help="of the first sweep (default 10)")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS), help="default: all")
    parser.add_argument("--retrain", type=int, metavar="N", help="fresh seeds of each best configuration (default 30)")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`."""
    options.seeds = options.seeds or (1 if options.quick else 10)
    options.retrain = options.retrain or (4 if options.quick else 30)
    options.trials = options.trials or (40 if options.quick else None)
    torch.set_num_threads(1)
    outcomes: list[Outcome] = []
    for seed in range(1, options.seeds + 1):
        for task in options.tasks:
            outcomes.append(outcome := one(task, seed, options))
            say(f"{task}, seed {seed}: {json.dumps({split: outcome.mean(split) for split in SPLITS})}")
    results["refine"] = [vars(outcome) for outcome in outcomes]
    print_table(
        f"each seed: best found, and difference (second - first, positive: better) over {options.retrain} fresh seeds",
        ["task", "seed", "trials", "found first", "found second", "validation", "not worse", "test", "not worse"],
        [
            [
                outcome.task,
                outcome.seed,
                "{} + {}".format(*outcome.trials),
                f"{outcome.found[0]:.4g}",
                f"{outcome.found[1]:.4g}",
                *(cell for split in SPLITS for cell in (f"{outcome.mean(split):+.4f}", verdict(outcome, split))),
            ]
            for outcome in outcomes
        ],
    )
    print_table(
        "seeds in which the second sweep's best is not worse, and in which its mean is at least the first's",
        ["task", "seeds", *(f"{split}, {what}" for split in SPLITS for what in ("not worse", "mean at least"))],
        [[task, options.seeds, *counts([o for o in outcomes if o.task == task])] for task in options.tasks],
    )


def verdict(outcome: Outcome, split: str) -> str:
    """Return what the table says."""
    return "yes" if outcome.not_worse(split) else "no"


def counts(outcomes: Sequence[Outcome]) -> list[int]:
    """Return how many seeds are not worse, and how many have at least the mean, on each split."""
    return [
        sum(judged)
        for split in SPLITS
        for judged in (
            [outcome.not_worse(split) for outcome in outcomes],
            [outcome.mean(split) >= 0 for outcome in outcomes],
        )
    ]
