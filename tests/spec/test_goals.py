"""A metric's goal is its own, or what its name says: no sweep minimizes an accuracy since nobody said otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hpo.spec.goals import goal_by_name


@pytest.mark.parametrize(
    "name",
    [
        "accuracy",
        "val_accuracy",
        "acc",
        "val-acc",
        "Accuracy",
        "eval/acc",
        "valAcc",
        "top1-acc",
        "roc_auc",
        "AUC",
        "f1",
        "f1_score",
        "F1Score",
        "macro f1",
        "r2",
        "val_r2_score",
        "R^2",
        "precision@10",
        "mean_iou",
        "mIoU",
        "mAP50",
        "BLEU-4",
        "episode_reward",
        "average_precision",
        "log_likelihood",
        "neg_mean_squared_error",
        "neg_log_loss",
        "neg_rmse",
        "cohen_kappa",
    ],
)
def test_larger_is_better(name: str) -> None:
    assert goal_by_name(name) == "maximize"


@pytest.mark.parametrize(
    "name",
    [
        "loss",
        "val_loss",
        "validation.loss",
        "ValLoss",
        "error",
        "top5_error",
        "RMSE",
        "val_rmse",
        "mae",
        "cross_entropy",
        "crossentropy",
        "binary_cross_entropy",
        "log_loss",
        "nll",
        "negative_log_likelihood",
        "neg_log_likelihood",
        "perplexity",
        "brier_score",
        "WER",
        "hinge",
        "kl_divergence",
        "expected_calibration_error",
    ],
)
def test_smaller_is_better(name: str) -> None:
    assert goal_by_name(name) == "minimize"


@pytest.mark.parametrize(
    "name",
    [
        "score",
        "objective",
        "value",
        "x",
        "accuracy_loss",
        "metric",
        "glossy",
        "place",
        "error_recall",
        "f1_negative",
        "negative_f1",
        "recall_neg",
        "accuracy_std",
        "true_negative_accuracy",
        "false_negative_error",
        "loss_neg",
        "val_accuracy_variance",
        "acc_gap",
        "accuracy_drop",
        "time_to_accuracy",
        "test_accuracy_diff",
        "error_reduction",
        "cost_savings",
        "loss_weight",
        "accuracy_threshold",
        "best_epoch_accuracy_step",
    ],
)
def test_nothing_is_known(name: str) -> None:
    assert goal_by_name(name) is None


@pytest.mark.parametrize(("name", "goal"), [("accuracy", "maximize"), ("eval/loss", "minimize")])
def test_the_name_decides_where_nobody_does(load: Callable[..., Any], name: str, goal: str) -> None:
    sweep = load(f"metric: {{name: {name}}}")
    assert sweep.metric.goal == goal
    assert f"{name} is to {goal}, by its name (metric.goal says otherwise)" in sweep.notes


def test_a_goal_against_the_name_is_told(load: Callable[..., Any]) -> None:
    sweep = load("metric: {name: accuracy, goal: minimize}")
    assert sweep.metric.goal == "minimize"
    assert "metric.goal is to minimize accuracy, though by its name higher is better" in sweep.notes
    assert not any("accuracy" in note for note in load("metric: {name: accuracy, goal: maximize}").notes)


def test_a_metric_of_which_nothing_is_known_needs_a_goal(faults: Callable[..., list[str]]) -> None:
    (fault,) = faults("metric: {name: fitness}")
    assert "nothing says whether a trial is better with a higher or a lower fitness" in fault
    assert "goal: maximize, or goal: minimize" in fault
