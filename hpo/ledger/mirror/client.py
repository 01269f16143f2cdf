"""MLflow through its public client: finding runs; writing them to servers, and to databases of an untested release."""

from __future__ import annotations

import contextlib
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Experiment, InputTag, Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException

from hpo.files import extract_plain
from hpo.ledger.mirror.notes import NOTE, same_note
from hpo.ledger.mirror.rows import DATA_CONTEXT, DatasetRows, Point, RunOrder, RunRows, parent_files, parent_points
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import SweepRecord


class Child(NamedTuple):
    """A run of a trial that is there."""

    number: int  # of the trial
    run_id: str
    status: str


def write_parent_files(client: MlflowClient, parent_id: str, sweep: SweepRecord) -> None:
    """Write the files of a sweep's parent run, and its metrics that tell of references and confirmations; those
    that it has are not doubled."""
    for name, text in parent_files(sweep).items():
        client.log_text(parent_id, text, name)
    if points := parent_points(sweep):
        client.log_batch(parent_id, metrics=_metrics(points))


def write_files(client: MlflowClient, run_id: str, files: Mapping[str, bytes]) -> None:
    """Write files, by their paths, among a run's artefacts, in place of those that are there."""
    if not files:
        return
    with tempfile.TemporaryDirectory(prefix="hpo-files-") as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        client.log_artifacts(run_id, folder)


def log_archive(client: MlflowClient, run_id: str, number: int, archive: Path) -> list[str]:
    """Write what is in an archive among a run's artefacts, below `files`, and remove it. Returns notes for the user."""
    if not archive.exists():  # it was written, and its writer died before it said so
        return []
    if not run_id:
        return [f"the files of trial {number} could not be kept: MLflow has no run of it ({archive} has them)"]
    with tempfile.TemporaryDirectory(prefix="hpo-files-") as folder:
        with tarfile.open(archive) as tar:
            extract_plain(tar, Path(folder))
        client.log_artifacts(run_id, folder, "files")
    archive.unlink()
    with contextlib.suppress(OSError):  # there are others
        archive.parent.rmdir()
        archive.parent.parent.rmdir()
    return []


def log_dataset(client: MlflowClient, run_id: str, data: DatasetRows | None) -> None:
    """Write on what data a run trains; one that it has is not doubled."""
    if data is not None:
        found = Dataset(data.name, data.digest, data.source_type, data.source, profile=data.profile or None)
        client.log_inputs(run_id, [DatasetInput(found, [InputTag(*DATA_CONTEXT)])])


def search_runs(client: MlflowClient, experiment: str, condition: str, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    """Return all runs of an experiment that meet a condition."""
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment], condition, view, 1000, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def experiment_of(client: MlflowClient, parent: str, study_id: str) -> Experiment | None:
    """Return the experiment with a sweep's parent run; None if that run is not there, or another sweep's."""
    if not parent:
        return None
    try:
        run = client.get_run(parent)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # or no id of this server's
            return None
        raise
    own = run.data.tags.get("hpo.study_id") == study_id
    return client.get_experiment(run.info.experiment_id) if own else None


def find_experiment(client: MlflowClient, home: Home, sweep: SweepRecord) -> str:
    """Return the id of the experiment with the sweep's parent run, whatever it is called by now; else of the one with
    the study's name, which is made if there is none."""
    found = experiment_of(client, sweep.parent, sweep.study_id) or client.get_experiment_by_name(sweep.study)
    if found is None:
        return str(client.create_experiment(sweep.study, artifact_location=home.artifacts))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def parent_of(client: MlflowClient, sweep: SweepRecord, experiment: str) -> str:
    """Return the id of a sweep's parent run; "" if there is none."""
    condition = f"tags.`hpo.study_id` = '{sweep.study_id}' AND tags.`hpo.kind` = 'sweep'"
    parents = search_runs(client, experiment, condition)
    return str(parents[0].info.run_id) if parents else ""


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
            self._client.log_batch(run_id, metrics=_metrics(points))


def _metrics(points: Sequence[Point]) -> list[Metric]:
    return [Metric(point.key, point.value, point.timestamp, point.step) for point in points]
