"""The members of a trial: trainings of one configuration that differ in seed or rows. The trial's value is their mean.

A trial has one member, unless the sweep file says `repeats` (other seeds) or `data: {resample: kfold}` (other rows).
They train in lock-step, an epoch of each for one report, so that whoever sees the trial (a stopping rule, the budget,
the records) sees one trial.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpo.training.seeding import derive_seed


@dataclass(frozen=True)
class Member:
    """One of a trial's trainings. index: from 0; of: how many there are."""

    index: int = 0
    of: int = 1

    def seed(self, trial_seed: int) -> int:
        """Return the member's seed. The first one's is the trial's, as if it were the only one."""
        return derive_seed(trial_seed, f"member {self.index + 1}") if self.index else trial_seed

    def own(self, metric: str) -> str:
        """Return the name under which a report has this member's own value of a metric."""
        return own_name(metric, self.index) if self.of > 1 else metric


ALONE = Member()


def own_name(metric: str, index: int) -> str:
    """Return the name of one member's value of a metric: `val_loss.1` of the first. index: from 0."""
    return f"{metric}.{index + 1}"


def spread_name(metric: str) -> str:
    """Return the name of the standard deviation of a metric between the members of a trial."""
    return f"{metric}_sd"


def of_member(report: Mapping[str, float], member: Member) -> dict[str, float]:
    """Return one member's own metrics, by their plain names, from what its trial reported of an epoch."""
    if member.of == 1:
        return dict(report)
    end = own_name("", member.index)
    return {name.removesuffix(end): value for name, value in report.items() if name.endswith(end)}


def averaged(members: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return what a trial reports of an epoch, from what its members measured, in their order.

    Of each metric the mean, then the standard deviation (of a sample: over n - 1), then each member's own value. A
    metric that a member lacks (it was not finite there) has neither mean nor deviation: the rest's would flatter the
    trial.
    A single member's metrics are the trial's.
    """
    if len(members) == 1:
        return dict(members[0])
    names = dict.fromkeys(name for metrics in members for name in metrics)
    shared = [name for name in names if all(name in metrics for metrics in members)]
    columns = {name: [metrics[name] for metrics in members] for name in shared}
    found = {name: mean(values) for name, values in columns.items()}
    found |= {spread_name(name): statistics.stdev(values) for name, values in columns.items()}
    found |= {
        own_name(name, index): metrics[name]
        for name in names
        for index, metrics in enumerate(members)
        if name in metrics
    }
    return found


def averaged_health(members: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return each figure of health as its mean over the members that have it: one of them may have diverged, or be
    made of other layers. Neither deviation nor each member's own is reported: there are many figures."""
    names = dict.fromkeys(name for figures in members for name in figures)
    return {name: mean([figures[name] for figures in members if name in figures]) for name in names}


def mean(values: Sequence[float]) -> float:
    """Return the mean; of equal values exactly that value."""
    return values[0] + math.fsum(value - values[0] for value in values) / len(values)
