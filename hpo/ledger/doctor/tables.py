"""Reading MLflow's database: a few statements for many runs, of the columns that are read only.

No part of MLflow is needed for it, and none is run, which would make or migrate tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from sqlalchemy import Engine, NullPool, create_engine, select
from sqlalchemy.sql import column, table

from hpo.ledger.doctor.readers import Content, FoundRun, Values
from hpo.ledger.mirror.rows import RunRows

_AT_ONCE = 500  # runs in one condition; databases limit them
_RUNS = table("runs", *map(column, ("run_uuid", "name", "status", "lifecycle_stage", "experiment_id", "artifact_uri")))
_INPUTS = table("inputs", *map(column, ("source_type", "destination_type", "destination_id")))
_EXPERIMENTS = table("experiments", *map(column, ("experiment_id", "name", "lifecycle_stage")))
_TAGS, _PARAMS = (table(name, column("run_uuid"), column("key"), column("value")) for name in ("tags", "params"))
_METRICS, _LATEST = (
    table(name, *map(column, ("run_uuid", "key", "value", "step", "is_nan"))) for name in ("metrics", "latest_metrics")
)
_FACTS = {
    "mlflow.parentRunId": "parent",
    "hpo.trial": "trial",
    "hpo.kind": "kind",
    "hpo.study_id": "study_id",
    "hpo.study": "study",
}


class TablesReader:
    """Reads a database of MLflow's (readers.Reader)."""

    def __init__(self, uri: str, takes_ids: bool) -> None:
        self.takes_ids = takes_ids
        self._engine: Engine = create_engine(uri, poolclass=NullPool)

    def _rows(self, query: Any) -> Sequence[Any]:
        with self._engine.connect() as connection:
            return connection.execute(query).all()

    def experiment(self, name: str) -> tuple[str, bool] | None:
        rows = self._rows(select(_EXPERIMENTS).where(_EXPERIMENTS.c.name == name))
        return next(((str(row.experiment_id), row.lifecycle_stage == "active") for row in rows), None)

    def experiment_of(self, parent: str, study_id: str) -> tuple[str, bool] | None:
        query = (
            select(_EXPERIMENTS)
            .join(_RUNS, _RUNS.c.experiment_id == _EXPERIMENTS.c.experiment_id)
            .join(_TAGS, _TAGS.c.run_uuid == _RUNS.c.run_uuid)
            .where(_RUNS.c.run_uuid == parent, _TAGS.c.key == "hpo.study_id", _TAGS.c.value == study_id)
        )
        return next(((str(row.experiment_id), row.lifecycle_stage == "active") for row in self._rows(query)), None)

    def name_of(self, experiment: str) -> str:
        query = select(_EXPERIMENTS.c.name).where(_EXPERIMENTS.c.experiment_id == int(experiment))
        return next((str(name) for (name,) in self._rows(query)), "")

    def runs(self, experiment: str) -> list[FoundRun]:
        runs = select(_RUNS.c.run_uuid, _RUNS.c.status, _RUNS.c.lifecycle_stage, _RUNS.c.name)
        tags = select(_TAGS).join(_RUNS, _RUNS.c.run_uuid == _TAGS.c.run_uuid).where(_TAGS.c.key.in_(_FACTS))
        here = _RUNS.c.experiment_id == int(experiment)
        facts: dict[str, dict[str, str]] = defaultdict(dict)
        for run_id, key, value in self._rows(tags.where(here)):
            facts[run_id][_FACTS[key]] = str(value)
        rows = self._rows(runs.where(here).order_by(_RUNS.c.run_uuid))
        return [
            FoundRun(run_id, status, stage == "active", name=str(name), **facts[run_id])
            for run_id, status, stage, name in rows
        ]

    def contents(self, wanted: Sequence[tuple[str, RunRows]]) -> Iterator[Content]:
        for start in range(0, len(wanted), _AT_ONCE):
            run_ids = [run_id for run_id, _ in wanted[start : start + _AT_ONCE]]
            yield from self._read(run_ids)

    def _read(self, run_ids: Sequence[str]) -> Iterator[Content]:
        params: dict[str, dict[str, str]] = {run_id: {} for run_id in run_ids}
        tags: dict[str, dict[str, str]] = {run_id: {} for run_id in run_ids}
        values: dict[str, dict[str, Values]] = {run_id: defaultdict(set) for run_id in run_ids}
        latest: dict[str, dict[str, tuple[int, float]]] = {run_id: {} for run_id in run_ids}
        with self._engine.connect() as connection:
            for found, its_table in ((params, _PARAMS), (tags, _TAGS)):
                for run_id, key, value in connection.execute(select(its_table).where(_among(its_table, run_ids))):
                    found[run_id][key] = value
            for run_id, key, value, step, is_nan in connection.execute(
                select(_METRICS).where(_among(_METRICS, run_ids))
            ):
                values[run_id][key].add((step, float("nan") if is_nan else value))
            for run_id, key, value, step, is_nan in connection.execute(select(_LATEST).where(_among(_LATEST, run_ids))):
                latest[run_id][key] = step, float("nan") if is_nan else value
        for run_id in run_ids:
            yield Content(params[run_id], tags[run_id], values[run_id], latest=latest[run_id])

    def values(self, run_id: str, key: str) -> Values:
        query = select(_METRICS.c.step, _METRICS.c.value).where(_METRICS.c.run_uuid == run_id, _METRICS.c.key == key)
        return {(step, value) for step, value in self._rows(query)}

    def texts(self, run_ids: Iterable[str], name: str) -> set[str]:
        listed, found = list(run_ids), set()
        for start in range(0, len(listed), _AT_ONCE):
            some = listed[start : start + _AT_ONCE]
            query = select(_RUNS.c.run_uuid, _RUNS.c.artifact_uri).where(_among(_RUNS, some))
            found |= {run_id for run_id, uri in self._rows(query) if _is_there(uri, name)}
        return found

    def with_data(self, run_ids: Iterable[str]) -> set[str]:
        listed, found = list(run_ids), set()
        of_data = (_INPUTS.c.destination_type == "RUN", _INPUTS.c.source_type == "DATASET")
        for start in range(0, len(listed), _AT_ONCE):
            some = listed[start : start + _AT_ONCE]
            query = select(_INPUTS.c.destination_id).where(*of_data, _INPUTS.c.destination_id.in_(some))
            found |= {run_id for (run_id,) in self._rows(query)}
        return found

    def compared(self) -> str:
        return ""


def _among(its_table: Any, run_ids: Sequence[str]) -> Any:
    return its_table.c.run_uuid.in_(run_ids)


def _is_there(uri: str, name: str) -> bool:
    """Whether an artifact is there, as far as this machine's files say it."""
    place = urlparse(uri)
    return place.scheme not in ("file", "") or Path(unquote(place.path), name).exists()
