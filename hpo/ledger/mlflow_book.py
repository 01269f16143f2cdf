"""What a sweep looks like in MLflow: one parent run, one child run a trial. Every method can be called again.

Uses MlflowClient only: the fluent API's global state collides between sweeps, and costs ten times as much.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType

from hpo.ledger.home import Home
from hpo.ledger.records import SweepRecord, TrialRecord
from hpo.spec.source import dump_source
from hpo.spec.space import show

_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
_BATCH = 900  # entities a call; MLflow's limit is 1,000
VIEW = "hpo"  # the name of the shared view of the runs table


class MlflowBook:
    """Writes one sweep into MLflow."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._experiment = ""
        self._runs: dict[int, str] = {}  # by trial number
        self._unsaid: dict[int, str] = {}
        self._uncertain = False  # a call failed: it may have been carried out all the same
        self.parent_id = ""

    def new_run_ids(self) -> dict[int, str]:
        """Return the run ids that were given since the last call."""
        unsaid, self._unsaid = self._unsaid, {}
        return unsaid

    def prepare(self) -> None:
        """Connect, and make the database if there is none."""
        database = self._home.mlflow_database
        if database is not None and not database.exists():
            make_database(database)
        self._client = MlflowClient(tracking_uri=self._home.tracking_uri, registry_uri=self._home.tracking_uri)

    def open(self, sweep: SweepRecord, finished: list[TrialRecord]) -> list[str]:
        """Find or make the experiment, the parent run and every finished trial's run. Returns notes for the user."""
        self._sweep = sweep
        self._experiment = self._find_experiment(sweep.study)
        self._open_parent(sweep)
        known = self._child_runs()
        self._runs = {number: run.info.run_id for number, run in known.items()}
        behind = [r for r in finished if r.number not in known or known[r.number].info.status != _STATUS[r.state]]
        for record in behind:
            self.end(record)
        if behind:
            self._draw_best_curve(finished)
        return [f"MLflow brought level with the study: {len(behind)} trials written"] if behind else []

    def _find_experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            return self._client.create_experiment(name, artifact_location=self._home.artifacts)
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _open_parent(self, sweep: SweepRecord) -> None:
        parents = self._search(f"tags.`hpo.study_id` = '{sweep.study_id}' AND tags.`hpo.kind` = 'sweep'")
        if parents:
            self.parent_id = parents[0].info.run_id
            self._client.update_run(self.parent_id, "RUNNING")
        else:
            tags = {"hpo.kind": "sweep", "hpo.study": sweep.study, "hpo.objective": sweep.objective}
            tags["hpo.study_id"] = sweep.study_id
            tags |= {"mlflow.source.name": sweep.source, "mlflow.source.type": "LOCAL"}
            start = _milliseconds(sweep.began)
            run = self._client.create_run(self._experiment, start, tags, f"{sweep.study} (sweep)")
            self.parent_id = run.info.run_id
        self._client.set_experiment_tag(self._experiment, f"mlflow.sharedViewState.{VIEW}", _table_view(sweep))
        tags = {f"version.{package}": version for package, version in sweep.versions.items()}
        tags |= {"mlflow.source.git.commit": sweep.commit} if sweep.commit else {}
        tags |= {"mlflow.user": sweep.user, "mlflow.note.content": _description(sweep)}
        self._client.log_batch(self.parent_id, tags=[RunTag(key, value) for key, value in tags.items()])
        self._client.log_text(self.parent_id, sweep.text, "sweep.yaml")
        self._client.log_text(self.parent_id, dump_source(sweep.config), "resolved.yaml")
        self._client.log_dict(self.parent_id, dict(sweep.versions), "versions.json")
        if sweep.notes:
            self._client.log_text(self.parent_id, "\n".join(sweep.notes) + "\n", "data.txt")

    def _draw_best_curve(self, finished: list[TrialRecord]) -> None:
        """Write the best-so-far curve from the trials' own ends."""
        sign = 1.0 if self._sweep.goal == "maximize" else -1.0
        best = -math.inf
        ended = sorted(
            (r for r in finished if r.state in ("complete", "pruned")), key=lambda record: record.ended or 0.0
        )
        for step, record in enumerate(ended, start=1):
            if record.state == "complete" and record.value is not None and sign * record.value > best:
                best = sign * record.value
                self.best(step, record.value, record.ended or 0.0)

    def _search(self, condition: str) -> list[Run]:
        runs: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs([self._experiment], condition, ViewType.ACTIVE_ONLY, 1000, page_token=token)
            runs += page
            token = page.token
            if not token:
                return runs

    def _child_runs(self) -> dict[int, Run]:
        runs = self._search(f"tags.`mlflow.parentRunId` = '{self.parent_id}'")
        return {int(run.data.tags["hpo.trial"]): run for run in runs if "hpo.trial" in run.data.tags}

    def begin(self, record: TrialRecord) -> None:
        """Make a trial's run, with its parameters, unless there is one."""
        if record.number not in self._runs and self._uncertain:
            self._runs |= {number: run.info.run_id for number, run in self._child_runs().items()}
        if record.number not in self._runs:
            self._uncertain = True
            run = self._client.create_run(
                self._experiment,
                start_time=_milliseconds(record.started),
                tags=self._tags(record),
                run_name=f"{self._sweep.study} {record.number:04d}",
            )
            self._uncertain = False
            self._runs[record.number] = run.info.run_id
        self._unsaid[record.number] = self._runs[record.number]
        params = [Param(_key(name), _text(value)) for name, value in record.params.items()]
        self._client.log_batch(self._runs[record.number], params=params)

    def _tags(self, record: TrialRecord) -> dict[str, str]:
        sweep = self._sweep
        tags = {
            "mlflow.parentRunId": self.parent_id,
            "mlflow.source.name": sweep.source,
            "mlflow.source.type": "LOCAL",
            "hpo.kind": "trial",
            "hpo.study": sweep.study,
            "hpo.trial": str(record.number),
            "hpo.seed": str(record.seed),
            "hpo.state": record.state,
        }
        if sweep.commit:
            tags["mlflow.source.git.commit"] = sweep.commit
        if record.retry_of is not None:
            tags["hpo.retry_of"] = str(record.retry_of)
        return tags

    def end(self, record: TrialRecord) -> None:
        """Write all that a trial's run holds in the end, and its state."""
        if record.number not in self._runs:
            self.begin(record)
        run_id = self._runs[record.number]
        metrics = [
            Metric(_key(name), value, _milliseconds(record.times[step]), step)
            for step in sorted(record.steps)
            for name, value in record.steps[step].items()
        ]
        metrics += [
            Metric(name, value, _milliseconds(record.ended), 0) for name, value in self._summary(record).items()
        ]
        tags = self._tags(record) | self._end_tags(record)
        try:
            for start in range(0, len(metrics), _BATCH):
                self._client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
            self._client.log_batch(run_id, tags=[RunTag(key, value[:5000]) for key, value in tags.items()])
            if record.traceback:
                self._client.log_text(run_id, record.traceback, "traceback.txt")
        finally:  # even if MLflow refuses something of it, the run is not left running
            self._client.set_terminated(run_id, _STATUS[record.state], _milliseconds(record.ended))

    def _summary(self, record: TrialRecord) -> dict[str, float]:
        """Return what to sort the runs table by: the trial's value (of complete trials only, as in the study), the best
        and the last value of the sweep's metric over the epochs, and the duration."""
        name = self._sweep.metric
        series = record.series(name)
        summary = {"duration_seconds": record.seconds}
        if series:
            summary[f"best_{name}"] = max(series) if self._sweep.goal == "maximize" else min(series)
            summary[f"last_{name}"] = series[-1]
        if record.value is not None:
            summary["value"] = summary[f"last_{name}"] = record.value
            summary.setdefault(f"best_{name}", record.value)
        if record.value is not None and not series:
            summary[name] = record.value
        return {key: value for key, value in summary.items() if math.isfinite(value)}

    def _end_tags(self, record: TrialRecord) -> dict[str, str]:
        tags = {f"hpo.{key}": str(record.info[key]) for key in ("worker", "host", "gpu") if key in record.info}
        if record.diverged is not None:
            tags["diverged"] = f"epoch {record.diverged}"
        if record.error:
            tags["hpo.error"] = record.error
        if record.stopped_by:
            tags["hpo.stopped_by"] = record.stopped_by
        return tags

    def attach(self, number: int, name: str, path: str) -> list[str]:
        """Move a file into a trial's artefacts."""
        source = Path(path)
        named = source.with_name(name)
        if source.exists():
            source.replace(named)
        if number not in self._runs or not named.exists():
            return [f"the file {path} of trial {number} could not be kept"]
        self._client.log_artifact(self._runs[number], str(named))
        named.unlink()
        with contextlib.suppress(OSError):  # the file's own temporary folder, if it had one
            named.parent.rmdir()
        return []

    def best(self, step: int, value: float, moment: float) -> None:
        """Add one point to the best-so-far curve; step: trials that had ended by then."""
        name = f"best_so_far_{self._sweep.metric}"
        self._client.log_batch(self.parent_id, metrics=[Metric(_key(name), value, _milliseconds(moment), step)])

    def close(self, status: str, summary: dict[str, Any]) -> None:
        """Write the sweep's summary and end the parent run."""
        moment = _milliseconds(time.time())
        metrics = [Metric(_key(k), float(v), moment, 0) for k, v in summary.items() if isinstance(v, int | float)]
        tags = [RunTag(f"hpo.{k}", v) for k, v in summary.items() if isinstance(v, str) and k != "outcome"]
        tags.append(RunTag("mlflow.note.content", f"{_description(self._sweep)}\n\n{summary['outcome']}"))
        self._client.log_batch(self.parent_id, metrics=metrics, tags=tags)
        self._client.set_terminated(self.parent_id, status)


def make_database(path: Path) -> None:
    """Make an empty MLflow database, all of it or nothing.

    MLflow takes seconds to do so, in steps; one that is killed in between is of no use to MLflow ever after.
    """
    draft = path.with_name(f"{path.name}.new-{os.getpid()}")
    whole = path.with_name(f"{draft.name}-whole")
    try:
        MlflowClient(f"sqlite:///{draft}").search_experiments(max_results=1)
        shutil.copyfile(draft, whole)  # nothing writes to it any more, though its connections are still open
        with closing(sqlite3.connect(whole)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # for good: readers and the writer never wait for each other
        with contextlib.suppress(FileExistsError):  # another sweep in this home was quicker
            os.link(whole, path)
    finally:
        for leftover in (draft, whole):
            leftover.unlink(missing_ok=True)


def _description(sweep: SweepRecord) -> str:
    """Return what the parent run's page says of the sweep."""
    text = f"{sweep.goal} **{sweep.metric}** of `{sweep.objective}` ({sweep.source})"
    return f"{sweep.description}\n\n{text}" if sweep.description else text


def _table_view(sweep: SweepRecord) -> str:
    """Return MLflow's view of the runs table in which the study reads best: the best trials first, with what varies."""
    searched = [name for name, domain in sweep.config["parameters"].items() if domain["type"] != "constant"]
    columns = [f"metrics.`{sweep.metric}`", "metrics.`value`", "tags.`hpo.state`"]
    columns += [f"params.`{name}`" for name in searched[:6]]
    order = {"orderByKey": "metrics.`value`", "orderByAsc": sweep.goal == "minimize"}
    return json.dumps({"selectedColumns": columns, **order})


def _key(name: str) -> str:
    """Return a name as MLflow allows it: letters, digits and `_-./: `; what else there is becomes `_`."""
    return re.sub(r"[^\w\-./: ]", "_", name)[:250]


def _milliseconds(moment: float | None) -> int:
    return int((moment or 0.0) * 1000)


def _text(value: Any) -> str:
    """Return a parameter as MLflow shows it."""
    text = (
        json.dumps(value) if isinstance(value, list | dict) else str(value) if isinstance(value, float) else show(value)
    )
    return text[:6000]
