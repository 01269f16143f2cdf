"""Is the verdict of `hpo confirm` to be trusted? How often is it wrong on noise, and how large a difference is shown?

Each repetition is a table of its own: rows, labels, split. The winner and the baseline are trained by the platform's
stacks over the seeds, leave their outputs for the test rows as the workers of a confirmation do, and are judged by the
command's own functions. On noise the labels are shuffled, so no model can be right but by luck, and the winner is the
best of several on validation, as after a search. For power a share of the baseline's training labels is turned round:
the real difference of a pair is measured on many more rows of the same kind, which no user would have.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.common import CheckFailed, print_table, say
from hpo.decision.confirm.measuring import HeldOut, LeftOutputs, compare
from hpo.events import TrialSpec
from hpo.training.device import settle_process
from hpo.training.evaluation import predict
from hpo.training.run import Run, start
from hpo.training.stack.cohort import Cohort, train_cohort
from hpo.training.task import Split, Splits
from hpo.training.vocabulary.metrics import measure
from objectives.binary import Binary

CPU = torch.device("cpu")
TASK = Binary()
FEATURES, TRAINING, VALIDATION, TEST, MANY = 20, 300, 100, 200, 4000  # MANY: rows that say the real difference
SEEDS, EPOCHS = 5, 5
CANDIDATES: tuple[Mapping[str, Any], ...] = (
    {"learning_rate": 0.003}, {"learning_rate": 0.01}, {"learning_rate": 0.03},
)  # fmt: skip
BASELINE: Mapping[str, Any] = {"learning_rate": 0.001}
WRONG = (0.0, 0.05, 0.1, 0.15, 0.25, 0.4)  # shares of the baseline's training labels, for power
ALLOWED = 0.05
# Those that are the same for all models on noise. F1 and recall are really higher where one says yes more often.
METRIC_NAMES = ("accuracy", "balanced_accuracy", "roc_auc")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options."""
    parser.add_argument("--metric", default="accuracy", choices=METRIC_NAMES, help="default: accuracy")
    parser.add_argument("--part", choices=("noise", "power"), help="one part only")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, whatever the threads
    settle_process()
    repeats = 5 if options.quick else options.trials or 200
    if options.part != "power":
        noise(repeats, options.metric, results, strict=not options.quick)
    if options.part != "noise":
        power(repeats, options.metric, results)


@dataclass(frozen=True)
class Table:
    """Rows to train and to measure on. many: further rows of the same kind, that only the benchmark has."""

    splits: Splits
    many: Split


def table(seed: int, shuffled: bool) -> Table:
    """Return a table of two equally frequent classes; shuffled: whose labels say nothing."""
    draw = np.random.default_rng(seed)
    rows = TRAINING + VALIDATION + TEST + MANY
    x = draw.standard_normal((rows, FEATURES)).astype(np.float32)
    score = x[:, :10] @ draw.standard_normal(10) + np.abs(x[:, 10:14]).sum(1) + draw.standard_normal(rows)
    y = (score > np.median(score)).astype(np.float32)
    if shuffled:
        draw.shuffle(y)
    whole = Split(torch.from_numpy(x), torch.from_numpy(y))
    ends = np.cumsum([0, TRAINING, VALIDATION, TEST, MANY])
    parts = [Split(whole.x[low:high], whole.y[low:high]) for low, high in itertools.pairwise(ends)]
    return Table(Splits(parts[0], parts[1], parts[2]), parts[3])


def spoilt(splits: Splits, share: float, seed: int) -> Splits:
    """Return the splits with a share of the training labels turned round: what makes a model worse by a little."""
    draw = np.random.default_rng(seed)
    wrong = torch.from_numpy(draw.random(len(splits.train)) < share)
    y = torch.where(wrong, 1 - splits.train.y, splits.train.y)
    return Splits(Split(splits.train.x, y), splits.validation, splits.test)


@dataclass(frozen=True)
class Trained:
    """One configuration over all seeds. validation: the mean of its metric."""

    validation: float
    test: LeftOutputs
    many: LeftOutputs


def trained(
    data: Table, splits: Splits, configurations: Sequence[Mapping[str, Any]], metric: str, seed: int
) -> list[Trained]:
    """Train configurations over the seeds, all in one stack."""
    shared = {"hidden_layers": [16], "batch_size": 50}
    specs = [
        TrialSpec(place * SEEDS + index, {**shared, **params}, 1000 * seed + index, EPOCHS)
        for place, params in enumerate(configurations)
        for index in range(SEEDS)
    ]
    runs = [start(TASK, splits.without_test(), spec, CPU) for spec in specs]
    cohort = Cohort(runs)
    for _ in train_cohort(cohort):
        pass
    groups = [runs[place * SEEDS : (place + 1) * SEEDS] for place in range(len(configurations))]
    return [_outcome(group, data, metric) for group in groups]


def _outcome(runs: Sequence[Run], data: Table, metric: str) -> Trained:
    def left(x: torch.Tensor) -> LeftOutputs:
        outputs = torch.stack([predict(run.task, run.model, x, run.params) for run in runs])
        return LeftOutputs(outputs, outputs)

    validation = statistics.fmean(run.reports[-1].metrics[f"val_{metric}"] for run in runs)
    return Trained(validation, left(data.splits.test.x), left(data.many.x))


def noise(repeats: int, metric: str, results: dict[str, Any], strict: bool) -> None:
    """Shuffled labels: count the verdicts. Raises CheckFailed if more are wrong than chance explains."""
    verdicts: Counter[str] = Counter()
    for repeat in range(repeats):
        data = table(repeat, shuffled=True)
        *candidates, baseline = trained(data, data.splits, (*CANDIDATES, BASELINE), metric, repeat)
        winner = max(candidates, key=lambda each: each.validation)
        split = HeldOut("binary", data.splits.test.y, "", "")
        verdicts[compare(winner.test, baseline.test, split, metric, "maximize").judged.verdict] += 1
    wrong = repeats - verdicts["not shown"]
    results["noise"] = {"metric": metric, "repeats": repeats, "verdicts": dict(verdicts)}
    rows = [[name, verdicts[name], f"{verdicts[name] / repeats:.1%}"] for name in ("better", "worse", "not shown")]
    title = f"Pure noise, {repeats} times: {metric} of {TEST} test rows, {SEEDS} seeds, the best of {len(CANDIDATES)}"
    print_table(title, ["verdict", "times", "share"], rows)
    print(f"\nShown although there is nothing: {wrong / repeats:.1%} (at most {ALLOWED:.0%} is wanted)")
    if strict and wrong / repeats > ALLOWED + 2 * math.sqrt(ALLOWED * (1 - ALLOWED) / repeats):
        raise CheckFailed(f"{wrong} of {repeats} verdicts on noise are wrong")


def power(repeats: int, metric: str, results: dict[str, Any]) -> None:
    """A baseline that is worse by more and more: count the verdicts against the real difference."""
    found: dict[str, Any] = {}
    rows = []
    for share in WRONG:
        verdicts: Counter[str] = Counter()
        real = []
        for repeat in range(repeats):
            data = table(repeat, shuffled=False)
            (winner,) = trained(data, data.splits, CANDIDATES[1:2], metric, repeat)
            (baseline,) = trained(data, spoilt(data.splits, share, repeat), CANDIDATES[1:2], metric, repeat)
            split = HeldOut("binary", data.splits.test.y, "", "")
            verdicts[compare(winner.test, baseline.test, split, metric, "maximize").judged.verdict] += 1
            each = [measure("binary", it.many.outputs, data.many.y)[metric].mean() for it in (winner, baseline)]
            real.append(float(each[0] - each[1]))
        say(f"{share:.0%} of the baseline's labels wrong: {dict(verdicts)}")
        found[f"{share:g}"] = {"difference": statistics.fmean(real), "verdicts": dict(verdicts)}
        shares = [f"{verdicts[name] / repeats:.0%}" for name in ("better", "not shown", "worse")]
        rows.append([f"{share:.0%}", f"{statistics.fmean(real):+.3f}", *shares])
    results["power"] = {"metric": metric, "repeats": repeats, "steps": found}
    title = f"A planted difference, {repeats} times each: {metric} of {TEST} test rows, {SEEDS} seeds"
    print_table(title, ["wrong labels of the baseline", "real difference", "better", "not shown", "worse"], rows)
