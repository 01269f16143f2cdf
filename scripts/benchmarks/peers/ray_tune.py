"""Ray Tune as its manual has it: OptunaSearch, actors used again, tune.report each epoch, MLflowLoggerCallback.

MLflow is in SQLite in the working directory. A trial's end is read from its MLflow run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ray
import torch
from plain_loop import ACTIVATIONS, LEARNING_RATE, LOSSES, OPTIMIZERS, WEIGHT_DECAY, Data, load_data, train
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.search.optuna import OptunaSearch

trials, seed = int(sys.argv[1]), int(sys.argv[2])


def trainable(config: dict[str, Any], data: Data) -> None:
    """Train one configuration."""
    torch.set_num_threads(1)
    for metrics in train(data, config):
        tune.report(metrics)


ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
tuner = tune.Tuner(
    tune.with_parameters(trainable, data=load_data()),  # once into the object store
    param_space={
        "optimizer": tune.choice(list(OPTIMIZERS)),
        "learning_rate": tune.loguniform(*LEARNING_RATE),
        "weight_decay": tune.loguniform(*WEIGHT_DECAY),
        "activation": tune.choice(list(ACTIVATIONS)),
        "loss": tune.choice(LOSSES),
    },
    tune_config=tune.TuneConfig(
        metric="val_accuracy",
        mode="max",
        search_alg=OptunaSearch(seed=seed),
        num_samples=trials,
        max_concurrent_trials=2,
        reuse_actors=True,
    ),
    run_config=tune.RunConfig(
        name="binary",
        storage_path=str(Path.cwd() / "ray"),
        verbose=0,
        callbacks=[MLflowLoggerCallback(tracking_uri="sqlite:///mlflow.db", experiment_name="binary")],
    ),
)
results = tuner.fit()
print(json.dumps({"best": results.get_best_result().metrics["val_accuracy"], "errors": results.num_errors}))
ray.shutdown()
