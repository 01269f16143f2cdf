"""Wrong labels: found by rows' out-of-bag probabilities, weighted, or learned last."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification

from hpo.training.task import Split
from hpo.training.vocabulary.labels import CURRICULA, SUSPECT_LABELS, label_evidence, row_weights


@pytest.fixture(scope="module")
def noisy() -> tuple[Split, torch.Tensor]:
    """400 rows of two classes, and which labels are wrong: one in ten."""
    x, y = make_classification(400, 6, n_informative=4, n_redundant=0, class_sep=1.5, flip_y=0, random_state=0)
    wrong = np.random.default_rng(0).random(400) < 0.1
    return Split(torch.from_numpy(x).float(), torch.from_numpy(np.where(wrong, 1 - y, y)).float()), torch.from_numpy(
        wrong
    )


def weights_of(split: Split, epoch: int = 0, **params: Any) -> torch.Tensor:
    weights = row_weights("binary", split, params)
    assert weights is not None
    return weights.at(epoch)


def test_wrong_labels_are_suspected(noisy: tuple[Split, torch.Tensor]) -> None:
    split, wrong = noisy
    found = label_evidence(split)
    assert found.suspected[wrong].mean() > 0.6 and found.suspected[~wrong].mean() < 0.05
    again = label_evidence(Split(split.x, split.y))
    assert np.array_equal(again.suspected, found.suspected) and np.array_equal(again.difficulty, found.difficulty)


def test_a_rare_class_is_not_suspected_for_being_rare() -> None:
    x, y = make_classification(1000, 10, n_informative=6, weights=[0.95], flip_y=0, class_sep=1.5, random_state=0)
    split = Split(torch.from_numpy(x).float(), torch.from_numpy(y).float())
    assert label_evidence(split).suspected[y == 1].mean() < 0.1
    first = weights_of(split, curriculum="easy_first", curriculum_start=0.2)
    assert (first[split.y == 1] > 0).float().mean().item() == pytest.approx(0.2, abs=0.03)


def test_suspected_rows_count_less(noisy: tuple[Split, torch.Tensor]) -> None:
    split, _ = noisy
    weights = weights_of(split, suspect_labels="downweight", suspect_weight=0.25)
    assert weights.mean().item() == pytest.approx(1)
    low, high = sorted(set(weights.tolist()))
    assert low == pytest.approx(high / 4)
    assert np.array_equal((weights == weights.min()).numpy(), label_evidence(split).suspected)


def test_easy_rows_come_first_and_all_in_the_end(noisy: tuple[Split, torch.Tensor]) -> None:
    split, wrong = noisy
    at = [
        weights_of(split, epoch, curriculum="easy_first", curriculum_start=0.25, curriculum_epochs=3)
        for epoch in range(5)
    ]
    assert [int((each > 0).sum()) for each in at] == [100, 200, 300, 400, 400]
    assert all(bool(((before > 0) <= (after > 0)).all()) for before, after in itertools.pairwise(at))
    assert all(each.mean().item() == pytest.approx(1, abs=1e-5) for each in at)
    assert int((wrong & (at[0] > 0)).sum()) <= 2  # wrong labels wait


def test_a_column_of_weights_is_multiplied(noisy: tuple[Split, torch.Tensor]) -> None:
    split, _ = noisy
    given = torch.arange(400).remainder(4).float()
    weighted = Split(split.x, split.y, given)
    assert torch.allclose(weights_of(weighted), given / given.mean())
    both = weights_of(weighted, suspect_labels="downweight")
    only = weights_of(split, suspect_labels="downweight")
    assert torch.equal(both > 0, (given > 0) & (only > 0))
    late = weights_of(weighted, 10, curriculum="easy_first")
    assert torch.allclose(late, given / given.mean())


def test_nothing_asked_for_is_no_weights(noisy: tuple[Split, torch.Tensor]) -> None:
    split, _ = noisy
    assert row_weights("binary", split, {}) is None and row_weights("regression", split, {}) is None
    assert row_weights("regression", Split(split.x, split.y, split.y + 1), {}) is not None


def test_what_makes_no_sense(noisy: tuple[Split, torch.Tensor]) -> None:
    split, _ = noisy
    with pytest.raises(ValueError, match="no training row has a weight above 0"):
        row_weights("binary", Split(split.x, split.y, torch.zeros(400)), {})
    with pytest.raises(ValueError, match="takes no hyperparameters, but got suspect_weight"):
        row_weights("binary", split, {"suspect_weight": 0.1})
    for weight in (split.y[:, None], split.y[1:], split.y - 2, split.y / 0):
        with pytest.raises(ValueError, match=r"a split's weights? must"):
            row_weights("binary", Split(split.x, split.y, weight), {})
    one_class = Split(split.x, torch.ones(400))
    assert weights_of(one_class, suspect_labels="downweight").unique().tolist() == [1.0]


@pytest.mark.parametrize("registry", [SUSPECT_LABELS, CURRICULA], ids=["suspect_labels", "curriculum"])
def test_defaults_are_allowed(registry: Any) -> None:
    for name, known in registry.known().items():
        assert known.objection(known.default) == "", name
