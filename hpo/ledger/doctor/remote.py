"""Reading MLflow by its public client: servers, which answer a call a run, or a call a metric."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from hpo.ledger.doctor.compare import same_value
from hpo.ledger.doctor.readers import Content, FoundRun, Values
from hpo.ledger.mirror.rows import RunRows, latest_points
from hpo.ledger.mirror.tracking import experiment_of, search_runs

_CURVES = 2000  # metrics of runs of which every step is read; a server takes some 10 ms for each


class RemoteReader:
    """Reads what an MLflow client reaches (readers.Reader).

    Of a large study it reads every step only of the first runs, and of metrics whose latest value is not what it
    should be.
    """

    takes_ids = False

    def __init__(self, uri: str) -> None:
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._runs: dict[str, Run] = {}
        self._left = _CURVES
        self._unread = 0

    def experiment(self, name: str) -> tuple[str, bool] | None:
        found = self._client.get_experiment_by_name(name)
        return None if found is None else (str(found.experiment_id), found.lifecycle_stage == "active")

    def experiment_of(self, parent: str, study_id: str) -> tuple[str, bool] | None:
        found = experiment_of(self._client, parent, study_id)
        return None if found is None else (str(found.experiment_id), found.lifecycle_stage == "active")

    def name_of(self, experiment: str) -> str:
        found = self._client.get_experiment(experiment)
        return "" if found is None else str(found.name)

    def runs(self, experiment: str) -> list[FoundRun]:
        runs = search_runs(self._client, experiment, "", ViewType.ALL)
        self._runs = {run.info.run_id: run for run in runs}
        return sorted(_found(run) for run in runs)

    def contents(self, wanted: Sequence[tuple[str, RunRows]]) -> Iterator[Content]:
        for run_id, rows in wanted:
            yield self._content(run_id, rows)

    def _content(self, run_id: str, rows: RunRows) -> Content:
        data = self._runs[run_id].data
        values = {}
        for point in latest_points(rows.points):
            self._left -= 1
            if self._left >= 0 or not same_value(point.key, data.metrics.get(point.key), point.value):
                values[point.key] = self.values(run_id, point.key)
            else:
                self._unread += 1
        return Content(data.params, data.tags, values, whole=False)

    def values(self, run_id: str, key: str) -> Values:
        return {(metric.step, metric.value) for metric in self._client.get_metric_history(run_id, key)}

    def texts(self, run_ids: Iterable[str], name: str) -> set[str]:
        found = set()
        for run_id in run_ids:
            with contextlib.suppress(OSError):  # an artifact store that this machine can't see
                if not any(artifact.path == name for artifact in self._client.list_artifacts(run_id)):
                    continue
            found.add(run_id)
        return found

    def with_data(self, run_ids: Iterable[str]) -> set[str]:
        inputs = {run_id: run.inputs for run_id, run in self._runs.items()}
        return {run_id for run_id in run_ids if (found := inputs.get(run_id)) is not None and found.dataset_inputs}

    def compared(self) -> str:
        if not self._unread:
            return ""
        return f"of {self._unread:,} metrics on the MLflow server the latest value was compared, not every step"


def _found(run: Run) -> FoundRun:
    tags = run.data.tags
    return FoundRun(
        run.info.run_id,
        run.info.status,
        run.info.lifecycle_stage == "active",
        tags.get("mlflow.parentRunId", ""),
        tags.get("hpo.trial", ""),
        tags.get("hpo.kind", ""),
        tags.get("hpo.study_id", ""),
        tags.get("hpo.study", ""),
        run.info.run_name or "",
    )
