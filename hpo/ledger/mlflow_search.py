"""Finding runs in MLflow."""

from __future__ import annotations

from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run, ViewType
from mlflow.exceptions import MlflowException


class Child(NamedTuple):
    """A run of a trial that is there."""

    number: int  # of the trial
    run_id: str
    status: str


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
