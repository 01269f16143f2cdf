"""Models in MLflow: logged with the trial's run, registered under the study's name. Every call can be made again.

A model is found by its tags, which it has from its first moment on: what a killed process began, the next one finishes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from hpo.ledger.mirror.tracking import experiment_of, search_runs
from hpo.ledger.study.home import Home
from hpo.ledger.study.models import ModelRecord
from hpo.spec.faults import UserError

_VERSIONS = "mlflow.modelVersions"  # the tag by which MLflow's pages lead from a logged model to its versions
_FILE = "MLmodel"


@dataclass(frozen=True)
class RunOfTrial:
    """The MLflow run that a model belongs to."""

    study_id: str
    parent: str  # the id of the sweep's run
    run_id: str  # as the study has it; "": it has none
    number: int


class ModelRegistry:
    """Writes and looks for models. Its methods raise what MLflow's client raises."""

    def __init__(self, home: Home) -> None:
        uri = home.tracking_uri
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._served = uri.startswith("http")

    def write(
        self, model: ModelRecord, trial: RunOfTrial, params: Mapping[str, str], save: Callable[[Path, str, str], None]
    ) -> tuple[str, str]:
        """Log a model and register it, as far as that is not done; return the logged model's id and the version.

        save: writes MLflow's folder of the model, given the folder, the logged model's id and the run's.
        Raises UserError if MLflow has no run of the trial.
        """
        run = self._run(trial)
        logged = self._logged(run, trial, model) or self._client.create_logged_model(
            run.info.experiment_id,
            f"trial-{model.trial}",
            run.info.run_id,
            tags=_tags(trial, model),
            params=dict(params),
        )
        if logged.status != LoggedModelStatus.READY or not self._has_files(logged.model_id):
            with tempfile.TemporaryDirectory(prefix="hpo-model-") as folder:
                save(Path(folder, "model"), logged.model_id, run.info.run_id)
                self._client.log_model_artifacts(logged.model_id, str(Path(folder, "model")))
            self._client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        outputs = run.outputs.model_outputs if run.outputs is not None else []
        if logged.model_id not in {output.model_id for output in outputs}:
            self._client.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
        version = self._register(model, trial, logged, run)
        if model.alias:
            self._client.set_registered_model_alias(model.name, model.alias, version)
        return str(logged.model_id), version

    def faults(self, model: ModelRecord) -> Iterator[str]:
        """Yield what is wrong in MLflow with a model that the study names."""
        if not model.version:
            yield "its registration was begun, and not finished"
            return
        try:
            version = self._client.get_model_version(model.name, model.version)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            yield f"version {model.version} of {model.name!r} is gone"
            return
        if version.tags.get("hpo.digest") != model.digest:
            yield f"version {model.version} of {model.name!r} is another model"
            return
        if model.alias and model.alias not in version.aliases:
            yield f"version {model.version} of {model.name!r} is not the {model.alias}"
        if not self._has_files(model.model_id):
            yield f"the files of version {model.version} of {model.name!r} are gone"
        try:
            run = self._client.get_run(str(version.run_id))
            gone = run.info.lifecycle_stage != "active"
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            gone = True
        if gone:
            yield f"the run of version {model.version} of {model.name!r} is gone"

    def _run(self, trial: RunOfTrial) -> Run:
        experiment = experiment_of(self._client, trial.parent, trial.study_id)
        if experiment is not None:
            condition = f"tags.`mlflow.parentRunId` = '{trial.parent}' AND tags.`hpo.trial` = '{trial.number}'"
            found = search_runs(self._client, experiment.experiment_id, condition)
            found.sort(key=lambda run: run.info.run_id != trial.run_id)
            if found:
                return self._client.get_run(found[0].info.run_id)
        raise UserError(f"MLflow has no run of trial {trial.number} to which its model could belong")

    def _logged(self, run: Run, trial: RunOfTrial, model: ModelRecord) -> LoggedModel | None:
        condition = " AND ".join(f"tags.`{key}` = '{value}'" for key, value in _tags(trial, model).items())
        found = self._client.search_logged_models([run.info.experiment_id], condition)
        return next((each for each in found if each.source_run_id == run.info.run_id), None)

    def _has_files(self, model_id: str) -> bool:
        try:
            place = urlsplit(str(self._client.get_logged_model(model_id).artifact_location))
            if place.scheme == "file":  # MLflow's client would remember where they lay before the home was moved
                return Path(unquote(place.path), _FILE).exists()
            return any(file.path == _FILE for file in self._client.list_logged_model_artifacts(model_id))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False

    def _register(self, model: ModelRecord, trial: RunOfTrial, logged: LoggedModel, run: Run) -> str:
        try:
            self._client.get_registered_model(model.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            self._client.create_registered_model(model.name, {"hpo.study": model.name})
        version = self._version(model, logged) or self._client.create_model_version(
            model.name,
            # What a database makes of the first, it looks up in whichever MLflow this process uses otherwise.
            f"models:/{logged.model_id}" if self._served else logged.artifact_location,
            run.info.run_id,
            tags=_tags(trial, model),
            model_id=logged.model_id,
        )
        told = [{"name": version.name, "version": version.version}]
        if logged.tags.get(_VERSIONS) != json.dumps(told):
            self._client.set_logged_model_tags(logged.model_id, {_VERSIONS: json.dumps(told)})
        return str(version.version)

    def _version(self, model: ModelRecord, logged: LoggedModel) -> ModelVersion | None:
        found = self._client.search_model_versions(f"name = '{model.name}'")
        own = [each for each in found if each.tags.get("hpo.digest") == model.digest]
        sources = (f"models:/{logged.model_id}", logged.artifact_location)
        return next((each for each in own if each.source in sources), None)


def _tags(trial: RunOfTrial, model: ModelRecord) -> dict[str, str]:
    return {
        "hpo.study_id": trial.study_id,
        "hpo.trial": str(model.trial),
        "hpo.on": model.on,
        "hpo.digest": model.digest,
    }
