"""What is asked of MLflow's tables, and written into them, in whichever way a database was opened."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, Engine, delete, insert, select

from hpo.ledger.mirror.rows import DATA_CONTEXT, DatasetRows, Point, RunRows, latest_points
from hpo.ledger.mirror.tables import DATASETS, INPUT_TAGS, INPUTS, LATEST, METRICS, RUNS, TAGS

_LARGEST = 1.7976931348623157e308  # what MLflow has in the place of infinity


class Database(Protocol):
    """A database with MLflow's tables."""

    @property
    def engine(self) -> Engine:
        """What connects to it."""

    def transaction(self, read_only: bool = True) -> AbstractContextManager[Connection]:
        """Return a context in which all that is written is one transaction."""


class Child(NamedTuple):
    """A run of a trial that is there."""

    number: int  # of the trial
    run_id: str
    status: str


def children_of(connection: Connection, parent_id: str) -> list[Child]:
    """Return the runs of a sweep's trials."""
    parent = TAGS.alias()
    query = (
        select(TAGS.c.value, RUNS.c.run_uuid, RUNS.c.status)
        .join(RUNS, RUNS.c.run_uuid == TAGS.c.run_uuid)
        .join(parent, parent.c.run_uuid == TAGS.c.run_uuid)
        .where(parent.c.key == "mlflow.parentRunId", parent.c.value == parent_id)
        .where(TAGS.c.key == "hpo.trial", RUNS.c.lifecycle_stage == "active")
    )
    return [Child(int(number), run_id, status) for number, run_id, status in connection.execute(query)]


def run_row(run_id: str, experiment: int, artifacts: str, rows: RunRows) -> dict[str, Any]:
    """Return a run's row, as MLflow's store makes it."""
    return {
        "run_uuid": run_id,
        "name": rows.name,
        "source_type": "UNKNOWN",
        "source_name": "",
        "entry_point_name": "",
        "user_id": "unknown",
        "status": rows.status,
        "start_time": rows.start or now(),
        "end_time": None if rows.end is None else rows.end or now(),
        "deleted_time": None,
        "source_version": "",
        "lifecycle_stage": "active",
        "artifact_uri": artifacts,
        "experiment_id": experiment,
    }


def point_row(run_id: str, point: Point) -> dict[str, Any]:
    """Return the row of a metric's value, as MLflow's store makes it."""
    key, value, timestamp, step = _storable(point)
    row = {"run_uuid": run_id, "key": key, "value": value, "timestamp": timestamp, "step": step}
    return row | {"is_nan": math.isnan(point.value)}


def add_points(connection: Connection, run_id: str, points: Sequence[Point]) -> None:
    """Add values of metrics to a run; those that it has are not doubled."""
    keys = list({point.key for point in points})
    found = {
        table: {
            Point(key, math.nan if is_nan else value, timestamp, step)
            for key, value, timestamp, step, is_nan in connection.execute(
                select(table.c.key, table.c.value, table.c.timestamp, table.c.step, table.c.is_nan).where(
                    table.c.run_uuid == run_id, table.c.key.in_(keys)
                )
            )
        }
        for table in (METRICS, LATEST)
    }
    there = {_identity(point) for point in found[METRICS]}
    new = [point for identity, point in {_identity(each): each for each in points}.items() if identity not in there]
    if new:
        connection.execute(insert(METRICS), [point_row(run_id, point) for point in new])
        connection.execute(delete(LATEST).where(LATEST.c.run_uuid == run_id, LATEST.c.key.in_(keys)))
        # MLflow compares what it stores, which for NaN is 0.
        stored = {_storable(point): point for point in [*found[LATEST], *new]}
        latest = [stored[point] for point in latest_points(stored)]
        connection.execute(insert(LATEST), [point_row(run_id, point) for point in latest])


def _storable(point: Point) -> Point:
    if math.isfinite(point.value):
        return point
    return point._replace(value=0.0 if math.isnan(point.value) else math.copysign(_LARGEST, point.value))


def _identity(point: Point) -> tuple[Point, bool]:
    return _storable(point), math.isnan(point.value)


def add_inputs(connection: Connection, experiment: int, wanted: Mapping[str, DatasetRows]) -> None:
    """Write which data runs had, as MLflow's store does; what they have of it is not doubled. wanted: by run id."""
    if not wanted:
        return
    ids = {data: _dataset(connection, experiment, data) for data in dict.fromkeys(wanted.values())}
    query = select(INPUTS.c.destination_id, INPUTS.c.source_id).where(
        INPUTS.c.destination_type == "RUN", INPUTS.c.source_type == "DATASET", INPUTS.c.destination_id.in_(wanted)
    )
    there = {(run_id, source) for run_id, source in connection.execute(query)}
    new = [(run_id, ids[data], uuid.uuid4().hex) for run_id, data in wanted.items() if (run_id, ids[data]) not in there]
    if not new:
        return
    rows = [
        {"input_uuid": own, "source_type": "DATASET", "source_id": source, "destination_type": "RUN"}
        | {"destination_id": run_id}
        for run_id, source, own in new
    ]
    connection.execute(insert(INPUTS), rows)
    name, value = DATA_CONTEXT
    connection.execute(insert(INPUT_TAGS), [{"input_uuid": own, "name": name, "value": value} for *_, own in new])


def _dataset(connection: Connection, experiment: int, data: DatasetRows) -> str:
    """Return the id of a data set of this experiment, which is made if there is none."""
    here = (DATASETS.c.experiment_id == experiment, DATASETS.c.name == data.name)
    query = select(DATASETS.c.dataset_uuid).where(*here, DATASETS.c.digest == data.digest)
    if (found := connection.execute(query).scalar()) is not None:
        return str(found)
    row = {"dataset_uuid": uuid.uuid4().hex, "experiment_id": experiment, "name": data.name}
    row |= {"digest": data.digest, "dataset_source_type": data.source_type, "dataset_source": data.source}
    connection.execute(insert(DATASETS), [row | {"dataset_schema": None, "dataset_profile": data.profile or None}])
    return str(row["dataset_uuid"])


def now() -> int:
    """Return the time as MLflow counts it, in milliseconds since the Unix epoch."""
    return int(time.time() * 1000)
