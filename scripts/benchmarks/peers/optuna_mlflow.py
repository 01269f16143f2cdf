"""Optuna + MLflow as their manuals have it: a child run a trial, the fluent API, metrics after each epoch.

One process: the study in SQLite. Several: this program started several times on one journal file, which is what
Optuna's manual advises where processes share a folder. MLflow is in SQLite (its default) in the working directory, in
a file of its own: Optuna and MLflow refuse to share one. With a target each process stops as soon as the study has a
trial that reached it, by Study.stop in a callback. Prints when each trial of this process ended.
"""

from __future__ import annotations

import argparse
import json
import time

import mlflow
import optuna
import torch
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from tasks import TASKS

parser = argparse.ArgumentParser()
parser.add_argument("trials", type=int)
parser.add_argument("seed", type=int)
parser.add_argument("storage", choices=("sqlite", "journal"))
parser.add_argument("task", nargs="?", default="single", choices=TASKS)
parser.add_argument("--target", type=float)
options = parser.parse_args()
task = TASKS[options.task]
torch.set_num_threads(1)
optuna.logging.set_verbosity(optuna.logging.WARNING)
data = task.load()
ended: list[tuple[float, float | None]] = []


def objective(trial: optuna.Trial) -> float:
    """Train one configuration."""
    params = task.suggest(trial)
    with mlflow.start_run(nested=True, run_name=f"trial {trial.number}"):
        mlflow.log_params(params)
        for epoch, metrics in enumerate(task.train(data, params), start=1):
            mlflow.log_metrics(metrics, step=epoch)
            trial.report(metrics[task.metric], epoch)
    return metrics[task.metric]


def note(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    """Note when a trial ended that was trained."""
    if trial.state != TrialState.PRUNED:
        ended.append((time.time(), trial.value))


def stop_at_target(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    """Start no more trials once one of any process has reached the target."""
    if study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        best = study.best_value
        if best >= options.target if task.direction == "maximize" else best <= options.target:
            study.stop()


storage: str | BaseStorage = "sqlite:///optuna.db"
if options.storage == "journal":
    storage = JournalStorage(JournalFileBackend("optuna.journal"))
mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("binary")
study = optuna.create_study(
    study_name="binary",
    storage=storage,
    direction=task.direction,
    sampler=optuna.samplers.TPESampler(seed=options.seed),
    load_if_exists=True,
)
with mlflow.start_run(run_name="study"):
    callbacks = [note] if options.target is None else [note, stop_at_target]
    study.optimize(objective, n_trials=options.trials, callbacks=callbacks)
print(json.dumps({"ends": [when for when, _ in ended], "values": [value for _, value in ended]}))
