"""Kinds of splits: in the order of time, by groups, as a column or a second file says; and what of it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import TimeSeriesSplit

from hpo.ledger.study.dataset import dataset_of
from hpo.objective.build import inspect
from hpo.spec.faults import UserError
from hpo.spec.named import Named
from hpo.training.cuts import Fold, Reshuffle
from hpo.training.data.group_split import deal_groups
from hpo.training.data.table_split import cut_groups
from hpo.training.data.tabular import describe_csv, load_csv
from hpo.training.data.time_split import cut_in_time
from hpo.training.task import Kind

from .split_support import ROWS, frame, machine, split, table


@pytest.mark.parametrize("given", [{"time": "day"}, {"time": "day", "split": "time"}])
def test_the_latest_rows_are_the_test(tmp_path: Path, given: dict[str, Any]) -> None:
    data = table(tmp_path, **given)
    assert split(data) == [list(range(72)), list(range(72, 96)), list(range(96, 120))]
    told = "\n".join(describe_csv(data, "binary"))
    assert "validation 25.01.2024 to 05.02.2024; test 06.02.2024 to 17.02.2024" in told
    assert "'day' is no feature, unless `features` names it" in told
    assert split({**data, "test": 0}) == [list(range(96)), list(range(96, 120)), []]


def test_a_time_is_a_feature_where_it_is_asked_for(tmp_path: Path) -> None:
    data = table(tmp_path, time="day", features=["x", "day"])
    assert load_csv(data, "binary").train.x.shape[1] > 5
    assert any("is a feature, as `features` says" in note for note in describe_csv(data, "binary"))


def test_no_moment_is_on_both_sides_of_a_cut() -> None:
    generator = np.random.default_rng(2)
    for moments in (3, 4, 10, 40):
        when = np.append(generator.integers(0, moments, 100), range(moments)).astype(float)
        train, validation, test = cut_in_time(when, 20, 20)
        assert when[train].max() < when[validation].min() <= when[validation].max() < when[test].min()
        assert sorted([*train, *validation, *test]) == list(range(len(when)))
    assert [len(part) for part in cut_in_time(np.array([0.0] * 50 + [1.0] + [2.0] * 3), 10, 10)] == [50, 1, 3]


def test_folds_in_the_order_of_time_are_scikit_learns(tmp_path: Path) -> None:
    when = np.random.default_rng(0).permutation(90).astype(float)
    rest = when.argsort()[:72]
    expected = TimeSeriesSplit(4).split(rest)
    for index, (train, validate) in enumerate(expected):
        found = cut_in_time(when, 18, 18, Fold(index, 4))
        assert [sorted(part) for part in found[:2]] == [sorted(rest[train]), sorted(rest[validate])]
        assert sorted(found[2]) == sorted(when.argsort()[72:])
    data = table(tmp_path, time="day", resample="kfold", folds=3)
    folds = [split(data, cut=Fold(index, 3)) for index in range(3)]
    assert [len(fold[0]) for fold in folds] == [24, 48, 72] and all(fold[2] == list(range(96, 120)) for fold in folds)
    assert "on all rows before each of which a trial trains" in "\n".join(describe_csv(data, "binary", Fold(0, 3)))
    with pytest.raises(UserError, match="5 folds in the order of time need at least 6 different moments"):
        cut_in_time(np.arange(120.0) // 20, 24, 24, Fold(0, 5))


def in_how_many(parts: list[list[int]]) -> set[int]:
    return {sum(any(machine(row) == name for row in part) for part in parts) for name in map(machine, range(20))}


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_no_group_is_in_two_splits(tmp_path: Path, kind: Kind) -> None:
    made = frame()
    if kind == "regression":
        made["y"] = made["x"] * 1.5
    data = table(tmp_path, made, group="machine")
    whole = split(data, kind)
    assert in_how_many(whole) == {1} and [len(part) for part in whole] == [72, 24, 24]
    folds = [split({**data, "resample": "kfold"}, kind, Fold(index, 5)) for index in range(5)]
    assert all(in_how_many(fold) == {1} and fold[2] == whole[2] for fold in folds)
    assert sorted(row for fold in folds for row in fold[1]) == sorted(whole[0] + whole[1])
    first, again, other = (split({**data, "resample": "reshuffle"}, kind, Reshuffle(seed)) for seed in (1, 1, 2))
    assert first == again != other and first[2] == whole[2] and in_how_many(other) == {1}
    assert split({**data, "split_seed": 4}, kind) != whole
    assert "20 groups, 12 for training, 4 for validation and 4 for test" in "\n".join(describe_csv(data, kind))


@pytest.mark.parametrize(
    ("sizes", "shares"),
    [
        ([5] * 60, (0.6, 0.2, 0.2)),
        ([100] + [1] * 20, (0.83, 0.083, 0.083)),
        ([40, 30, 20, 5, 5, 5, 5], (0.6, 0.2, 0.2)),
    ],
)
def test_shares_are_of_rows_and_classes_alike(sizes: list[int], shares: tuple[float, ...]) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    part = deal_groups(groups, np.zeros(len(groups)), (0.6, 0.2, 0.2), 0)
    assert np.bincount(part) / len(groups) == pytest.approx(shares, abs=0.1)
    labels = np.arange(300) % 10 == 0
    part = deal_groups(np.random.default_rng(1).integers(0, 60, 300), labels, (0.6, 0.2, 0.2), 0)
    assert [labels[part == each].mean() for each in range(3)] == pytest.approx([0.1] * 3, abs=0.03)


def test_three_groups_are_enough_and_whole_numbers_are_one_group() -> None:
    parts = cut_groups(np.repeat(["a", "b", "c"], 10), np.zeros(30), 0.2, 0.2, 0)
    assert [len(part) for part in parts] == [10, 10, 10]
    with pytest.raises(UserError, match="5 folds need at least 5 groups besides those of the test rows, but there are"):
        cut_groups(np.repeat(list("abcdef"), 10), np.zeros(60), 0.2, 0.4, 0, Fold(0, 5))


def test_7_and_7_point_0_are_one_group(tmp_path: Path) -> None:
    made = frame().assign(machine=lambda own: own.x.map(lambda row: f"{row // 6}{'.0' if row % 2 else ''}"))
    assert any("20 groups" in note for note in describe_csv(table(tmp_path, made, group="machine"), "binary"))


def test_a_column_says_it(tmp_path: Path) -> None:
    data = table(tmp_path, split_column="part")
    rows = [[row for row in range(ROWS) if row % 6 in own] for own in ((0, 1, 2), (3, 4), (5,))]
    assert split(data) == rows
    without = frame().assign(part=lambda own: own.part.replace({"val": "train", "Dev": "train"}))
    data = table(tmp_path, without, split_column="part")
    train, validation, test = split(data)
    assert test == rows[2] and sorted(train + validation) == sorted(rows[0] + rows[1]) and len(validation) == 20
    assert any(
        "which has no validation rows: they are cut from the training" in n for n in describe_csv(data, "binary")
    )
    assert len(split({**data, "validation": 0.5})[1]) == 50
    assert len(split({**data, "resample": "kfold", "folds": 4}, cut=Fold(0, 4))[1]) == 25


def test_a_second_file_has_the_test_rows(tmp_path: Path) -> None:
    made = frame()
    late = made[made.x >= 90]
    late[["y", "day", "x", "machine"]].assign(more=1).to_csv(tmp_path / "late.csv", index=False)
    data = table(tmp_path, made[made.x < 90], test_csv=str(tmp_path / "late.csv"), drop=["part"])
    del data["features"]
    for keys in ({}, {"split": "random"}, {"time": "day"}, {"split": "given"}):
        found = load_csv({**data, **keys}, "binary")
        assert found.test.x[:, 0].int().tolist() == late.x.tolist() and len(found.validation) == 18
        assert "not used, as only " in "\n".join(found.notes)
    assert split({**data, "resample": "kfold"}, cut=Fold(1, 5))[2] == list(range(90, 120))
    only = dataset_of(data, "", 0.0, {})
    assert only["rows"] == 120 and only["name"] == "t.csv"
    late.to_csv(tmp_path / "late.csv", index=False)
    assert dataset_of(data, "", 0.0, {})["digest"] != only["digest"]


def test_a_sweep_knows_both_files(tmp_path: Path) -> None:
    """Relative to the sweep file's folder, and with a digest each."""
    made = frame()
    table(tmp_path, made[made.x < 90], "a.csv")
    table(tmp_path, made[made.x >= 90], "b.csv")
    data = {"csv": "a.csv", "target": "y", "test_csv": "b.csv"}
    found = inspect(Named("objectives.binary", None, (), data, "val_loss", (), tmp_path))
    assert not found.faults and {"a.csv", "b.csv"} <= set(found.sources)
    wrong = inspect(Named("objectives.binary", None, (), {**data, "test_csv": "c.csv"}, "val_loss", (), tmp_path))
    assert [fault.path for fault in wrong.faults] == [("data", "test_csv")]


def test_the_table_as_it_is_used_is_told(tmp_path: Path) -> None:
    made = frame().assign(flag=lambda own: own.x % 3 > 1)
    data = {key: given for key, given in table(tmp_path, made, drop=["part"]).items() if key != "features"}
    notes = describe_csv(data, "binary")
    assert notes[1].endswith("(shares of the rows: 60.0%, 40.0%); the positive class is 'yes'")
    assert "from 1 of numbers, 1 of true or false, 1 of dates and 1 of text, fitted on the 72" in notes[-1]
    made["y"] = made["x"] * 2.0
    notes = describe_csv(table(tmp_path, made), "regression")
    assert "target 'y': numbers from 0 to 238, on average 119 (standard deviation 69.3)" in notes
    assert notes[-1] == "1 features in all, from a column of numbers, fitted on the 72 training rows"


@pytest.mark.parametrize(
    "when",
    [lambda row: 20200101 + row // 4, lambda row: 2000 + row / 4, lambda row: f"{2014 + row // 12}.{row % 12 + 1:02d}"],
)
def test_numbers_that_are_in_order_are_taken(tmp_path: Path, when: Any) -> None:
    made = frame()
    made["day"] = made["x"].map(when)
    train, validation, test = split(table(tmp_path, made, time="day"))
    assert max(train) < min(validation) and max(validation) < min(test)


def test_groups_are_the_same_however_a_number_is_written(tmp_path: Path) -> None:
    made = frame()
    made["machine"] = [f"-{row % 20 + 1}" + (".0" if row % 3 else "") for row in made["x"]]
    assert any("20 groups" in note for note in describe_csv(table(tmp_path, made, group="machine"), "binary"))
