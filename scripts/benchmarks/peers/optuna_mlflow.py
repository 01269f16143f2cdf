"""Optuna + MLflow as their manuals have it: a child run a trial, the fluent API, metrics after each epoch.

One process: the study in SQLite. Several: this program started several times on one journal file, which is what
Optuna's manual advises where processes share a folder. MLflow is in SQLite (its default) in the working directory, in
a file of its own: Optuna and MLflow refuse to share one. Prints when each trial of this process ended.
"""

from __future__ import annotations

import json
import sys
import time

import mlflow
import optuna
import torch
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from plain_loop import ACTIVATIONS, LEARNING_RATE, LOSSES, OPTIMIZERS, WEIGHT_DECAY, load_data, train

trials, seed, storage_name = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
optuna.logging.set_verbosity(optuna.logging.WARNING)
data = load_data()
ends: list[float] = []


def objective(trial: optuna.Trial) -> float:
    """Train one configuration."""
    params = {
        "optimizer": trial.suggest_categorical("optimizer", list(OPTIMIZERS)),
        "learning_rate": trial.suggest_float("learning_rate", *LEARNING_RATE, log=True),
        "weight_decay": trial.suggest_float("weight_decay", *WEIGHT_DECAY, log=True),
        "activation": trial.suggest_categorical("activation", list(ACTIVATIONS)),
        "loss": trial.suggest_categorical("loss", LOSSES),
    }
    with mlflow.start_run(nested=True, run_name=f"trial {trial.number}"):
        mlflow.log_params(params)
        for epoch, metrics in enumerate(train(data, params), start=1):
            mlflow.log_metrics(metrics, step=epoch)
            trial.report(metrics["val_accuracy"], epoch)
    return metrics["val_accuracy"]


storage: str | BaseStorage = "sqlite:///optuna.db"
if storage_name == "journal":
    storage = JournalStorage(JournalFileBackend("optuna.journal"))
mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("binary")
study = optuna.create_study(
    study_name="binary",
    storage=storage,
    direction="maximize",
    sampler=optuna.samplers.TPESampler(seed=seed),
    load_if_exists=True,
)
with mlflow.start_run(run_name="study"):
    study.optimize(objective, n_trials=trials, callbacks=[lambda study, trial: ends.append(time.time())])
print(json.dumps({"ends": ends, "best": study.best_value}))
