"""The perceptron rule: weights change on mistakes only, boundedly often where a line separates the classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hpo.events import Reported, TrialSpec
from hpo.training.loop import train_run
from hpo.training.run import Run, start
from hpo.training.seeding import streams
from hpo.training.task import Split, Splits

from .tiny import CPU, assert_equal_to_alone, task_of

RULE: dict[str, Any] = {
    "loss": "perceptron", "hidden_layers": [], "batch_size": 1, "optimizer": "sgd", "learning_rate": 1.0,
    "initializer": "xavier_uniform", "init_scale": 0.0,
}  # fmt: skip
XOR = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def splits_with(x: torch.Tensor, y: torch.Tensor) -> Splits:
    split = Split(x, y)
    return Splits(split, split, split)


def separable(seed: int) -> tuple[Splits, float]:
    """Return 20 rows that a line separates, and what the mistakes are bounded by (Novikoff 1962): (R / margin)^2, with
    a column of ones for the bias."""
    rng = np.random.default_rng(seed)
    line = np.array([1.0, -2.0, 0.5])
    x = rng.uniform(-1, 1, (200, 2))
    rows = np.column_stack([x, np.ones(len(x))])
    score = rows @ line / np.linalg.norm(line)
    kept = np.flatnonzero(np.abs(score) > 0.15)[:20]
    bound = np.square(np.linalg.norm(rows[kept], axis=1).max() / np.abs(score[kept]).min())
    assert {False, True} == set((score[kept] > 0).tolist())
    return splits_with(torch.tensor(x[kept]).float(), torch.tensor(score[kept] > 0).float()), float(bound)


def trained(splits: Splits, epochs: int, seed: int = 1) -> tuple[Run, list[float]]:
    """Return the run, and its mistakes in each epoch."""
    run = start(task_of("binary"), splits, TrialSpec(0, RULE, seed, epochs), CPU)
    told = [event for event in train_run(run) if isinstance(event, Reported)]
    return run, [event.metrics["train_mistakes"] for event in told]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_converges_within_the_bound(seed: int) -> None:
    splits, bound = separable(seed)
    run, mistakes = trained(splits, 30, seed)
    assert 0 < sum(mistakes) <= bound
    assert mistakes[-1] == 0 and run.reports[-1].metrics["val_mistakes"] == 0
    assert run.reports[-1].metrics["val_accuracy"] == 1


def test_it_never_learns_xor() -> None:
    _, mistakes = trained(splits_with(XOR, torch.tensor([0.0, 1.0, 1.0, 0.0])), 40)
    assert min(mistakes) >= 1


def test_weights_are_those_of_rosenblatts_rule() -> None:
    """Row by row, by hand; an output of 0 is a mistake: else nothing would ever change from weights of 0."""
    splits, _ = separable(4)
    run, mistakes = trained(splits, 5)
    x, y, order = splits.train.x.double(), 2 * splits.train.y - 1, streams(1, CPU).order
    weight, bias, counted = torch.zeros(2).double(), 0.0, []
    for _ in range(5):
        counted.append(0)
        for row in torch.randperm(len(x), generator=order).tolist():
            if y[row] * (weight @ x[row] + bias) <= 0:
                weight, bias = weight + y[row] * x[row], bias + float(y[row])
                counted[-1] += 1
    assert mistakes == counted
    found = run.model.state_dict()
    assert torch.allclose(found["0.weight"][0].double(), weight, atol=1e-5)
    assert float(found["0.bias"]) == pytest.approx(bias)


def test_the_same_in_a_stack_beside_other_losses() -> None:
    splits, _ = separable(5)
    others = [{**RULE, "loss": "bce"}, {**RULE, "init_scale": 1.0}]
    found = assert_equal_to_alone(task_of("binary"), splits, [RULE, *others], epochs=3)
    reported = [{name for name in events[0].metrics if name.endswith("mistakes")} for events, _ in found.values()]
    assert reported == [{"train_mistakes", "val_mistakes"}, set(), {"train_mistakes", "val_mistakes"}]
