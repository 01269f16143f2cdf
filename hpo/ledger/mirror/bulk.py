"""Writing many runs in one transaction, into a database that this process opens: MLflow's store does, or LocalClient.

MLflow's public client takes 25 ms and more of Python a run. Here the rows go into MLflow's own tables (tables.py), a
few statements for a batch of trials: under 5 ms a trial of 20 epochs. This rests on what MLflow does inside, so it is
done only with releases that it was tested with (tests/ledger/mirror/test_mlflow_ways.py compares every row with what
the client writes) and if the tables are as they were.

The run ids are chosen by the ledger and stand in the study from a trial's start. So a trial's end waits for nobody,
and an MLflow that is rebuilt from the study has the same run ids. A run that MLflow has already under another id,
found by its tags, keeps that.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, bindparam, delete, insert, select, update

from hpo.ledger.mirror.artifacts import artifacts_of, put_text
from hpo.ledger.mirror.compat import StoreDatabase, is_database_store, own_columns, release, store_of
from hpo.ledger.mirror.database import spare_fsyncs, tell_sizes
from hpo.ledger.mirror.local import LocalClient
from hpo.ledger.mirror.notes import NOTE
from hpo.ledger.mirror.rows import Point, RunOrder, RunRows, latest_points
from hpo.ledger.mirror.statements import (
    Child,
    Database,
    add_inputs,
    add_points,
    children_of,
    now,
    point_row,
    run_row,
)
from hpo.ledger.mirror.tables import COLUMNS, LATEST, METRICS, PARAMS, RUNS, TAGS
from hpo.ledger.mirror.tracking import Client

if TYPE_CHECKING:
    from mlflow import MlflowClient

TESTED = ((3, 17),)  # releases of MLflow

_SIZES_TOLD = 32  # new runs after which the database is told its sizes; then again whenever they have doubled
_KEYS_AT_ONCE = 500  # names in one condition; databases limit them


def why_not(client: MlflowClient) -> str:
    """Return why a client's store can't be written in bulk; "" if it can."""
    if not is_database_store(store_of(client)):
        return "MLflow is not a database here"
    return untested()


def untested() -> str:
    """Return why no database is written in bulk with this release of MLflow; "" if they are."""
    if reason := untested_release():
        return reason
    theirs = own_columns()
    for name, columns in COLUMNS.items():
        if theirs.get(name) != columns:
            return f"MLflow's table {name} has other columns"
    return ""


def untested_release() -> str:
    """Return why nothing is known of the installed release of MLflow, which is not imported for that; "" if it is."""
    installed = release()
    if tuple(int(part) for part in installed.split(".")[:2]) not in TESTED:
        return f"MLflow {installed} was not tested for it"
    return ""


class BulkWriter:
    """Writes batches of runs, each in one transaction: a process that is killed leaves no half a run."""

    takes_ids = True
    batch = 64  # orders at a time

    def __init__(self, client: Client, experiment: str) -> None:
        self._database: Database = client if isinstance(client, LocalClient) else StoreDatabase(store_of(client))
        self._experiment = int(experiment)
        self._artifacts = str(client.get_experiment(experiment).artifact_location)
        self._new = 0  # runs made
        self._told_next = _SIZES_TOLD
        if self._database.engine.dialect.name == "sqlite":
            spare_fsyncs(self._database.engine)

    def children(self, parent_id: str) -> list[Child]:
        """Return the runs of a sweep's trials."""
        with self._database.transaction() as connection:
            return children_of(connection, parent_id)

    def write(self, orders: Sequence[RunOrder]) -> None:
        """Make runs, or bring them to their states; note in each order what came of it. Can be called again."""
        for order in orders:
            order.run_id = order.run_id or uuid.uuid4().hex
            if order.rows.traceback:  # before the transaction: a run that has ended has all that belongs to it
                put_text(self._artifacts_of(order.run_id), order.rows.traceback, "traceback.txt")
        new = [order for order in orders if not order.exists]
        old = [order for order in orders if order.exists]
        points = {order.run_id: list(dict.fromkeys(order.rows.points)) for order in orders}
        told = self._descriptions(orders, old)
        tags = [
            _keyed(order, {**order.rows.tags, "mlflow.runName": order.rows.name} | told.get(order.run_id, {}))
            for order in orders
        ]
        rows = {
            RUNS: [
                run_row(order.run_id, self._experiment, self._artifacts_of(order.run_id), order.rows) for order in new
            ],
            TAGS: [row for rows in tags for row in rows],
            PARAMS: [row for order in orders for row in _keyed(order, order.rows.params)],
            METRICS: [point_row(run_id, point) for run_id, own in points.items() for point in own],
            LATEST: [point_row(run_id, point) for run_id, own in points.items() for point in latest_points(own)],
        }
        with self._database.transaction(read_only=False) as connection:
            self._clear(connection, [order.run_id for order in old], rows)
            ended = [
                {"id": order.run_id, "new_status": order.rows.status, "end": order.rows.end or now()}
                for order in old
                if order.rows.end is not None
            ]
            if ended:
                to_end = update(RUNS).where(RUNS.c.run_uuid == bindparam("id"))
                connection.execute(to_end.values(status=bindparam("new_status"), end_time=bindparam("end")), ended)
            for table, its_rows in rows.items():
                if its_rows:
                    connection.execute(insert(table), its_rows)
            wanted = {order.run_id: order.rows.data for order in orders if order.rows.data is not None}
            add_inputs(connection, self._experiment, wanted)
        for order in orders:
            order.exists = True
        self._new += len(new)
        if self._new >= self._told_next:
            tell_sizes(self._database.engine)
            self._told_next = 2 * self._new

    def _descriptions(self, orders: Sequence[RunOrder], old: Sequence[RunOrder]) -> dict[str, dict[str, str]]:
        """Return the tag with each run's description: somebody's own, where there is one, as it is."""
        found: dict[str, str] = {}
        if old:
            query = select(TAGS.c.run_uuid, TAGS.c.value).where(
                TAGS.c.key == NOTE, TAGS.c.run_uuid.in_([order.run_id for order in old])
            )
            with self._database.transaction() as connection:
                found = {str(run_id): str(text) for run_id, text in connection.execute(query)}
        told = {}
        for order in orders:
            known = found.get(order.run_id)
            if order.rows.notes:
                ours = known is None or known in order.rows.notes
                told[order.run_id] = {NOTE: order.rows.notes[-1] if ours else str(known)}
        return told

    def _clear(
        self, connection: Connection, run_ids: Sequence[str], rows: Mapping[Table, list[dict[str, Any]]]
    ) -> None:
        """Remove from runs that are there what is about to be written; what others wrote to them stays."""
        if not run_ids:
            return
        for table in (TAGS, PARAMS, METRICS, LATEST):
            for keys in _chunks(dict.fromkeys(row["key"] for row in rows[table])):
                connection.execute(delete(table).where(table.c.run_uuid.in_(run_ids), table.c.key.in_(keys)))

    def make(self, rows: RunRows, run_id: str) -> str:
        """Make a run; return its id: this one, unless it is none or another run's, a deleted one's too."""
        with self._database.transaction() as connection:
            taken = connection.execute(select(RUNS.c.run_uuid).where(RUNS.c.run_uuid == run_id)).first() is not None
        order = RunOrder(0, rows, "" if taken else run_id)
        self.write([order])
        return order.run_id

    def revive(self, run_ids: Sequence[str]) -> list[str]:
        """Return which of these runs are there although no child has their id; deleted ones are no more so."""
        with self._database.transaction(read_only=False) as connection:
            query = select(RUNS.c.run_uuid).where(RUNS.c.run_uuid.in_(run_ids))
            found = [run_id for (run_id,) in connection.execute(query)]
            alive = {"lifecycle_stage": "active", "deleted_time": None}
            connection.execute(update(RUNS).where(RUNS.c.run_uuid.in_(found)).values(alive))
        return found

    def rename(self, names: Mapping[str, tuple[str, str]]) -> None:
        """Give runs other names: those that have the first one get the second. names: by run id."""
        own = (RUNS.c.run_uuid == bindparam("id"), RUNS.c.name == bindparam("old"))
        with self._database.transaction(read_only=False) as connection:
            connection.execute(
                update(RUNS).where(*own).values(name=bindparam("new")),
                [{"id": run_id, "old": old, "new": new} for run_id, (old, new) in names.items()],
            )

    def replace_points(self, run_id: str, key: str, points: Sequence[Point]) -> None:
        """Let a metric of a run have these values and no others."""
        with self._database.transaction(read_only=False) as connection:
            for table in (METRICS, LATEST):
                connection.execute(delete(table).where(table.c.run_uuid == run_id, table.c.key == key))
        self.add_points(run_id, points)

    def add_points(self, run_id: str, points: Sequence[Point]) -> None:
        """Add values of metrics to a run; those that it has are not doubled."""
        if not points:
            return
        with self._database.transaction(read_only=False) as connection:
            add_points(connection, run_id, points)

    def _artifacts_of(self, run_id: str) -> str:
        return artifacts_of(self._artifacts, run_id)


def _keyed(order: RunOrder, values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"run_uuid": order.run_id, "key": key, "value": value} for key, value in values.items()]


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    listed = list(keys)
    for start in range(0, len(listed), _KEYS_AT_ONCE):
        yield listed[start : start + _KEYS_AT_ONCE]
