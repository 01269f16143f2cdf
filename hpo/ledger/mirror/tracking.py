"""What is done alike by MlflowClient and, in the home's own database, by LocalClient: finding runs, files, data sets.

What only MLflow itself has is imported where a client of its own is given.
"""

from __future__ import annotations

import contextlib
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from hpo.files import extract_plain
from hpo.ledger.mirror.local import LocalClient, LocalExperiment
from hpo.ledger.mirror.rows import DATA_CONTEXT, DatasetRows, Point, parent_files, parent_points
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import SweepRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

Client: TypeAlias = "MlflowClient | LocalClient"


def log_batch(client: Client, run_id: str, points: Sequence[Point] = (), tags: Mapping[str, str] | None = None) -> None:
    """Add values of metrics to a run, those that it has are not doubled; set tags."""
    if isinstance(client, LocalClient):
        client.log_batch(run_id, points, tags or {})
        return
    from mlflow.entities import Metric, RunTag

    metrics = [Metric(point.key, point.value, point.timestamp, point.step) for point in points]
    client.log_batch(run_id, metrics=metrics, tags=[RunTag(key, value) for key, value in (tags or {}).items()])


def write_parent_files(client: Client, parent_id: str, sweep: SweepRecord) -> None:
    """Write the files of a sweep's parent run, and its metrics that tell of references and confirmations; those
    that it has are not doubled."""
    for name, text in parent_files(sweep).items():
        client.log_text(parent_id, text, name)
    if points := parent_points(sweep):
        log_batch(client, parent_id, points)


def write_files(client: Client, run_id: str, files: Mapping[str, bytes]) -> None:
    """Write files, by their paths, among a run's artefacts, in place of those that are there."""
    if not files:
        return
    with tempfile.TemporaryDirectory(prefix="hpo-files-") as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        client.log_artifacts(run_id, folder)


def log_archive(client: Client, run_id: str, number: int, archive: Path) -> list[str]:
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


def log_dataset(client: Client, run_id: str, data: DatasetRows | None) -> None:
    """Write on what data a run trains; one that it has is not doubled."""
    if data is None:
        return
    if isinstance(client, LocalClient):
        client.log_dataset(run_id, data)
        return
    from mlflow.entities import Dataset, DatasetInput, InputTag

    found = Dataset(data.name, data.digest, data.source_type, data.source, profile=data.profile or None)
    client.log_inputs(run_id, [DatasetInput(found, [InputTag(*DATA_CONTEXT)])])


def search_runs(client: MlflowClient, experiment: str, condition: str, view: int | None = None) -> list[Run]:
    """Return all runs of an experiment that meet a condition. view: MLflow's ViewType; None: those not deleted."""
    from mlflow.entities import ViewType

    view = ViewType.ACTIVE_ONLY if view is None else view
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment], condition, view, 1000, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def experiment_of(client: Client, parent: str, study_id: str) -> Experiment | LocalExperiment | None:
    """Return the experiment with a sweep's parent run; None if that run is not there, or another sweep's."""
    if not parent:
        return None
    run = client.find_run(parent) if isinstance(client, LocalClient) else _find_run(client, parent)
    if run is None:
        return None
    own = run.data.tags.get("hpo.study_id") == study_id
    return client.get_experiment(run.info.experiment_id) if own else None


def _find_run(client: MlflowClient, run_id: str) -> Run | None:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # or no id of this server's
            return None
        raise


def find_experiment(client: Client, home: Home, sweep: SweepRecord) -> str:
    """Return the id of the experiment with the sweep's parent run, whatever it is called by now; else of the one with
    the study's name, which is made if there is none."""
    found = experiment_of(client, sweep.parent, sweep.study_id) or client.get_experiment_by_name(sweep.study)
    if found is None:
        if isinstance(client, LocalClient):
            return client.create_experiment(sweep.study, str(home.artifacts))
        return str(client.create_experiment(sweep.study, artifact_location=home.artifacts))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def parent_of(client: Client, sweep: SweepRecord, experiment: str) -> str:
    """Return the id of a sweep's parent run; "" if there is none."""
    if isinstance(client, LocalClient):
        return next(iter(client.runs_with(experiment, {"hpo.study_id": sweep.study_id, "hpo.kind": "sweep"})), "")
    condition = f"tags.`hpo.study_id` = '{sweep.study_id}' AND tags.`hpo.kind` = 'sweep'"
    parents = search_runs(client, experiment, condition)
    return str(parents[0].info.run_id) if parents else ""
