"""Folds and reshuffled splits: each row where it belongs, what is fitted by the training rows, no test rows at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split

from hpo.spec.faults import UserError
from hpo.training.cuts import Fold, Reshuffle
from hpo.training.data.csv_check import check_csv
from hpo.training.data.splitting import check_shares, drawn_as_by_scikit_learn, shared_out, split_arrays, split_indices
from hpo.training.data.tabular import load_csv
from hpo.training.task import Kind

ROWS, MARK = 103, 1e6
CUTS = [None, *(Fold(index, 5) for index in range(5)), Reshuffle(1), Reshuffle(2)]


def targets(kind: Kind) -> np.ndarray[Any, Any]:
    generator = np.random.default_rng(3)
    return generator.normal(size=ROWS) if kind == "regression" else generator.integers(0, 3, ROWS)


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_each_row_validates_once_and_the_test_rows_are_the_same_always(kind: Kind) -> None:
    y = targets(kind)
    _, _, test = split_indices(y, kind)
    validated = []
    for index in range(5):
        train, validate, kept = split_indices(y, kind, cut=Fold(index, 5))
        assert np.array_equal(kept, test)
        assert sorted([*train, *validate, *kept]) == list(range(ROWS))
        validated.append(validate)
    assert sorted(np.concatenate(validated)) == sorted(set(range(ROWS)) - set(test))
    sizes = [len(rows) for rows in validated]
    assert max(sizes) - min(sizes) <= 1
    if kind == "multiclass":  # each class in its own share
        for label in range(3):
            counts = [int((y[rows] == label).sum()) for rows in validated]
            assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_a_reshuffle_is_a_split_by_its_seed(kind: Kind) -> None:
    y = targets(kind)
    whole = split_indices(y, kind)
    first, again, other = (split_indices(y, kind, cut=Reshuffle(seed)) for seed in (1, 1, 2))
    for one, same, different, usual in zip(first, again, other, whole, strict=True):
        assert np.array_equal(one, same) and len(one) == len(different) == len(usual)
    assert not np.array_equal(first[1], other[1]) and not np.array_equal(first[1], whole[1])
    assert np.array_equal(first[2], other[2]) and np.array_equal(first[2], whole[2])
    assert not set(first[1]) & set(first[0])


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_a_marker_in_the_test_rows_is_never_seen(cut: Any, tmp_path: Path) -> None:
    """Neither as a row, nor in what is fitted; and what is fitted is fitted on the cut's own training rows."""
    y = targets("binary") % 2
    x = np.random.default_rng(4).normal(size=(ROWS, 3))
    _, _, test = split_indices(y, "binary")
    clean = split_arrays(x, y, "binary", cut=cut)
    x[test] = MARK
    marked = split_arrays(x, y, "binary", cut=cut)
    for before, after in ((clean.train, marked.train), (clean.validation, marked.validation)):
        assert torch.equal(before.x, after.x) and torch.equal(before.y, after.y)
    assert marked.train.x.double().mean(0).abs().max() < 1e-6
    assert marked.validation.x.double().mean(0).abs().max() > 1e-3

    words = np.where(np.isin(np.arange(ROWS), test), "marker", "usual")
    words[np.setdiff1d(np.arange(ROWS), test)[::2]] = "other"
    lines = [f"{a},{word},{label}" for a, word, label in zip(x[:, 0], words, y, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["a,word,y", *lines]))
    table = load_csv({"csv": str(tmp_path / "t.csv"), "target": "y"}, "binary", cut)
    assert table.train.x.abs().max() < 100 and table.validation.x.abs().max() < 100
    assert table.preprocessing is not None and "marker" not in str(table.preprocessing.plain())
    assert table.test.x.abs().max() > 1000  # it was there


def test_folds_may_have_other_columns(tmp_path: Path) -> None:
    """A category of rows that validate is unknown to the rows that train."""
    y = np.arange(60) % 2
    _, rare, _ = split_indices(y, "binary", cut=Fold(1, 3))
    words = ["rare" if row in rare[:4] else ["usual", "other"][row % 3 % 2] for row in range(60)]
    lines = [f"{row * 0.5},{word},{label}" for row, (word, label) in enumerate(zip(words, y, strict=True))]
    (tmp_path / "t.csv").write_text("\n".join(["a,word,y", *lines]))
    data = {"csv": str(tmp_path / "t.csv"), "target": "y"}
    assert [load_csv(data, "binary", Fold(index, 3)).train.x.shape[1] for index in range(3)] == [4, 3, 4]


def test_a_table_that_is_cut_again_is_read_once_unless_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hpo.training.data.tabular as tabular

    reads = []
    read_table = tabular.read_table
    monkeypatch.setattr(tabular, "read_table", lambda *given: reads.append(given) or read_table(*given))
    file = tmp_path / "t.csv"
    file.write_text("\n".join(["a,y", *(f"{row},{row % 2}" for row in range(40))]))
    data = {"csv": str(file), "target": "y"}
    first = load_csv(data, "binary", Fold(0, 2))
    load_csv(data, "binary", Fold(1, 2))
    assert len(reads) == 1 and torch.equal(load_csv(data, "binary", Fold(0, 2)).train.x, first.train.x)
    file.write_text("\n".join(["a,y", *(f"{row * row},{row % 2}" for row in range(40))]))
    assert not torch.equal(load_csv(data, "binary", Fold(0, 2)).train.x, first.train.x)
    assert len(reads) == 2


def test_what_cannot_be_cut_is_told_before_anything_runs(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("\n".join(["a,y", *(f"{row},{'no' if row < 5 else 'yes'}" for row in range(40))]))
    data = {"csv": str(file), "target": "y", "resample": "kfold"}
    (fault,) = check_csv(data, "binary")
    assert fault.path == ("resample",) and "for each of 5 folds, besides the test rows, but got no (4)" in fault.message
    assert check_csv({**data, "folds": 4}, "binary") == []
    with pytest.raises(UserError, match="5 folds need at least 5 rows besides the test rows, but class 0 has 4"):
        split_indices(np.array([0] * 5 + [1] * 35), "binary", cut=Fold(0, 5))
    for keys, path, text in (
        ({"folds": 3}, "folds", "belongs to resample: kfold"),
        ({"resample": "kfold", "validation": 0.3}, "validation", "means nothing beside resample: kfold"),
    ):
        (fault,) = check_shares(keys)
        assert fault.path == (path,) and text in fault.message
    (fault,) = check_csv({**data, "resample": "kfolds"}, "binary")
    assert fault.path == ("resample",) and "kfold" in fault.remedy


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_a_random_split_is_scikit_learns(kind: Kind) -> None:
    """Whoever wrote train_test_split in a script has the same rows here."""
    y, rows = targets(kind), np.arange(ROWS)
    rest, final = train_test_split(rows, test_size=0.2, random_state=42)
    train, validation = train_test_split(rest, test_size=21, random_state=42)
    found = split_indices(y, kind, seed=42, split="random")
    assert [sorted(part) for part in (train, validation, final)] == [list(part) for part in found]
    rest, final = train_test_split(rows, test_size=0.2, random_state=42)
    train, validation, none = split_indices(y, kind, test=0, seed=42, split="random")
    assert [list(train), list(validation), list(none)] == [sorted(rest), sorted(final), []]


def test_a_random_split_has_folds_and_the_same_test_rows() -> None:
    y = targets("multiclass")
    _, _, test = split_indices(y, "multiclass", split="random")
    parts = [split_indices(y, "multiclass", cut=Fold(index, 4), split="random") for index in range(4)]
    assert all(np.array_equal(kept, test) for _, _, kept in parts)
    assert sorted(np.concatenate([validate for _, validate, _ in parts])) == sorted(set(range(ROWS)) - set(test))


def test_a_random_split_that_loses_a_class_is_refused() -> None:
    y = np.zeros(40)
    y[0] = 1
    seed = next(
        seed for seed in range(99) if 0 not in split_indices(np.zeros(40), "regression", seed=seed, split="random")[0]
    )
    with pytest.raises(UserError, match=r"leaves class 1 no row to train on .*data.split: stratified"):
        split_indices(y, "binary", seed=seed, split="random")


def test_no_test_rows_and_no_scale() -> None:
    x = np.random.default_rng(0).normal(5, 3, (50, 2)).astype(np.float32)
    y = np.arange(50) % 2
    splits = split_arrays(x, y, "binary", test=0, scale=False)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [40, 10, 0]
    assert {row.numpy().tobytes() for row in splits.train.x} <= {row.tobytes() for row in x}
    assert "2 features, as they are" in splits.notes


@pytest.mark.parametrize("seed", [0, 1, 42, 2**32 - 1])
@pytest.mark.parametrize("rows", [3, 10, 99, 1000, 20_001])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.35])
def test_rows_are_drawn_as_scikit_learn_draws_them(rows: int, share: float, seed: int) -> None:
    validating, testing = shared_out(rows, 0.2, share, "random")
    training, kept = np.arange(rows), np.arange(0)
    if testing:
        training, kept = train_test_split(training, test_size=testing, random_state=seed)
    training, validation = train_test_split(training, test_size=validating, random_state=seed)
    drawn = drawn_as_by_scikit_learn(rows, validating, testing, seed)
    assert drawn.tolist() == [*training, *validation, *kept]


def test_a_seed_that_scikit_learn_has_not_is_refused_for_a_random_split() -> None:
    data = {"split": "random", "split_seed": 2**32}
    assert [(fault.path, fault.message) for fault in check_shares(data)] == [
        (("split_seed",), "must be below 4294967296 with split: random, as for train_test_split, but got 4294967296")
    ]
    assert check_shares({"split_seed": 2**32}) == []
