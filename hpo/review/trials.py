"""A study's trials as one table, the source of every form in which they are shown or written (a pandas DataFrame)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo.diagnosis.figures import is_health
from hpo.diagnosis.words import names_of
from hpo.lazy import lazy_import
from hpo.ledger.study.records import TrialRecord, record_of, reported
from hpo.ledger.study.settling import as_told
from hpo.ledger.study.sources import SOURCES
from hpo.ledger.study.words import reason_of, state_of
from hpo.review.studies import RecordedStudy
from hpo.review.trial_columns import FACTS, Column, columns_of, goals_of
from hpo.search.distributions import decode_params
from hpo.spec.contract import Goal

if TYPE_CHECKING:
    import pandas as pd
    from optuna.trial import FrozenTrial
else:
    pd = lazy_import("pandas")

_STATES = ("complete", "pruned", "running", "failed", "interrupted")  # in the order of the leaderboard
_LARGEST = 2**63


@dataclass(frozen=True)
class TrialTable:
    """A study's trials. Figures of health, a few for each layer, have no columns.

    frame: a row a trial, in the order of their numbers; a column for each of `columns`, under its name. Facts have the
        types that hpo.review.trial_columns.FACTS says. Metrics are float64. A parameter is Int64, float64, boolean or
        str where all of its values are of that type, else object, with lists and mappings as they are. What a trial
        has not (a parameter that is not active, or is null; a metric that it never reported) is missing.
    """

    frame: pd.DataFrame
    columns: tuple[Column, ...]
    metric: str  # the sweep's
    goal: Goal
    quoted: frozenset[str]  # parameters of which two choices would have the same text: written as JSON

    def column(self, kind: str, of: str) -> str | None:
        """Return the name of the column of this kind and own name, None if there is none."""
        return next((column.name for column in self.columns if (column.kind, column.of) == (kind, of)), None)

    def ranked(self) -> pd.DataFrame:
        """Return the rows, the best first: trials that can be the best by their value, complete or pruned; then other
        pruned ones by the last value of the metric, then those that have none; of equal ones the earlier first."""
        frame = self.frame
        last = self.column("metric", self.metric)
        value = frame["value"] if last is None else frame["value"].fillna(frame[last])
        ranks = frame["state"].map({state: rank for rank, state in enumerate(_STATES)})
        keys = pd.DataFrame(
            {
                "rank": ranks.where(frame["value"].isna(), 0),
                "value": -value if self.goal == "maximize" else value,
            }
        )
        return frame.loc[keys.sort_values(["rank", "value"], kind="stable").index]


def table_of(study: RecordedStudy) -> TrialTable:
    """Return the table of a study's trials."""
    metric = study.sweep.metric
    rows = [_row(trial, study, metric.name) for trial in study.trials]
    names = dict.fromkeys(study.sweep.space.names()) | dict.fromkeys(name for row in rows for name in row.params)
    metrics = dict.fromkeys([metric.name]) if any(metric.name in row.series for row in rows) else {}
    metrics |= dict.fromkeys(name for row in rows for name in row.series if not is_health(name))
    goals = goals_of(metrics, metric.name, metric.goal)
    columns = columns_of(names, metrics, goals)
    frame = pd.DataFrame({column.name: _series(column, rows, goals) for column in columns})
    quoted = frozenset(study.attributes.get("quoted", ()))
    return TrialTable(frame, columns, metric.name, metric.goal, quoted)


@dataclass(frozen=True)
class _Row:
    facts: Mapping[str, Any]
    params: Mapping[str, Any]
    series: Mapping[str, Sequence[float]]  # each metric's values in the order of steps, at least one


def _row(trial: FrozenTrial, study: RecordedStudy, metric: str) -> _Row:
    record = record_of(trial, history=False)
    steps, columns = reported(trial)
    series = {name: [value for value in column if value is not None] for name, column in columns.items()}
    if record.state == "running":  # of its reports the study has the sweep's metric only, and its parameters as encoded
        steps = sorted(trial.intermediate_values)
        series = {metric: [trial.intermediate_values[step] for step in steps]}
        params: Mapping[str, Any] = decode_params(study.sweep.space, trial.params)
    else:
        params = record.params
        if record.value is not None:
            series.setdefault(metric, [record.value])  # returned, and never reported
    return _Row(
        _facts(as_told(record, study.live), steps) | {"sources": trial.user_attrs.get(SOURCES)},
        params,
        {name: values for name, values in series.items() if values},
    )


def _facts(record: TrialRecord, steps: Sequence[int]) -> dict[str, Any]:
    last = max(steps, default=None)
    info = record.info
    return {
        "number": record.number,
        "state": state_of(record),
        "value": record.value if record.ranks else None,
        "best_step": record.best_step,
        "reason": reason_of(record, last) or None,
        "diagnoses": None if record.diagnoses is None else names_of(record.diagnoses),
        "seed": record.seed,
        "epochs_trained": last,
        "duration": record.seconds if record.ended is not None else None,
        "started": record.started or None,
        "ended": record.ended,
        "worker": info.get("worker"),
        "host": info.get("host"),
        "cohort": info.get("cohort", 1 if "worker" in info else None),
        "attempts": record.attempts,
        "retry_of": record.retry_of,
        "run_id": record.run_id or None,
    }


def _series(column: Column, rows: Sequence[_Row], goals: Mapping[str, Goal]) -> pd.Series[Any]:
    if column.kind == "fact":
        values = [row.facts[column.of] for row in rows]
        dtype = FACTS[column.of].dtype
        if dtype.startswith("datetime"):
            return pd.Series(pd.to_datetime(pd.Series(values, dtype="float64"), unit="s", utc=True).astype(dtype))
        return pd.Series(values, dtype=dtype)
    if column.kind == "parameter":
        return _parameter([row.params.get(column.of) for row in rows])
    pick = _last if column.kind == "metric" else max if goals[column.of] == "maximize" else min
    found = [pick(row.series[column.of]) if column.of in row.series else None for row in rows]
    return pd.Series(found, dtype="float64")


def _last(values: Sequence[float]) -> float:
    return values[-1]


def _parameter(values: Sequence[Any]) -> pd.Series[Any]:
    """Return a parameter's column, of the narrowest type that holds all of its values as they are."""
    there = [value for value in values if value is not None]
    kinds = {type(value) for value in there}
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean")
    if kinds == {int} and all(-_LARGEST <= value < _LARGEST for value in there):
        return pd.Series(values, dtype="Int64")
    if kinds and kinds <= {int, float} and all(float(value) == value for value in there):
        return pd.Series(values, dtype="float64")
    return pd.Series(values, dtype="str" if kinds == {str} else "object")
