"""Members of a cohort that differ in all that may differ: hyperparameters, modules, batches, rows, weights of rows."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hpo.training.layers import SqueezeLast
from hpo.training.task import Kind, Split, Splits, TorchTask
from hpo.training.vocabulary.activations import ACTIVATIONS, make_activation
from hpo.training.vocabulary.initializers import INITIALIZERS
from hpo.training.vocabulary.losses import LOSSES
from hpo.training.vocabulary.optimizers import OPTIMIZERS
from hpo.training.vocabulary.schedules import SCHEDULES
from hpo.training.vocabulary.targets import TARGET_TRANSFORMS

from ..tiny import splits_of

# Values for every hyperparameter that an entry of a registry takes; members get different ones. A new hyperparameter
# needs a line here: without one its tests fail.
VALUES: dict[str, list[Any]] = {
    # optimizers
    "learning_rate": [0.003, 0.01, 0.001, 0.03, 0.002],
    "momentum": [0.9, 0.0, 0.5, 0.9, 0.7],
    "nesterov": [True, True, False, False, True],
    "weight_decay": [0.0, 0.1, 0.01, 0.001, 0.2],
    "beta1": [0.9, 0.0, 0.5, 0.95, 0.8],
    "beta2": [0.999, 0.9, 0.5, 0.99, 0.95],  # with 0.5 RAdam never rectifies
    "eps": [1e-8, 1e-3, 1e-6, 1e-2, 1e-7],
    "alpha": [0.99, 0.0, 0.9, 0.5, 0.95],
    # losses
    "output_activation": ["default", "default", "default", "tanh", "default"],  # see test_output_activations
    "pos_weight": [None, 3.0, 0.5, 1.0, 2.0],
    "focal_gamma": [2.0, 0.0, 0.5, 1.0, 3.0],
    "focal_alpha": [0.25, 0.5, 0.75, 0.1, 0.9],
    "class_weight_power": [1.0, 0.0, 0.5, 2.0, 1.5],
    "smoothing": [0.1, 0.0, 0.3, 0.05, 0.5],
    "huber_delta": [1.0, 0.1, 0.5, 2.0, 10.0],
    "quantile": [0.5, 0.1, 0.9, 0.25, 0.75],
    # initializers
    "init_scale": [1.0, 0.1, 2.0, 0.5, 3.0],
    # schedules: so short that each acts within three epochs
    "step_size": [1, 2, 1, 2, 1],
    "step_gamma": [0.1, 0.5, 0.9, 0.3, 1.0],
    "exponential_gamma": [0.95, 0.5, 0.1, 0.9, 1.0],
    "pct_start": [0.3, 0.5, 0.1, 0.7, 0.9],
    "div_factor": [25.0, 2.0, 10.0, 1.0, 5.0],
    "final_div_factor": [1e4, 10.0, 1.0, 100.0, 2.0],
    "eta_min_ratio": [0.0, 0.1, 0.5, 1.0, 0.01],
    "t_0": [1, 2, 1, 2, 1],
    "t_mult": [1, 1, 2, 2, 3],
    "plateau_factor": [0.1, 0.5, 0.9, 0.3, 0.2],
    "plateau_patience": [0, 1, 0, 1, 0],
    "warmup_epochs": [1.0, 0.5, 0.0, 1.7, 3.0],
    # what is done to targets
    "zscore_threshold": [1.0, 1.5, 2.0, 2.5, 1.2],
    "iqr_factor": [0.2, 0.5, 1.0, 0.3, 0.7],
    "winsorize_share": [0.05, 0.1, 0.2, 0.15, 0.01],
    "contamination": [0.1, 0.05, 0.2, 0.3, 0.15],
    # where the line between two classes is drawn
    "threshold": [0.5, 0.3, 0.7, 0.1, 0.5],
    # what is done about labels
    "suspect_weight": [0.0, 0.5, 0.1, 0.0, 0.9],
    "curriculum_start": [0.5, 0.1, 0.3, 1.0, 0.8],
    "curriculum_epochs": [2, 3, 1, 5, 2],
}


ROWS = 41


BASE = {"hidden_layers": [6], "batch_size": 16}  # the last of three batches has 9 rows


def values_of(takes: tuple[str, ...], member: int) -> dict[str, Any]:
    """Return a value for each of these hyperparameters, different from member to member."""
    return {name: VALUES[name][member % len(VALUES[name])] for name in takes}


def conv_net(params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
    """One of every layer of images that a stack knows."""

    def act() -> nn.Module:
        return make_activation(params.get("activation", "relu"))

    layers = [
        nn.Conv2d(features[0], 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), act(), nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(4, 6, 3, groups=2, stride=1, padding="same", dilation=2), act()),
        nn.AvgPool2d(2, padding=1), nn.Dropout2d(params.get("dropout", 0.0)),
        nn.Conv2d(6, 5, 1), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(params.get("dropout", 0.0)),
        nn.Linear(20, outputs),
    ]  # fmt: skip
    return nn.Sequential(*layers, *([SqueezeLast()] if outputs == 1 else []))


def conv1d_net(params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
    layers = [
        nn.Conv1d(features[0], 4, 3, bias=False), nn.BatchNorm1d(4), nn.Tanh(), nn.AvgPool1d(2, stride=1),
        nn.MaxPool1d(2), nn.Linear(2, 3), nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(8, outputs),
    ]  # fmt: skip
    return nn.Sequential(*layers)


def conv3d_net(params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(features[0], 3, 2, bias=False), nn.BatchNorm3d(3), nn.ReLU(), nn.Flatten(), nn.Linear(24, outputs)
    )


class Augmenting(TorchTask):
    """Adds noise of a strength of the trial's own, from its generator, while training; scales by it while measuring."""

    kind: Kind = "regression"

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        width = int(features[0])
        return nn.Sequential(
            nn.Linear(width, 5), nn.ReLU(), nn.Dropout(params["dropout"]), nn.Linear(5, 1), SqueezeLast()
        )

    def batch(self, x: Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> Tensor:
        if generator is None:
            return x * (1 - params["dropout"])
        chance: Any = {"generator": generator, "device": generator.device}
        kept = torch.rand(len(x), 1, **chance) < 0.8  # what is drawn depends on the number of rows
        return torch.where(kept, x, x + torch.randn(x.shape, dtype=x.dtype, **chance))


OUTLIER_PARAMS: list[dict[str, Any]] = [
    {"outliers": "none"},
    {"outliers": "zscore", "zscore_threshold": 0.9},
    {"outliers": "zscore", "zscore_threshold": 1.3},
    {"outliers": "iqr"},
]


def ragged_splits(rows: int = 120) -> Splits:
    """Splits of which OUTLIER_PARAMS keep different numbers of rows."""
    splits = splits_of("regression", rows)
    y = splits.train.y.clone()
    y[::11] *= 6
    return Splits(Split(splits.train.x, y), splits.validation, splits.test)


def weighted_splits(kind: Kind) -> Splits:
    """Splits with a weight for each training row, of which some are 0 and some labels are wrong."""
    splits = splits_of(kind, ROWS)
    y = splits.train.y.clone()
    y[::7] = 1 - y[::7] if kind != "multiclass" else (y[::7] + 1) % 3
    weight = torch.arange(ROWS).remainder(5).to(splits.train.x.dtype)
    return Splits(Split(splits.train.x, y, weight), splits.validation, splits.test, splits.outputs)


def mixture(kind: Kind, rng: random.Random, batch_norm: bool) -> dict[str, Any]:
    """Return hyperparameters drawn from everything that members of one cohort may have different."""
    optimizer, loss = rng.choice(list(OPTIMIZERS)), rng.choice(list(LOSSES[kind]))
    schedule = rng.choice(list(SCHEDULES))
    names = [name for name in ACTIVATIONS.names() if not (batch_norm and name == "linear")]  # see above
    params: dict[str, Any] = {
        "optimizer": optimizer.name, "loss": loss.name, "schedule": schedule.name, "activation": rng.choice(names),
        "initializer": rng.choice(INITIALIZERS.names()), "dropout": rng.choice([0.0, 0.2, 0.5]), "batch_size": 16,
        "batch_norm": batch_norm, "hidden_layers": [8, 6], "residual": batch_norm,
        "l1_penalty": rng.choice([0.0, 0.0, 0.01]), "init_scale": rng.choice([1.0, 0.5]),
    }  # fmt: skip
    for choice in (optimizer, loss, schedule):
        params |= {name: rng.choice(VALUES[name]) for name in choice.takes if rng.random() < 0.8}
    params["learning_rate"] = 10 ** rng.uniform(-4, -2)
    for clip, low, high in (("grad_clip_norm", 0.1, 1.0), ("grad_clip_value", 0.01, 0.1)):
        if rng.random() < 0.3:
            params[clip] = rng.uniform(low, high)
    if kind == "regression":
        params |= {"target_transform": rng.choice(TARGET_TRANSFORMS.names()), **rng.choice(OUTLIER_PARAMS)}
    return params
