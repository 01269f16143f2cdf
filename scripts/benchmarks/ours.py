"""This project's side: sweep files, the real command, and the proof that both stores hold every trial.

The proof compares the stores number by number: each metric of each step that the study has must be in MLflow.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks.common import HPO, CheckFailed, run_all
from hpo.ledger.study.records import TrialRecord, record_of

METRICS_AN_EPOCH = 20  # of a binary task: 10 of the training and 10 of the validation split

BINARY = """\
name: binary
objective: objectives.binary
data: {{source: synthetic}}
metric: {{name: val_accuracy, goal: maximize}}
method: tpe
budget: {{trials: {trials}, epochs: {epochs}}}
seed: {seed}
engine: {{type: local, workers: auto, cohort: {cohort}}}
parameters:
  optimizer:     {{values: [sgd, adam, adamw, rmsprop, adagrad]}}
  learning_rate: {{distribution: log_uniform_values, min: 1e-4, max: 1e-1}}
  weight_decay:  {{distribution: log_uniform_values, min: 1e-6, max: 1e-2}}
  activation:    {{values: [relu, leaky_relu, elu, silu, tanh, sigmoid]}}
  loss:          {{values: [bce, weighted_bce, focal, mse]}}
  batch_size:    {{value: 32}}
  hidden_layers: {{value: [64, 32]}}
"""


def write_binary(folder: Path, trials: int, cohort: str, seed: int = 42, epochs: int = 20) -> Path:
    """Write the sweep file of the binary task (the space of peers/plain_loop.py, no pruning); return its path."""
    path = folder / "binary.yaml"
    path.write_text(BINARY.format(trials=trials, cohort=cohort, seed=seed, epochs=epochs))
    return path


def sweep_command(file: Path, home: Path, *options: str) -> list[str | Path]:
    """Return the command that a user would give."""
    return [HPO, "sweep", file, "--home", home, "--json", *options]


def sweep(file: Path, home: Path, *options: str, timeout: float) -> tuple[dict[str, Any], float]:
    """Run a sweep; return what it says of itself, and the seconds that the command took. Raises CheckFailed."""
    (printed,), seconds = run_all([sweep_command(file, home, *options)], home.parent, timeout)
    said: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return said, seconds


@dataclass
class Stores:
    """What a study and its MLflow runs say."""

    trials: list[TrialRecord]
    parent: Run
    runs: list[Run]

    def closed(self) -> float:
        """Return when the parent run was ended: the last of all writes to MLflow."""
        return float(self.parent.info.end_time or math.nan) / 1000

    def seconds_from(self, number: int) -> float:
        """Return the seconds from the start of a trial until everything was written and closed."""
        return self.closed() - self.trials[number].started

    def cohorts(self) -> list[int]:
        """Return the size of the cohort in which each trial ended; 1: alone."""
        return [int(trial.info.get("cohort", 1)) for trial in self.trials]


def read_stores(home: Path, name: str, trials: int, epochs: int, metrics: int) -> Stores:
    """Read the study by Optuna and the runs by MLflow, and compare them.

    Raises CheckFailed unless there are `trials` trials, each with `metrics` metrics in each of `epochs` steps (a
    diverged one: up to where it diverged) in both stores, and all of them ended.
    """
    storage = JournalStorage(JournalFileBackend(str(home / "studies.journal")))
    study = optuna.load_study(study_name=name, storage=storage)
    frozen = study.get_trials(deepcopy=False)
    open_ones = [trial.number for trial in frozen if not trial.state.is_finished()]
    if len(frozen) != trials or open_ones:
        raise CheckFailed(f"the study has {len(frozen)} of {trials} trials, {len(open_ones)} of them not ended")
    records = [record_of(trial) for trial in frozen]
    for record in records:
        expected = epochs if record.diverged is None else record.diverged - 1
        full = sum(len(values) == metrics for values in record.steps.values())
        if record.state == "failed" or full != expected:
            state = f"trial {record.number} ({record.state} {record.error})"
            raise CheckFailed(f"{state} has {full} of {expected} steps with {metrics} metrics")

    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        raise CheckFailed(f"MLflow has no experiment {name}")
    found = all_runs(client, experiment.experiment_id)
    parents = [run for run in found if run.data.tags.get("hpo.kind") == "sweep"]
    runs = [run for run in found if run.data.tags.get("hpo.kind") == "trial"]
    wrong = Counter(run.info.status for run in [*runs, *parents] if run.info.status not in ("FINISHED", "KILLED"))
    if len(parents) != 1 or len(runs) != trials or wrong:
        told = f"{len(parents)} parent runs and {len(runs)} of {trials} trials' runs, not ended: {dict(wrong)}"
        raise CheckFailed(f"MLflow has {told}")
    _compare(home, records, {int(run.data.tags["hpo.trial"]): run.info.run_id for run in runs})
    return Stores(records, parents[0], runs)


def all_runs(client: MlflowClient, experiment: str) -> list[Run]:
    """Return every run of an experiment."""
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment], "", ViewType.ACTIVE_ONLY, 1000, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def metric_rows(database: Path) -> dict[str, dict[tuple[str, int], float]]:
    """Return {run id: {(metric, step): value}} of all of MLflow. In SQL: the client would need a call a curve."""
    rows: dict[str, dict[tuple[str, int], float]] = {}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for run, key, step, value in connection.execute("SELECT run_uuid, key, step, value FROM metrics"):
            rows.setdefault(run, {})[key, step] = value
    return rows


def _compare(home: Path, records: list[TrialRecord], run_ids: dict[int, str]) -> None:
    """Raise CheckFailed unless MLflow has every number that the study has."""
    rows = metric_rows(home / "mlflow.db")
    for record in records:
        theirs = rows.get(run_ids.get(record.number, ""), {})
        for step, values in record.steps.items():
            for name, value in values.items():
                if not math.isclose(theirs.get((name, step), math.nan), value, rel_tol=1e-9, abs_tol=1e-12):
                    told = f"{name} of trial {record.number} at step {step} is {value} in the study"
                    raise CheckFailed(f"{told}, {theirs.get((name, step))} in MLflow")
