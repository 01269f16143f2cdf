"""From trained contenders to a verdict: on the test rows, by what the objective reports of them, or on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpo.decision.confirm.measuring import compare, left_outputs
from hpo.decision.confirm.untouched import UntouchedRows
from hpo.decision.confirm.verdict import LEVEL, METHOD_SEEDS, Judged, judge, spread_of_seeds
from hpo.lazy import lazy_import
from hpo.ledger.study.confirmations import MeasuredOn
from hpo.ledger.study.records import TrialRecord
from hpo.spec.sweep import Target

np = lazy_import("numpy")


@dataclass(frozen=True)
class Pair:
    """The trials of the winner and of the baseline, seed by seed. outputs: the files that they have left, likewise."""

    winner: Sequence[TrialRecord]
    baseline: Sequence[TrialRecord]
    outputs: tuple[Sequence[Path], Sequence[Path]] = ((), ())


@dataclass(frozen=True)
class Judgement:
    """Winner and baseline side by side. winner, baseline: the metric of each seed. rows: None: not known."""

    metric: str
    on: MeasuredOn
    rows: int | None
    winner: tuple[float, ...]
    baseline: tuple[float, ...]
    judged: Judged
    method: str


def metric_of_test(metric: str) -> str:
    """Return the name under which an objective reports a metric of the test rows: `test_accuracy` beside `val_accuracy`
    and beside `accuracy`."""
    for prefix in ("val_", "valid_", "validation_", "train_"):
        metric = metric.removeprefix(prefix)
    return f"test_{metric}"


def judge_on_test(pair: Pair, side: UntouchedRows, target: Target) -> Judgement:
    """Open what winner and baseline have left, and measure it. Raises OutputsGone, or UserError where the metric is not
    defined on the test rows."""
    left = [
        left_outputs(paths, side.split, side.loss_of(records[0].params, records[0].epochs))
        for paths, records in zip(pair.outputs, (pair.winner, pair.baseline), strict=True)
    ]
    found = compare(left[0], left[1], side.split, side.metric, target.goal)
    name = f"test_{side.metric}"
    return Judgement(name, "test", len(side.split), found.winner, found.baseline, found.judged, found.method)


def judge_on_reports(pair: Pair, target: Target, ranked: int) -> Judgement:
    """Compare by a test metric that the objective reports; if it reports none, by the sweep's own, which chose the
    winner among so many that were ranked. Over seeds only: how many rows there are is not known."""
    name = metric_of_test(target.name)
    reported = [[trial.beside_value(name) for trial in trials] for trials in (pair.winner, pair.baseline)]
    metric, level = name, LEVEL
    on: MeasuredOn = "reported"
    if any(value is None for values in reported for value in values):
        reported = [[trial.value for trial in trials] for trials in (pair.winner, pair.baseline)]
        metric, on, level = target.name, "validation", 1 - (1 - LEVEL) / max(1, ranked)
    winner, baseline = (tuple(float(value) for value in values if value is not None) for values in reported)
    sign = 1.0 if target.goal == "maximize" else -1.0
    of_seeds = sign * (np.array(winner) - np.array(baseline))
    judged = judge(float(of_seeds.mean()), spread_of_seeds(of_seeds), level)
    return Judgement(metric, on, None, winner, baseline, judged, METHOD_SEEDS)
