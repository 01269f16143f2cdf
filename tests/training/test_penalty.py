"""The L1 penalty: it leads to the lasso's weights, with the lasso's zeros, in every optimizer and in a stack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso

from hpo.events import Reported, TrialSpec
from hpo.training.loop import train_run
from hpo.training.penalty import Pull
from hpo.training.run import start
from hpo.training.task import Split, Splits

from .tiny import CPU, assert_equal_to_alone, default_dtype, task_of

RULES: dict[str, dict[str, Any]] = {
    "sgd": {"learning_rate": 0.2},
    "adam": {"learning_rate": 0.05, "schedule": "cosine"},
}


def rows() -> Splits:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(60, 8, generator=generator, dtype=torch.float64)
    y = 2 * x[:, 0] - x[:, 1] + 0.5 + 0.1 * torch.randn(60, generator=generator, dtype=torch.float64)
    split = Split(x, y)
    return Splits(split, split, split)


@pytest.mark.parametrize("optimizer", RULES)
def test_a_linear_model_becomes_the_lasso(optimizer: str) -> None:
    """Whose loss is half the squared error: its alpha is half the penalty."""
    with default_dtype(torch.float64):
        splits = rows()
        params = {"hidden_layers": [], "optimizer": optimizer, "l1_penalty": 0.3, "batch_size": 60, **RULES[optimizer]}
        run = start(task_of("regression"), splits, TrialSpec(0, params, 1, 200, health=True), CPU)
        told = [event for event in train_run(run) if isinstance(event, Reported)]
    expected = Lasso(alpha=0.15).fit(splits.train.x.numpy(), splits.train.y.numpy()).coef_
    found = run.model.state_dict()["0.weight"][0].numpy()
    assert found == pytest.approx(expected, abs=2e-3)
    assert ((found == 0) == (expected == 0)).all() and 0 < (found == 0).sum() < 8
    assert told[-1].metrics["health/model/zero_weights"] == (found == 0).mean()
    assert told[0].metrics["health/model/zero_weights"] == 0
    error = np.square(splits.train.x.numpy() @ found + float(run.model.state_dict()["0.bias"]) - splits.train.y.numpy())
    assert told[-1].metrics["val_loss"] == pytest.approx(error.mean())
    assert told[-1].metrics["train_loss"] == pytest.approx(error.mean(), rel=1e-2), "the loss alone is reported"


def test_in_a_stack_each_has_its_own() -> None:
    """Beside members without one, with clipping, biases, batch norm and a slope, which are left alone."""
    with default_dtype(torch.float64):
        base = {"hidden_layers": [6], "batch_size": 16, "learning_rate": 0.02, "activation": "prelu"}
        params = [
            {**base, "l1_penalty": size, "optimizer": optimizer, "grad_clip_norm": clip, "batch_norm": True}
            for size, optimizer, clip in [
                (0.0, "adam", None),
                (0.1, "adam", 0.5),
                (0.02, "sgd", None),
                (0.3, "lion", 1.0),
            ]
        ]
        found = assert_equal_to_alone(task_of("regression"), rows(), params, epochs=6)
    zeros = [float((weights["0.weight"] == 0).double().mean()) for _, weights in found.values()]
    assert zeros[0] == 0 and zeros[1] > 0.2
    assert all((weights["1.weight"] != 0).all() and (weights["4.bias"] != 0).all() for _, weights in found.values())


def test_what_is_held_at_zero_and_what_is_not() -> None:
    weights = torch.tensor([0.5, 0.0, 0.0, 0.1, 0.1, -0.1, 0.0])
    gradients = torch.tensor([0.0, 0.2, 0.5, 0.2, 0.5, 0.0, 0.2])
    penalty = torch.tensor([0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.0])
    pull = Pull(weights, gradients, penalty)
    assert gradients.tolist() == pytest.approx([0.3, 0.2, 0.5, 0.5, 0.8, -0.3, 0.2])
    weights -= gradients
    pull.settle()
    assert weights.tolist() == pytest.approx([0.2, 0.0, -0.5, 0.0, -0.7, 0.0, -0.2])
