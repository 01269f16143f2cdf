"""Optuna as in its first tutorial: one process, study in memory, nothing logged. Prints when each trial ended."""

from __future__ import annotations

import argparse
import json
import time

import optuna
import torch
from tasks import TASKS

parser = argparse.ArgumentParser()
parser.add_argument("trials", type=int)
parser.add_argument("seed", type=int)
parser.add_argument("task", nargs="?", default="single", choices=TASKS)
options = parser.parse_args()
task = TASKS[options.task]
torch.set_num_threads(1)
optuna.logging.set_verbosity(optuna.logging.WARNING)
data = task.load()
ended: list[tuple[float, float | None]] = []


def objective(trial: optuna.Trial) -> float:
    """Train one configuration."""
    params = task.suggest(trial)
    *_, last = task.train(data, params)
    return last[task.metric]


def note(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    """Note when a trial ended that was trained."""
    if trial.state != optuna.trial.TrialState.PRUNED:
        ended.append((time.time(), trial.value))


study = optuna.create_study(direction=task.direction, sampler=optuna.samplers.TPESampler(seed=options.seed))
study.optimize(objective, n_trials=options.trials, callbacks=[note])
print(json.dumps({"ends": [when for when, _ in ended], "values": [value for _, value in ended]}))
