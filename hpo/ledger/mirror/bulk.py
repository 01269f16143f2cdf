"""Writing many runs in one transaction, into a database that MLflow's store opens in this process.

MLflow's public client takes 25 ms and more of Python a run. Here the rows go into MLflow's own tables, by its own
models and its own store's session, a few statements for a batch of trials: under 5 ms a trial of 20 epochs. This
rests on what MLflow does inside, so it is done only with releases that it was tested with
(tests/ledger/mirror/test_mlflow_ways.py compares every row with what the client writes) and if the tables are as they
were.

The run ids are chosen by the ledger and stand in the study from a trial's start. So a trial's end waits for nobody,
and an MLflow that is rebuilt from the study has the same run ids. A run that MLflow has already under another id,
found by its tags, keeps that.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import mlflow
from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.tracking.dbmodels.models import (
    SqlDataset,
    SqlInput,
    SqlInputTag,
    SqlLatestMetric,
    SqlMetric,
    SqlParam,
    SqlRun,
    SqlTag,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.uri import append_to_uri_path
from sqlalchemy import Connection, Table, bindparam, delete, insert, select, update

from hpo.ledger.mirror.client import Child
from hpo.ledger.mirror.compat import store_of
from hpo.ledger.mirror.database import spare_fsyncs, tell_sizes
from hpo.ledger.mirror.notes import NOTE
from hpo.ledger.mirror.rows import DATA_CONTEXT, DatasetRows, Point, RunOrder, RunRows, latest_points

TESTED = ((3, 17),)  # releases of MLflow

_SIZES_TOLD = 32  # new runs after which the database is told its sizes; then again whenever they have doubled
_KEYS_AT_ONCE = 500  # names in one condition; databases limit them
_RUNS, _TAGS, _PARAMS, _METRICS, _LATEST = (
    cast(Table, model.__table__) for model in (SqlRun, SqlTag, SqlParam, SqlMetric, SqlLatestMetric)
)
_DATASETS, _INPUTS, _INPUT_TAGS = (cast(Table, model.__table__) for model in (SqlDataset, SqlInput, SqlInputTag))
_METRIC_COLUMNS = {"key", "value", "timestamp", "step", "is_nan", "run_uuid"}
_COLUMNS = {
    "runs": {
        *("run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id", "status", "start_time"),
        *("end_time", "deleted_time", "source_version", "lifecycle_stage", "artifact_uri", "experiment_id"),
    },
    "tags": {"key", "value", "run_uuid"},
    "params": {"key", "value", "run_uuid"},
    "metrics": _METRIC_COLUMNS,
    "latest_metrics": _METRIC_COLUMNS,
    "datasets": {
        *("dataset_uuid", "experiment_id", "name", "digest", "dataset_source_type", "dataset_source"),
        *("dataset_schema", "dataset_profile"),
    },
    "inputs": {"input_uuid", "source_type", "source_id", "destination_type", "destination_id", "step"},
    "input_tags": {"input_uuid", "name", "value"},
}


def why_not(client: MlflowClient) -> str:
    """Return why a client's store can't be written in bulk; "" if it can."""
    if type(store_of(client)) is not SqlAlchemyStore:
        return "MLflow is not a database here"
    return untested()


def untested() -> str:
    """Return why no database is written in bulk with this release of MLflow; "" if they are."""
    if tuple(int(part) for part in mlflow.__version__.split(".")[:2]) not in TESTED:
        return f"MLflow {mlflow.__version__} was not tested for it"
    for table in (_RUNS, _TAGS, _PARAMS, _METRICS, _LATEST, _DATASETS, _INPUTS, _INPUT_TAGS):
        if {column.name for column in table.columns} != _COLUMNS[table.name]:
            return f"MLflow's table {table.name} has other columns"
    return ""


class BulkWriter:
    """Writes batches of runs, each in one transaction: a process that is killed leaves no half a run."""

    takes_ids = True
    batch = 64  # orders at a time

    def __init__(self, client: MlflowClient, experiment: str) -> None:
        self._store = store_of(client)
        self._experiment = int(experiment)
        self._artifacts = client.get_experiment(experiment).artifact_location
        self._new = 0  # runs made
        self._told_next = _SIZES_TOLD
        if self._store.engine.dialect.name == "sqlite":
            spare_fsyncs(self._store.engine)

    def children(self, parent_id: str) -> list[Child]:
        """Return the runs of a sweep's trials."""
        parent = _TAGS.alias()
        query = (
            select(_TAGS.c.value, _RUNS.c.run_uuid, _RUNS.c.status)
            .join(_RUNS, _RUNS.c.run_uuid == _TAGS.c.run_uuid)
            .join(parent, parent.c.run_uuid == _TAGS.c.run_uuid)
            .where(parent.c.key == "mlflow.parentRunId", parent.c.value == parent_id)
            .where(_TAGS.c.key == "hpo.trial", _RUNS.c.lifecycle_stage == "active")
        )
        with self._store.ManagedSessionMaker() as session:
            return [Child(int(number), run_id, status) for number, run_id, status in session.execute(query)]

    def write(self, orders: Sequence[RunOrder]) -> None:
        """Make runs, or bring them to their states; note in each order what came of it. Can be called again."""
        for order in orders:
            order.run_id = order.run_id or uuid.uuid4().hex
            if order.rows.traceback:  # before the transaction: a run that has ended has all that belongs to it
                self._keep(order.run_id, order.rows.traceback, "traceback.txt")
        new = [order for order in orders if not order.exists]
        old = [order for order in orders if order.exists]
        points = {order.run_id: list(dict.fromkeys(order.rows.points)) for order in orders}
        told = self._descriptions(orders, old)
        tags = [
            _keyed(order, {**order.rows.tags, "mlflow.runName": order.rows.name} | told.get(order.run_id, {}))
            for order in orders
        ]
        rows = {
            _RUNS: [self._run(order) for order in new],
            _TAGS: [row for rows in tags for row in rows],
            _PARAMS: [row for order in orders for row in _keyed(order, order.rows.params)],
            _METRICS: [_metric(run_id, point) for run_id, own in points.items() for point in own],
            _LATEST: [_metric(run_id, point) for run_id, own in points.items() for point in latest_points(own)],
        }
        with self._store.ManagedSessionMaker(read_only=False) as session:
            connection = session.connection()
            self._clear(connection, [order.run_id for order in old], rows)
            ended = [
                {"id": order.run_id, "new_status": order.rows.status, "end": order.rows.end or _now()}
                for order in old
                if order.rows.end is not None
            ]
            if ended:
                to_end = update(_RUNS).where(_RUNS.c.run_uuid == bindparam("id"))
                connection.execute(to_end.values(status=bindparam("new_status"), end_time=bindparam("end")), ended)
            for table, its_rows in rows.items():
                if its_rows:
                    connection.execute(insert(table), its_rows)
            self._add_inputs(connection, orders)
        for order in orders:
            order.exists = True
        self._new += len(new)
        if self._new >= self._told_next:
            tell_sizes(self._store.engine)
            self._told_next = 2 * self._new

    def _add_inputs(self, connection: Connection, orders: Sequence[RunOrder]) -> None:
        """Write which data runs had, as MLflow's store does; what they have of it is not doubled."""
        sets = dict.fromkeys(order.rows.data for order in orders if order.rows.data is not None)
        if not sets:
            return
        ids = {data: self._dataset(connection, data) for data in sets}
        run_ids = [order.run_id for order in orders]
        query = select(_INPUTS.c.destination_id, _INPUTS.c.source_id).where(
            _INPUTS.c.destination_type == "RUN",
            _INPUTS.c.source_type == "DATASET",
            _INPUTS.c.destination_id.in_(run_ids),
        )
        there = {(run_id, source) for run_id, source in connection.execute(query)}
        wanted = [(order.run_id, ids[order.rows.data]) for order in orders if order.rows.data is not None]
        new = [(run_id, source, uuid.uuid4().hex) for run_id, source in wanted if (run_id, source) not in there]
        if not new:
            return
        rows = [
            {"input_uuid": own, "source_type": "DATASET", "source_id": source, "destination_type": "RUN"}
            | {"destination_id": run_id}
            for run_id, source, own in new
        ]
        connection.execute(insert(_INPUTS), rows)
        name, value = DATA_CONTEXT
        connection.execute(insert(_INPUT_TAGS), [{"input_uuid": own, "name": name, "value": value} for *_, own in new])

    def _dataset(self, connection: Connection, data: DatasetRows) -> str:
        """Return the id of a data set of this experiment, which is made if there is none."""
        here = (_DATASETS.c.experiment_id == self._experiment, _DATASETS.c.name == data.name)
        query = select(_DATASETS.c.dataset_uuid).where(*here, _DATASETS.c.digest == data.digest)
        if (found := connection.execute(query).scalar()) is not None:
            return str(found)
        row = {"dataset_uuid": uuid.uuid4().hex, "experiment_id": self._experiment, "name": data.name}
        row |= {"digest": data.digest, "dataset_source_type": data.source_type, "dataset_source": data.source}
        connection.execute(insert(_DATASETS), [row | {"dataset_schema": None, "dataset_profile": data.profile or None}])
        return str(row["dataset_uuid"])

    def _descriptions(self, orders: Sequence[RunOrder], old: Sequence[RunOrder]) -> dict[str, dict[str, str]]:
        """Return the tag with each run's description: somebody's own, where there is one, as it is."""
        found: dict[str, str] = {}
        if old:
            query = select(_TAGS.c.run_uuid, _TAGS.c.value).where(
                _TAGS.c.key == NOTE, _TAGS.c.run_uuid.in_([order.run_id for order in old])
            )
            with self._store.ManagedSessionMaker() as session:
                found = {str(run_id): str(text) for run_id, text in session.execute(query)}
        told = {}
        for order in orders:
            known = found.get(order.run_id)
            if order.rows.notes:
                ours = known is None or known in order.rows.notes
                told[order.run_id] = {NOTE: order.rows.notes[-1] if ours else str(known)}
        return told

    def _run(self, order: RunOrder) -> dict[str, Any]:
        """Return a run's row, as MLflow's store makes it."""
        rows = order.rows
        return {
            "run_uuid": order.run_id,
            "name": rows.name,
            "source_type": "UNKNOWN",
            "source_name": "",
            "entry_point_name": "",
            "user_id": "unknown",
            "status": rows.status,
            "start_time": rows.start or _now(),
            "end_time": None if rows.end is None else rows.end or _now(),
            "deleted_time": None,
            "source_version": "",
            "lifecycle_stage": "active",
            "artifact_uri": self._artifacts_of(order.run_id),
            "experiment_id": self._experiment,
        }

    def _clear(
        self, connection: Connection, run_ids: Sequence[str], rows: Mapping[Table, list[dict[str, Any]]]
    ) -> None:
        """Remove from runs that are there what is about to be written; what others wrote to them stays."""
        if not run_ids:
            return
        for table in (_TAGS, _PARAMS, _METRICS, _LATEST):
            for keys in _chunks(dict.fromkeys(row["key"] for row in rows[table])):
                connection.execute(delete(table).where(table.c.run_uuid.in_(run_ids), table.c.key.in_(keys)))

    def make(self, rows: RunRows, run_id: str) -> str:
        """Make a run; return its id: this one, unless it is none or another run's, a deleted one's too."""
        with self._store.ManagedSessionMaker() as session:
            taken = session.execute(select(_RUNS.c.run_uuid).where(_RUNS.c.run_uuid == run_id)).first() is not None
        order = RunOrder(0, rows, "" if taken else run_id)
        self.write([order])
        return order.run_id

    def revive(self, run_ids: Sequence[str]) -> list[str]:
        """Return which of these runs are there although no child has their id; deleted ones are no more so."""
        with self._store.ManagedSessionMaker(read_only=False) as session:
            connection = session.connection()
            query = select(_RUNS.c.run_uuid).where(_RUNS.c.run_uuid.in_(run_ids))
            found = [run_id for (run_id,) in connection.execute(query)]
            alive = {"lifecycle_stage": "active", "deleted_time": None}
            connection.execute(update(_RUNS).where(_RUNS.c.run_uuid.in_(found)).values(alive))
        return found

    def rename(self, names: Mapping[str, tuple[str, str]]) -> None:
        """Give runs other names: those that have the first one get the second. names: by run id."""
        own = (_RUNS.c.run_uuid == bindparam("id"), _RUNS.c.name == bindparam("old"))
        with self._store.ManagedSessionMaker(read_only=False) as session:
            session.connection().execute(
                update(_RUNS).where(*own).values(name=bindparam("new")),
                [{"id": run_id, "old": old, "new": new} for run_id, (old, new) in names.items()],
            )

    def replace_points(self, run_id: str, key: str, points: Sequence[Point]) -> None:
        """Let a metric of a run have these values and no others."""
        with self._store.ManagedSessionMaker(read_only=False) as session:
            connection = session.connection()
            for table in (_METRICS, _LATEST):
                connection.execute(delete(table).where(table.c.run_uuid == run_id, table.c.key == key))
        self.add_points(run_id, points)

    def add_points(self, run_id: str, points: Sequence[Point]) -> None:
        """Add values of metrics to a run; those that it has are not doubled."""
        if not points:
            return
        keys = list({point.key for point in points})
        with self._store.ManagedSessionMaker(read_only=False) as session:
            connection = session.connection()
            found = {
                table: {
                    Point(*row)
                    for row in connection.execute(
                        select(table.c.key, table.c.value, table.c.timestamp, table.c.step).where(
                            table.c.run_uuid == run_id, table.c.key.in_(keys)
                        )
                    )
                }
                for table in (_METRICS, _LATEST)
            }
            new = [point for point in dict.fromkeys(points) if point not in found[_METRICS]]
            if new:
                connection.execute(insert(_METRICS), [_metric(run_id, point) for point in new])
                connection.execute(delete(_LATEST).where(_LATEST.c.run_uuid == run_id, _LATEST.c.key.in_(keys)))
                latest = latest_points([*found[_LATEST], *new])
                connection.execute(insert(_LATEST), [_metric(run_id, point) for point in latest])

    def _artifacts_of(self, run_id: str) -> str:
        folder = SqlAlchemyStore.ARTIFACTS_FOLDER_NAME
        return str(append_to_uri_path(self._artifacts, run_id, folder))  # type: ignore[no-untyped-call]

    def _keep(self, run_id: str, text: str, name: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            path.write_text(text, encoding="utf-8")
            repository = get_artifact_repository(self._artifacts_of(run_id))
            repository.log_artifact(str(path))  # type: ignore[no-untyped-call]


def _keyed(order: RunOrder, values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"run_uuid": order.run_id, "key": key, "value": value} for key, value in values.items()]


def _metric(run_id: str, point: Point) -> dict[str, Any]:
    key, value, timestamp, step = point
    return {"run_uuid": run_id, "key": key, "value": value, "timestamp": timestamp, "step": step, "is_nan": False}


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    listed = list(keys)
    for start in range(0, len(listed), _KEYS_AT_ONCE):
        yield listed[start : start + _KEYS_AT_ONCE]


def _now() -> int:
    return int(time.time() * 1000)
