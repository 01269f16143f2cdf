"""The columns of a study's table of trials: which there are, what each means, how names that collide are told apart.

Facts of every trial have fixed names (FACTS). Each parameter and each metric has a column under its own name, the
metric's with its last value; where it is known whether a metric is to be large or small, `best_NAME` has its best
value. A parameter or a metric whose column would have the name of another one gets its kind before its name,
`param_NAME`, `metric_NAME`, `best_metric_NAME`, as often as it takes: of a parameter `state`, `param_state`; of a
parameter `lr` and a metric `lr`, `param_lr`, `metric_lr` and `best_lr`. A fact's name never changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from hpo.spec.contract import Goal
from hpo.training.vocabulary.metrics import METRICS

Dtype = Literal["int64", "Int64", "float64", "str", "datetime64[us, UTC]"]


@dataclass(frozen=True)
class Fact:
    """A column that every study's table has. Where a trial has no such fact, it is missing."""

    dtype: Dtype
    meaning: str


FACTS: Mapping[str, Fact] = {
    "number": Fact("int64", "the trial's number in the study"),
    "state": Fact("str", "complete, pruned, failed, interrupted (cut off, and run again as another trial) or running"),
    "value": Fact("float64", "the value of the sweep's metric that counts; of trials that can be the best"),
    "best_step": Fact("Int64", "the step that has this value, where the best one counts (`metric: {at: best}`)"),
    "reason": Fact("str", "why it was stopped or failed, in words"),
    "diagnoses": Fact("str", "what is wrong with its training, or `healthy`"),
    "seed": Fact("int64", "the seed that it was trained with"),
    "epochs_trained": Fact("Int64", "the last step that it reported; of a Torch task: epochs completed"),
    "duration": Fact("float64", "seconds from start to end"),
    "started": Fact("datetime64[us, UTC]", "when it began"),
    "ended": Fact("datetime64[us, UTC]", "when it ended"),
    "worker": Fact("str", "the worker that trained it"),
    "host": Fact("str", "the machine of that worker"),
    "cohort": Fact("Int64", "trials in its stack when it ended, itself included; 1: it trained alone"),
    "attempts": Fact("int64", "how often it was begun under this number"),
    "retry_of": Fact("Int64", "the interrupted trial that it repeats"),
    "sources": Fact("str", "which code and data it is of: another text for each version"),
    "run_id": Fact("str", "the id of its run in MLflow, as far as the study knows it"),
}
FIRST = ("number", "state", "value")  # before parameters and metrics; the other facts come after them

Kind = Literal["fact", "parameter", "metric", "best"]


@dataclass(frozen=True)
class Column:
    """One column. of: the fact's, parameter's or metric's own name."""

    name: str
    kind: Kind
    of: str


def columns_of(parameters: Iterable[str], metrics: Iterable[str], goals: Mapping[str, Goal]) -> tuple[Column, ...]:
    """Return a table's columns in order: FIRST, the parameters, each metric's last and best value, the other facts.

    goals: of the metrics for which it is known.
    """
    parameters, metrics = list(parameters), list(metrics)
    wanted: list[tuple[Kind, str, str]] = [("parameter", name, name) for name in parameters]
    for name in metrics:
        wanted.append(("metric", name, name))
        if name in goals:
            wanted.append(("best", name, f"best_{name}"))
    times = Counter([*FACTS, *(plain for _, _, plain in wanted)])
    taken = {name for name, count in times.items() if count == 1 or name in FACTS}
    named = []
    for kind, own, plain in wanted:
        name = plain
        if times[plain] > 1:
            while name in taken or name == plain:
                name = _longer(kind, own, name)
            taken.add(name)
        named.append(Column(name, kind, own))
    first = [Column(name, "fact", name) for name in FIRST]
    return (*first, *named, *(Column(name, "fact", name) for name in FACTS if name not in FIRST))


def _longer(kind: Kind, own: str, name: str) -> str:
    if kind == "parameter":
        return f"param_{name}"
    if kind == "metric":
        return f"metric_{name}"
    return f"best_metric_{own}" if name == f"best_{own}" else f"best_{name}"


def goals_of(metrics: Iterable[str], metric: str, goal: Goal) -> dict[str, Goal]:
    """Return the metrics of which it is known whether they are to be large or small: the sweep's own, and those that
    have the names of a Torch task's (`train_*`, `val_*` of the vocabulary), whoever reported them."""
    vocabulary = {name: found for kind in METRICS.values() for name, found in kind.items()}
    known = {f"{split}_{name}": found for split in ("train", "val") for name, found in vocabulary.items()}
    known[metric] = goal
    return {name: known[name] for name in metrics if name in known}
