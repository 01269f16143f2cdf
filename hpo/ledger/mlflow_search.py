"""Finding runs in MLflow."""

from __future__ import annotations

from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType


class Child(NamedTuple):
    """A trial's run that is there."""

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
