"""As ray_tune.py, with this project's public adapter for Ray Tune in place of OptunaSearch and the MLflow callback."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ray
import torch
from plain_loop import ACTIVATIONS, LEARNING_RATE, LOSSES, OPTIMIZERS, WEIGHT_DECAY, Data, load_data, train
from ray import tune

from hpo.tune import StudySearcher

trials, seed = int(sys.argv[1]), int(sys.argv[2])


def trainable(config: dict[str, Any], data: Data) -> None:
    """Train one configuration."""
    torch.set_num_threads(1)
    for metrics in train(data, config):
        tune.report(metrics)


ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
searcher = StudySearcher(
    name="binary",
    metric={"name": "val_accuracy", "goal": "maximize"},
    budget={"trials": trials},
    seed=seed,
    home="home",
)
tuner = tune.Tuner(
    tune.with_parameters(trainable, data=load_data()),  # once into the object store
    param_space={
        "optimizer": tune.choice(list(OPTIMIZERS)),
        "learning_rate": tune.loguniform(*LEARNING_RATE),
        "weight_decay": tune.loguniform(*WEIGHT_DECAY),
        "activation": tune.choice(list(ACTIVATIONS)),
        "loss": tune.choice(LOSSES),
    },
    tune_config=tune.TuneConfig(search_alg=searcher, num_samples=-1, max_concurrent_trials=2, reuse_actors=True),
    run_config=tune.RunConfig(name="binary", storage_path=str(Path.cwd() / "ray"), verbose=0),
)
results = tuner.fit()
print(json.dumps({"errors": results.num_errors}))
ray.shutdown()
