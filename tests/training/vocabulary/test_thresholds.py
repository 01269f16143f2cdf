"""Thresholds: the largest F1 there is, where it is found, and which tasks have one."""

from __future__ import annotations

import math

import pytest
import sklearn.metrics as sk
import torch
from torch import Tensor

from hpo.training.contract import contract_of, with_defaults
from hpo.training.vocabulary.metrics import are_called
from hpo.training.vocabulary.thresholds import (
    THRESHOLD_RULES,
    Threshold,
    best_f1,
    logit_of,
    threshold_of,
    thresholds_now,
)

from ..tiny import task_of


def drawn(seed: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Return logits of a model that knows a little, and labels of which one in five is 1."""
    generator = torch.Generator().manual_seed(seed)
    y = (torch.rand(80, generator=generator) < 0.2).to(dtype)
    return (y + torch.randn(80, generator=generator, dtype=dtype) - 2) * (1 + seed % 5), y


def largest_f1(logits: Tensor, y: Tensor) -> float:
    precision, recall, _ = sk.precision_recall_curve(y.numpy(), logits.numpy())
    return float((2 * precision * recall / (precision + recall).clip(1e-12)).max())


def f1_at(threshold: Tensor, logits: Tensor, y: Tensor) -> float:
    return float(sk.f1_score(y.numpy(), are_called(logits, logit_of(threshold)).numpy(), zero_division=0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rounded", [False, True])
def test_no_threshold_has_a_larger_f1(dtype: torch.dtype, rounded: bool) -> None:
    """As scikit-learn's curve of precision and recall has them; a stack's models each get what they get alone."""
    cases = [drawn(seed, dtype) for seed in range(20)]
    cases = [(logits.round() if rounded else logits, y) for logits, y in cases]
    together = best_f1(torch.stack([logits for logits, _ in cases]), torch.stack([y for _, y in cases]))
    assert (together < 0.5).sum() > 10
    for found, (logits, y) in zip(together, cases, strict=True):
        assert best_f1(logits, y).item() == pytest.approx(found.item(), rel=1e-12)
        assert f1_at(found, logits, y) == pytest.approx(largest_f1(logits, y), abs=1e-12)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


@pytest.mark.parametrize(
    ("logits", "y", "expected"),
    [
        ([-3.0, -1.0, 2.0], [0, 0, 1], 0.5),  # which is in the best gap
        ([-3.0, -1.0], [0, 1], 1 / (1 + math.exp(2))),  # halfway
        ([1.0, 3.0], [0, 1], 1 / (1 + math.exp(-2))),
        ([-4.0, -3.0, -2.0, 1.0, 2.0], [1, 0, 0, 0, 1], 1 / (1 + math.exp(-1.5))),
        ([-9.0, -8.0, -7.0, -6.0, -5.0, -4.0], [1, 0, 0, 1, 0, 1], 1 / (1 + math.exp(6.5))),  # F1 as if all were called
        ([logit(0.2)] * 4, [0, 0, 0, 1], 0.1),  # all alike: all are called, from half of what they have
        ([2.0] * 3, [0, 1, 0], 0.5),  # they are called anyway
        ([-3.0, -1.0], [0, 0], 0.5),  # one class
        ([-3.0, -1.0], [1, 1], 0.5),
        ([-50.0, -40.0], [0, 1], 0.5),  # none that could be written down
        ([-math.inf, math.nan], [0, 1], 0.5),  # of a model that went astray in a stack
    ],
)
def test_where_it_is(logits: list[float], y: list[int], expected: float) -> None:
    assert best_f1(torch.tensor(logits), torch.tensor(y).float()).item() == pytest.approx(expected, rel=1e-6)


def test_of_equals_the_nearest_to_one_half_is_taken() -> None:
    """F1 is 2 / 3 above -3, and above 1: the second is nearer to a logit of 0."""
    logits, y = torch.tensor([-4.0, -2.0, -1.0, 0.5, 1.5]), torch.tensor([0.0, 1, 0, 0, 1])
    assert [f1_at(torch.tensor(p), logits, y) for p in (1 / (1 + math.exp(3)), 1 / (1 + math.exp(-1)))] == [2 / 3] * 2
    assert best_f1(logits, y).item() == pytest.approx(1 / (1 + math.exp(-1)))


@pytest.mark.parametrize("high", [0.01, 1.0, 7.0, 20.0, -7.0, -20.0])
def test_neighbours_are_told_apart_by_the_number_that_is_kept(high: float) -> None:
    """A threshold is kept as a probability, in records and files; float32 has nothing between these two logits."""
    upper = torch.tensor(high)
    lower = torch.nextafter(upper, torch.tensor(-99.0))
    logits, y = torch.stack([lower, upper]), torch.tensor([0.0, 1.0])
    assert are_called(logits, logit_of(float(best_f1(logits, y)))).tolist() == [False, True]


def test_each_run_has_its_own() -> None:
    (logits, y), (others, theirs) = drawn(1), drawn(2)
    runs = [Threshold(), Threshold(THRESHOLD_RULES["best_f1"], 0.2), Threshold(probability=0.3)]
    stack, targets = torch.stack([logits, others, logits]), torch.stack([y, theirs, y])
    chosen, standing = thresholds_now(runs, stack, targets), thresholds_now(runs, stack, None)
    assert chosen is not None and chosen.tolist() == [0.5, best_f1(others, theirs).item(), 0.3]
    assert standing is not None and standing.tolist() == [0.5, 0.2, 0.3]
    assert thresholds_now([Threshold(), Threshold()], stack[:2], targets[:2]) is None


def test_which_hyperparameters_there_are() -> None:
    contract = contract_of(task_of("binary"))
    complete = with_defaults(contract, {})
    assert (complete["threshold_rule"], complete["threshold"]) == ("fixed", 0.5)
    assert "threshold" not in with_defaults(contract, {"threshold_rule": "best_f1"})
    assert not {"threshold_rule", "threshold"} & with_defaults(contract, {"loss": "hinge"}).keys()
    for kind in ("multiclass", "regression"):
        assert not {"threshold_rule", "threshold"} & contract_of(task_of(kind)).parameters.keys()
        assert threshold_of(kind, {}) == Threshold()
    own = contract_of(task_of("binary", parameters={"threshold_rule": None})).parameters
    assert not {"threshold_rule", "threshold"} & own.keys()


def test_what_can_not_be_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"threshold must be a number in \(0, 1\), but got 1.0"):
        threshold_of("binary", {"threshold": 1.0})
    with pytest.raises(ValueError, match=r"'best_f1' takes no hyperparameters, but got threshold=0\.3"):
        threshold_of("binary", {"threshold_rule": "best_f1", "threshold": 0.3})
    with pytest.raises(ValueError, match="did you mean 'best_f1'"):
        threshold_of("binary", {"threshold_rule": "bestf1"})
