"""Optuna as in its first tutorial: one process, study in memory, nothing logged. Prints when each trial ended."""

from __future__ import annotations

import json
import sys
import time

import optuna
import torch
from plain_loop import ACTIVATIONS, LEARNING_RATE, LOSSES, OPTIMIZERS, WEIGHT_DECAY, load_data, train

trials, seed = int(sys.argv[1]), int(sys.argv[2])
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
    *_, last = train(data, params)
    return last["val_accuracy"]


study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
study.optimize(objective, n_trials=trials, callbacks=[lambda study, trial: ends.append(time.time())])
print(json.dumps({"ends": ends, "best": study.best_value}))
