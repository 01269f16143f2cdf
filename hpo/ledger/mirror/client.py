"""Trials' runs through MLflow's public client: to servers, and to databases of an untested release."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from hpo.ledger.mirror.notes import NOTE, same_note
from hpo.ledger.mirror.rows import Point, RunOrder, RunRows
from hpo.ledger.mirror.statements import Child
from hpo.ledger.mirror.tracking import log_batch, log_dataset, search_runs


class ClientWriter:
    """Writes run after run, in as few calls as MLflow's limits allow. MLflow gives the run ids."""

    takes_ids = False
    batch = 8  # orders at a time: a slow server must show that it makes progress

    def __init__(self, client: MlflowClient, experiment: str) -> None:
        self._client = client
        self._experiment = experiment

    def children(self, parent_id: str) -> list[Child]:
        """Return the runs of a sweep's trials."""
        runs = search_runs(self._client, self._experiment, f"tags.`mlflow.parentRunId` = '{parent_id}'")
        return [
            Child(int(run.data.tags["hpo.trial"]), run.info.run_id, run.info.status)
            for run in runs
            if "hpo.trial" in run.data.tags
        ]

    def write(self, orders: Sequence[RunOrder]) -> None:
        """Make runs, or bring them to their states; note in each order what came of it. Can be called again."""
        for order in orders:
            made = not order.exists
            if made:
                rows = order.rows
                tags = {**rows.tags, **({NOTE: rows.notes[-1]} if rows.notes else {})}
                run = self._client.create_run(self._experiment, rows.start, tags, rows.name)
                order.run_id, order.exists = run.info.run_id, True
                log_dataset(self._client, order.run_id, rows.data)
            self._fill(order, with_tags=not made)

    def _fill(self, order: RunOrder, with_tags: bool) -> None:
        rows = order.rows
        params = [Param(key, value) for key, value in rows.params.items()]
        tags = [RunTag(key, value) for key, value in rows.tags.items()] if with_tags else []
        if with_tags and (rows.notes or rows.data is not None):
            run = self._client.get_run(order.run_id)
            known = run.data.tags.get(NOTE)
            if rows.notes and (known is None or any(same_note(known, note) for note in rows.notes)):  # else a person's
                tags.append(RunTag(NOTE, rows.notes[-1]))
            if not (run.inputs and run.inputs.dataset_inputs):  # an earlier try may have been cut off
                log_dataset(self._client, order.run_id, rows.data)
        try:
            try:
                self._client.log_batch(order.run_id, metrics=_metrics(rows.points), params=params, tags=tags)
            except MlflowException as error:
                if error.error_code != "INVALID_PARAMETER_VALUE":
                    raise
                self._client.log_batch(order.run_id, params=params)  # what it doesn't like may be a metric
                self._client.log_batch(order.run_id, tags=tags)
                raise
            finally:
                if rows.traceback:
                    self._client.log_text(order.run_id, rows.traceback, "traceback.txt")
        finally:  # even if MLflow refuses something of it, the run is not left running
            if rows.end is not None:
                self._client.set_terminated(order.run_id, rows.status, rows.end or int(time.time() * 1000))

    def make(self, rows: RunRows, run_id: str) -> str:
        """Make a run; return its id, which MLflow gives."""
        return str(self._client.create_run(self._experiment, rows.start, dict(rows.tags), rows.name).info.run_id)

    def revive(self, run_ids: Sequence[str]) -> list[str]:
        """Return which of these runs are there after all: none, since MLflow gives the ids."""
        return []

    def rename(self, names: Mapping[str, tuple[str, str]]) -> None:
        """Give runs other names: those that have the first one get the second. names: by run id."""
        for run_id, (old, new) in names.items():
            if self._client.get_run(run_id).info.run_name == old:
                self._client.update_run(run_id, name=new)

    def replace_points(self, run_id: str, key: str, points: Sequence[Point]) -> None:
        """Let a metric of a run have these values; a client can't take others back."""
        self.add_points(run_id, points)

    def add_points(self, run_id: str, points: Sequence[Point]) -> None:
        """Add values of metrics to a run; those that it has are not doubled."""
        if points:
            log_batch(self._client, run_id, points)


def _metrics(points: Sequence[Point]) -> list[Metric]:
    return [Metric(point.key, point.value, point.timestamp, point.step) for point in points]
