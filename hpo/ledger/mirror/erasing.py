"""Runs of a study that is removed go from MLflow, too: for good from a database, as `mlflow gc` does it; a server's
client can only mark them as deleted. All can be called again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from hpo.ledger.mirror.bulk import why_not
from hpo.ledger.mirror.compat import erase_experiment, erase_logged_model, erase_run, store_of
from hpo.ledger.mirror.view import VIEW_TAG
from hpo.ledger.study.home import Home
from hpo.ledger.study.models import ModelRecord

_GONE = "RESOURCE_DOES_NOT_EXIST"
_LONGEST = 400  # characters of an experiment's name here; MLflow takes 500


class Eraser:
    """Takes runs, logged models and experiments away. Its methods raise what MLflow's client raises."""

    def __init__(self, home: Home, alive: Callable[[], object] = lambda: None) -> None:
        """alive: called now and then while a lot is done."""
        uri = home.tracking_uri
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._files_elsewhere = home.artifacts is None  # the home's own are the caller's
        self._alive = alive
        self.for_good = not why_not(self._client)

    def registered(self, models: Sequence[ModelRecord]) -> list[ModelRecord]:
        """Return those of these models that MLflow has registered."""
        return [model for model in models if model.version and self._is_registered(model)]

    def _is_registered(self, model: ModelRecord) -> bool:
        return _if_there(lambda: self._client.get_model_version(model.name, model.version))

    def erase_runs(self, run_ids: Sequence[str]) -> None:
        """Take runs away, in this order."""
        for run_id in run_ids:
            _if_there(partial(self._erase_run, run_id))
            self._alive()

    def _erase_run(self, run_id: str) -> None:
        run = self._client.get_run(run_id)
        if not self.for_good:
            if run.info.lifecycle_stage == "active":
                self._client.delete_run(run_id)
            return
        if self._files_elsewhere:
            self._remove_files(str(run.info.artifact_uri))
        erase_run(store_of(self._client), run_id)

    def _remove_files(self, uri: str) -> None:
        repository = get_artifact_repository(uri)
        if repository.list_artifacts():
            repository.delete_artifacts()  # type: ignore[no-untyped-call]

    def erase_models(self, models: Sequence[ModelRecord]) -> None:
        """Take logged models away that are registered no more."""
        for model in models:
            if model.model_id:
                _if_there(partial(self._client.delete_logged_model, model.model_id))
                if self.for_good:
                    _if_there(partial(erase_logged_model, store_of(self._client), model.model_id))

    def erase_experiment(self, experiment: str, study_id: str) -> bool:
        """Take an experiment away that a sweep has made and in which nothing is left; return whether it was.

        On a server, which keeps it, it gets another name first: a study that is called so later begins with one of its
        own.
        """
        found = self._client.get_experiment(experiment)
        view = ViewType.ALL if self.for_good else ViewType.ACTIVE_ONLY
        if VIEW_TAG not in found.tags or self._client.search_runs([experiment], "", view, 1):
            return False
        if self._client.search_logged_models([experiment], max_results=1):
            return False
        if not self.for_good and found.lifecycle_stage == "active":
            name = f"{found.name[:_LONGEST]} (removed {study_id[:8]})"
            if self._client.get_experiment_by_name(name) is None:
                self._client.rename_experiment(experiment, name)
        if found.lifecycle_stage == "active":
            self._client.delete_experiment(experiment)
        if self.for_good:
            erase_experiment(store_of(self._client), experiment)
        return True


def _if_there(call: Callable[[], object]) -> bool:
    """Do something to what is in MLflow; return False if it is not there."""
    try:
        call()
    except MlflowException as error:
        if error.error_code != _GONE:
            raise
        return False
    return True
