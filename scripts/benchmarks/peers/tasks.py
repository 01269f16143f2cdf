"""The tasks that peers train: the data, the space as Optuna's users write it, and the training.

Their sweep files, for this project, are in ../spaces.py: the same hyperparameters, the same ranges, the same tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import optuna
from plain_loop import (
    ACTIVATIONS,
    LEARNING_RATE,
    LOSSES,
    OPTIMIZERS,
    REGRESSION_LOSSES,
    WEIGHT_DECAY,
    load_data,
    load_regression,
    train,
    train_regression,
)


@dataclass(frozen=True)
class Task:
    """What one trial is.

    suggest: asks a trial for its hyperparameters; raises optuna.TrialPruned if they are of a forbidden kind, which
        Optuna can't leave out of a space.
    train: yields the metrics after each epoch.
    metric: the one whose last value is the trial's.
    """

    load: Callable[[], Any]
    suggest: Callable[[optuna.Trial], dict[str, Any]]
    train: Callable[[Any, dict[str, Any]], Iterator[dict[str, float]]]
    metric: str = "val_accuracy"
    direction: str = "maximize"


def suggest_single(trial: optuna.Trial) -> dict[str, Any]:
    """One batch size and one shape: the space of BINARY in ../ours.py."""
    return {
        "optimizer": trial.suggest_categorical("optimizer", list(OPTIMIZERS)),
        "learning_rate": trial.suggest_float("learning_rate", *LEARNING_RATE, log=True),
        "weight_decay": trial.suggest_float("weight_decay", *WEIGHT_DECAY, log=True),
        "activation": trial.suggest_categorical("activation", list(ACTIVATIONS)),
        "loss": trial.suggest_categorical("loss", LOSSES),
    }


def suggest_course(trial: optuna.Trial) -> dict[str, Any]:
    """search_spaces/course/binary_search.yaml."""
    params: dict[str, Any] = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128]),
        "optimizer": trial.suggest_categorical("optimizer", ["adam", "sgd"]),
        "hidden_layers": [64, 32],
        "initializer": "xavier_uniform",
        "activation": "relu",
        "loss": "bce",
    }
    if params["optimizer"] == "sgd":
        params["momentum"] = 0.9
    return params


def suggest_binary(trial: optuna.Trial) -> dict[str, Any]:
    """search_spaces/binary.yaml."""
    params: dict[str, Any] = {
        "optimizer": trial.suggest_categorical("optimizer", list(OPTIMIZERS)),
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128]),
        "hidden_layers": suggest_layers(trial, ["32", "128", "64-32", "128-64"]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "activation": trial.suggest_categorical("activation", list(ACTIVATIONS)),
        "loss": trial.suggest_categorical("loss", LOSSES),
        "initializer": trial.suggest_categorical("initializer", ["default", "xavier_uniform", "he_normal"]),
    }
    if params["optimizer"] in ("sgd", "rmsprop"):
        params["momentum"] = trial.suggest_float("momentum", 0.0, 0.99)
    if params["loss"] == "focal":
        params["focal_gamma"] = trial.suggest_float("focal_gamma", 0.5, 5.0)
        params["focal_alpha"] = trial.suggest_float("focal_alpha", 0.25, 0.75)
    if params["loss"] == "mse" and params["activation"] == "sigmoid":
        raise optuna.TrialPruned
    if params["optimizer"] == "sgd" and params["learning_rate"] > 0.05 and params["momentum"] > 0.95:
        raise optuna.TrialPruned
    return params


def suggest_regression(trial: optuna.Trial) -> dict[str, Any]:
    """REGRESSION in ../spaces.py."""
    return {
        "optimizer": trial.suggest_categorical("optimizer", ["sgd", "adam", "adamw"]),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128]),
        "hidden_layers": suggest_layers(trial, ["32", "64-32", "128-64"]),
        "activation": trial.suggest_categorical("activation", ["relu", "silu", "tanh"]),
        "loss": trial.suggest_categorical("loss", list(REGRESSION_LOSSES)),
    }


def suggest_layers(trial: optuna.Trial, choices: list[str]) -> list[int]:
    """Return widths. As texts, since Optuna's storages take no lists."""
    return [int(width) for width in trial.suggest_categorical("hidden_layers", choices).split("-")]


def load_course() -> Any:
    """The `data` of search_spaces/course/binary_search.yaml."""
    return load_data(source="make_classification", split="random", split_seed=42, validation=0.2, test=0.2)


def train_batches(data: Any, params: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Train a classifier whose batch size is searched."""
    return train(data, params, batch_size=params["batch_size"])


TASKS = {
    "single": Task(load_data, suggest_single, train),
    "course": Task(load_course, suggest_course, train_batches),
    "binary": Task(load_data, suggest_binary, train_batches),
    "regression": Task(load_regression, suggest_regression, train_regression, "val_rmse", "minimize"),
}
