"""What a study's trials reported at each step, as one table (a pandas DataFrame)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo.diagnosis.figures import is_health
from hpo.ledger.study.records import reported, seconds_of_steps
from hpo.review.studies import RecordedStudy

if TYPE_CHECKING:
    import pandas as pd
    from optuna.trial import FrozenTrial

KEYS = ("number", "step", "seconds")  # the columns before the metrics


def curves_of(study: RecordedStudy) -> pd.DataFrame:
    """Return a new table with a row for each trial and step, in the order of their numbers and steps.

    number, step: int64. seconds: float64, from the trial's start to the report. Then each metric that a trial reported,
    float64, under its own name: the sweep's first, figures of health last. A metric called like one of the KEYS has
    `metric_` before its name. What was not reported at a step is missing. Of a trial that did not come to its end the
    study has the sweep's metric only, and no seconds. A trial that reported nothing has no row.
    """
    import numpy as np
    import pandas as pd

    metric = study.sweep.metric.name
    blocks = [block for trial in study.trials if (block := _block(trial, metric)).steps]
    metrics = sorted({name: None for block in blocks for name in block.metrics}, key=lambda name: _rank(name, metric))
    table = np.full((len(metrics), sum(len(block.steps) for block in blocks)), np.nan)
    places = {name: place for place, name in enumerate(metrics)}
    end = 0
    for block in blocks:
        begin, end = end, end + len(block.steps)
        for name, values in block.metrics.items():
            table[places[name], begin:end] = np.array(values, dtype=float)  # None is NaN
    keys = {
        "number": np.array([block.number for block in blocks for _ in block.steps], dtype="int64"),
        "step": np.array([step for block in blocks for step in block.steps], dtype="int64"),
        "seconds": np.array([second for block in blocks for second in block.seconds], dtype="float64"),
    }
    frame = pd.DataFrame(table.T, columns=_free(metrics))
    return pd.concat([pd.DataFrame(keys), frame], axis=1)


@dataclass(frozen=True)
class _Block:
    """What one trial reported, by step. None: not at that step, or not known."""

    number: int
    steps: Sequence[int]
    seconds: Sequence[float | None]
    metrics: dict[str, Sequence[float | None]]


def _block(trial: FrozenTrial, metric: str) -> _Block:
    steps, columns = reported(trial)
    if steps:
        return _Block(trial.number, steps, seconds_of_steps(trial), dict(columns))
    steps = sorted(trial.intermediate_values)  # all that the study has of a trial that has not ended
    values = [trial.intermediate_values[step] for step in steps]
    return _Block(trial.number, steps, [None] * len(steps), {metric: values})


def _rank(name: str, metric: str) -> int:
    return 2 if is_health(name) else int(name != metric)


def _free(metrics: Iterable[str]) -> list[str]:
    """Return the metrics' columns: their own names, longer ones for those that are called like a key."""
    taken = {*KEYS, *metrics}
    names = []
    for name in metrics:
        if name in KEYS:
            while name in taken:
                name = f"metric_{name}"
            taken.add(name)
        names.append(name)
    return names
