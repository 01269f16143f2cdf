"""A threshold that is chosen on validation goes for all metrics of its epoch, alone and in a stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from hpo.events import Reported
from hpo.training.evaluation import predict
from hpo.training.loop import train_run
from hpo.training.run import Run, start
from hpo.training.stack.cohort import Cohort, train_cohort
from hpo.training.vocabulary.thresholds import best_f1

from .tiny import CPU, splits_of, task_of, trials_of

PARAMS: list[dict[str, Any]] = [{"threshold_rule": "best_f1", "learning_rate": 1e-12}, {"threshold": 0.55}, {}]
SPLITS = splits_of("binary", rows=64)  # two full batches: all rows are seen


def alone(runs: list[Run]) -> list[Mapping[str, float]]:
    reported = [[event.metrics for event in train_run(run) if isinstance(event, Reported)] for run in runs]
    return [metrics[-1] for metrics in reported]


def stacked(runs: list[Run]) -> list[Mapping[str, float]]:
    for _ in train_cohort(Cohort(list(runs))):
        pass
    return [run.reports[-1].metrics for run in runs]


@pytest.mark.parametrize("train", [alone, stacked])
def test_all_metrics_of_an_epoch_are_at_the_threshold_chosen_in_it(
    train: Callable[[list[Run]], list[Mapping[str, float]]],
) -> None:
    """In the first epoch already. At a rate of next to nothing the outputs while training are those after it."""
    runs = [start(task_of("binary"), SPLITS, trial, CPU) for trial in trials_of(PARAMS, epochs=1)]
    metrics = train(runs)
    parts = {"train": runs[0].train, "val": runs[0].validation}
    logits = {name: predict(runs[0].task, runs[0].model, split.x, {}) for name, split in parts.items()}
    chosen = best_f1(logits["val"], runs[0].validation.y).item()
    assert metrics[0]["val_threshold"] == runs[0].threshold.probability == pytest.approx(chosen, abs=1e-6) != 0.5
    for name, split in parts.items():
        called = torch.sigmoid(logits[name]) > chosen
        assert metrics[0][f"{name}_accuracy"] == pytest.approx((called == split.y).double().mean().item())
        recall = (called & (split.y > 0)).sum() / split.y.sum()
        assert metrics[0][f"{name}_recall"] == pytest.approx(recall.item())
    assert [run.threshold.probability for run in runs[1:]] == [0.55, 0.5]
    assert not any("val_threshold" in each for each in metrics[1:])
