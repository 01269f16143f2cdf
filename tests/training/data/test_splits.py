"""Kinds of splits: in the order of time, by groups, as a column or a second file says; and what of it is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import TimeSeriesSplit

from hpo.ledger.study.dataset import dataset_of
from hpo.objective.build import inspect
from hpo.spec.faults import SpecError, UserError, render_fault
from hpo.spec.load import Named
from hpo.training.cuts import Cut, Fold, Reshuffle
from hpo.training.data.csv_check import check_csv
from hpo.training.data.group_split import deal_groups
from hpo.training.data.table_split import cut_groups
from hpo.training.data.tabular import describe_csv, load_csv
from hpo.training.data.time_split import cut_in_time
from hpo.training.task import Kind

ROWS = 120


def machine(row: int) -> str:
    return f"m{row * 7 % 20}"


def frame() -> pd.DataFrame:
    """Rows of which `x` is the row's number, in a random order of the file; six a machine, two a day."""
    day = pd.date_range("2023-12-20", periods=ROWS // 2)
    made = pd.DataFrame({
        "x": range(ROWS),
        "machine": [machine(row) for row in range(ROWS)],
        "day": [day[row // 2].strftime("%d.%m.%Y") for row in range(ROWS)],
        "part": [("Train", "TRAINING", "train ", "val", "Dev", "holdout")[row % 6] for row in range(ROWS)],
        "y": ["yes" if row % 5 in (1, 2) else "no" for row in range(ROWS)],
    })  # fmt: skip
    return made.sample(frac=1, random_state=3)


def table(folder: Path, made: pd.DataFrame | None = None, name: str = "t.csv", **keys: Any) -> dict[str, Any]:
    (frame() if made is None else made).to_csv(folder / name, index=False)
    return {"csv": str(folder / name), "target": "y", "scale": False, "features": ["x"], **keys}


def split(data: dict[str, Any], kind: Kind = "binary", cut: Cut | None = None) -> list[list[int]]:
    """Return the rows, by `x`, of train, validation and test."""
    found = load_csv(data, kind, cut)
    return [sorted(part.x[:, 0].int().tolist()) for part in (found.train, found.validation, found.test)]


def faults(data: dict[str, Any], kind: Kind = "binary") -> str:
    return "\n".join(map(render_fault, check_csv(data, kind)))


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


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"split": "random", "time": "day"}, "time: 'time' belongs to split: time, but this is split: random"),
        ({"time": "day", "group": "machine"}, "group: 'time' and 'group' each imply a split of their own"),
        ({"split": "group"}, "split: split: group needs 'group', the column that says it"),
        ({"split": "given"}, "(e.g. split_column: part, or test_csv: other.csv)"),
        ({"group": 3}, "group: must be the name of a column, but got 3"),
        ({"group": "machin"}, "group: there is no column 'machin' (did you mean 'machine'?"),
        ({"time": "y"}, "time: 'y' can't be both target and time"),
        ({"split_column": "w", "weight": "x"}, "split_column: there is no column 'w'"),
        ({"time": "day", "split_seed": 0}, "split_seed: 'split_seed' means nothing beside split: time"),
        ({"time": "day", "resample": "reshuffle"}, "resample: resample: reshuffle can't stand beside split: time"),
        ({"time": "machine"}, "time: every row must have a number or a date in 'machine', but line 2 has 'm"),
        ({"split_column": "machine"}, "split_column: 'machine' must say the split of every row, but line 2 has 'm"),
        (
            {"split_column": "part", "test": 0.1},
            "test: 'test', a share of the rows, means nothing beside 's",
        ),
        ({"split_column": "part", "validation": 0.1}, "validation: 'validation' means nothing here: the column 'part'"),
        ({"split_column": "part", "split_seed": 1}, "split_seed: 'split_seed' means nothing here"),
        ({"split_column": "part", "resample": "reshuffle"}, "resample: resample: reshuffle can't stand here"),
        ({"group": "part", "resample": "kfold", "folds": 9}, "9 folds and a test need at least 10 groups, but 'part'"),
        ({"group": "machine", "features": ["machine"]}, "features: 'machine' is the group, and no feature anyway"),
        ({"time": "day", "drop": ["day"], "features": None}, "drop: 'day' is the time, and no feature anyway"),
        ({"time": "day", "numeric": ["day"]}, "(leave it out, or name it in `features`, too)"),
        ({"test_csv": "nowhere.csv"}, "test_csv: must name a CSV file, but 'nowhere.csv' does not exist"),
    ],
)
def test_what_is_refused(tmp_path: Path, keys: dict[str, Any], told: str) -> None:
    data = {key: value for key, value in table(tmp_path, **keys).items() if value is not None}
    assert told in faults(data)


@pytest.mark.parametrize(
    ("column", "value", "keys", "told"),
    [
        ("day", "?", {"time": "day"}, "time: 'day' must say the time of every row, but line 42 has '?': it is missing"),
        ("day", "31.02.2024", {"time": "day"}, "in 'day', but line 42 has '31.02.2024'"),
        ("machine", "", {"group": "machine"}, "group: 'machine' must say the group of every row, but line 42 has ''"),
        (
            "part",
            "trian",
            {"split_column": "part"},
            "line 42 has 'trian' (did you mean 'train'? understood are ",
        ),
        (
            "part",
            "",
            {"split_column": "part"},
            "'part' must say the split of every row, but line 42 has ''",
        ),
    ],
)
def test_a_fault_has_its_line(tmp_path: Path, column: str, value: str, keys: dict[str, Any], told: str) -> None:
    made = frame()
    made.iloc[40, list(made.columns).index(column)] = value
    assert told in faults(table(tmp_path, made, **keys))


def test_a_date_that_may_be_two_days(tmp_path: Path) -> None:
    made = frame().assign(day=lambda own: own.x.map(lambda row: f"{row // 12 + 1:02d}/{row % 12 + 1:02d}/2024"))
    told = faults(table(tmp_path, made, time="day"))
    assert told.startswith("time: the dates in 'day' must have one order, but ") and "may be two days" in told
    assert split(table(tmp_path, made, time="day", dayfirst=False))[0] == list(range(72))
    assert split(table(tmp_path, made, time="day", dayfirst=True))[0] != list(range(72))


@pytest.mark.parametrize("zone", ["Z", "+02:00", " UTC", "-05"])
def test_times_with_and_without_a_zone_are_told(tmp_path: Path, zone: str) -> None:
    def told(name: Callable[[int], str]) -> str:
        made = frame().assign(day=lambda own: own.x.map(lambda row: f"2024-02-{row // 24 + 1:02d} {row % 24:02d}:30"))
        made["day"] += made.x.map(name)
        notes = [note for note in describe_csv(table(tmp_path, made, time="day"), "binary") if "zone" in note]
        return "".join(notes)

    assert told(lambda row: zone if row % 2 else "").startswith(
        "warning: some times in 'day' name their zone (2024-02-0"
    )
    assert told(lambda row: zone) == told(lambda row: "") == ""


def test_too_few_groups_or_moments(tmp_path: Path) -> None:
    made = frame().assign(machine=lambda own: own.x % 2, day=lambda own: own.x % 2)
    need = "training and validation and a test need at least 3"
    assert f"{need} groups, but 'machine' has 2" in faults(table(tmp_path, made, group="machine"))
    assert f"{need} different times, but 'day' has 2" in faults(table(tmp_path, made, time="day"))
    assert not faults(table(tmp_path, made, group="machine", test=0))


def test_a_class_that_training_lacks(tmp_path: Path) -> None:
    made = frame().assign(y=lambda own: (own.x > 100).map({True: "late", False: "early"}), part="train")
    with pytest.raises(SpecError, match=r"time: no training row is of class 'late' .*comes only later"):
        load_csv(table(tmp_path, made, time="day"), "binary")
    middle = made.assign(y=lambda own: (own.x < 50).map({True: "a", False: "b"}))
    with pytest.raises(SpecError, match="all 24 validation rows are of class 'b', so no metric tells models apart"):
        load_csv(table(tmp_path, middle, time="day"), "binary")
    with pytest.raises(SpecError, match="validation rows of fold 2 are of class 'b'"):
        mixed = made.assign(y=lambda own: ((own.x < 40) & (own.x % 2 > 0)).map({True: "a", False: "b"}))
        load_csv(table(tmp_path, mixed, time="day", resample="kfold", folds=3), "binary", Fold(0, 3))
    three = middle.assign(y=lambda own: own.y.where(own.x % 3 > 0, "c"))
    notes = describe_csv(table(tmp_path, three, time="day"), "multiclass")
    assert "warning: no validation row is of class 'a': nothing is measured of it there" in notes
    made.loc[made.y == "late", "part"] = "test"
    with pytest.raises(SpecError, match="split_column: no training row is of class 'late'"):
        load_csv(table(tmp_path, made, split_column="part"), "binary")


def test_a_class_too_rare_is_told_by_its_name(tmp_path: Path) -> None:
    """As it stands in the file, not as a code."""
    made = frame().assign(y=lambda own: own.x.map(lambda row: ("no", "yes", "rare")[2 if row < 4 else row % 2]))
    made["part"] = ["test" if row in (0, 1) else "train" for row in made.x]
    data = table(tmp_path, made, split_column="part")
    few = (
        r"'part' has no validation rows, so they are cut from the training rows: training and validation need at least "
    )
    with pytest.raises(SpecError, match=rf"{few}3 rows, but class 'rare' has 2 \(say validation in some rows"):
        load_csv(data, "multiclass")
    made.loc[made.x == 1, "part"] = "train"
    data = table(tmp_path, made, split_column="part", resample="kfold")
    with pytest.raises(SpecError, match=r"split_column: .* but class 'rare' has 3 \(fewer folds: data.folds\) \(merge"):
        load_csv(data, "multiclass", Fold(0, 5))
    refused = []
    for seed in range(9):  # some of which leave the class out
        try:
            load_csv(table(tmp_path, made, split="random", split_seed=seed), "multiclass")
        except UserError as error:
            refused.append(str(error))
    assert refused and all("the random split leaves class 'rare' no row to " in told for told in refused)


def test_faults_of_the_second_file(tmp_path: Path) -> None:
    made = frame()
    data = table(tmp_path, made[made.x < 90], test_csv=str(tmp_path / "b.csv"))
    late = made[made.x >= 90]
    assert "must be another file than csv" in faults({**data, "test_csv": data["csv"]})

    def told(other: pd.DataFrame, kind: Kind = "binary", **keys: Any) -> str:
        other.to_csv(tmp_path / "b.csv", index=False)
        return faults({**data, **keys}, kind)

    assert "b.csv' has no column 'x', which 'csv' has (columns: machine, day, part, y)" in told(late.drop(columns="x"))
    assert "the target 'y' must be a class of 'csv', but line 2 of" in told(late.assign(y="maybe"))
    assert "has no row with a target ('y')" in told(late[:0])
    assert "no group may be in two splits, but line 2 of" in told(late, group="machine")
    assert "'day' must say the time of every row, but line 2 of" in told(late.assign(day=""), time="day")
    assert "number or a date in 'day', but line 2 of" in told(late.assign(day="soon"), time="day")
    assert "gives 15 test rows, but 'test_csv' gives the test rows, too" in told(late, split_column="part")
    assert not told(late)
    (tmp_path / "b.csv").write_text("x,machine,day,part,y\n1,2\n")
    assert "line 2 has 2" in faults(data)


def test_a_small_split_is_told(tmp_path: Path) -> None:
    rng = random.Random(1)
    made = pd.DataFrame({"x": [rng.random() for _ in range(30)], "y": [row % 2 for row in range(30)]})
    notes = "\n".join(describe_csv(table(tmp_path, made), "binary"))
    assert "warning: only 6 validation rows: one row is 17 points of accuracy, its standard error up to 20" in notes
    assert "only 6 test rows" in notes
    folds = "\n".join(describe_csv(table(tmp_path, made, resample="kfold", folds=3), "binary", Fold(0, 3)))
    assert "only 24 validation rows" in folds
    assert "only" not in "\n".join(describe_csv(table(tmp_path), "binary")).replace("only 24", "")


def test_a_group_that_is_most_of_the_rows_is_told(tmp_path: Path) -> None:
    made = frame().assign(machine=lambda own: own.x.where(own.x > 100, 0))
    told = "\n".join(describe_csv(table(tmp_path, made, group="machine"), "binary"))
    assert "% of the rows are for validation, not 20.0%: rows of one group stay together" in told


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("customer_id", lambda row: f"c{row // 4}", "has rows of, too: 'customer_id' ("),
        ("Patient", lambda row: row // 4, "has rows of, too: 'Patient' ("),
        ("customer_id", lambda row: f"c{row}", ""),
        ("city", lambda row: f"c{row // 4}", ""),
        (
            "when",
            lambda row: f"2024-{row // 25 + 1:02d}-{row % 25 + 1:02d}",
            "rows have dates ('when'), but are split at",
        ),
    ],
)
def test_what_a_random_split_may_miss(tmp_path: Path, name: str, value: Any, told: str) -> None:
    made = frame()[["x", "y"]].assign(**{name: lambda own: own.x.map(value)})
    data = {key: given for key, given in table(tmp_path, made).items() if key != "features"}

    def asked(**keys: Any) -> list[str]:
        return [
            note for note in describe_csv({**data, **keys}, "binary") if "data.time" in note or "data.group" in note
        ]

    assert bool(asked()) is bool(told) and told in "".join(asked())
    if told:
        assert not asked(**{"time" if name == "when" else "group": name})
    if told and name != "when":
        assert asked(drop=[name])  # whom a model doesn't see, it may know by the rest
        made["part"] = frame().part
        notes = describe_csv(table(tmp_path, made, split_column="part"), "binary")
        assert any("give all rows of one the same split" in note for note in notes)


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
    [
        lambda row: f"{row % 12 + 1:02d}.{2019 + row // 12}",  # months before their years
        lambda row: f"{row % 28 + 1:02d}{row % 12 + 1:02d}{2019 + row // 28}",  # days first, without marks
        lambda row: f"{row % 28 + 1}.{row // 28 + 1:02d}",  # days and months
    ],
)
def test_numbers_that_are_dates_in_another_order_are_refused(tmp_path: Path, when: Any) -> None:
    made = frame()
    made["day"] = made["x"].map(when)
    said = faults(table(tmp_path, made, time="day"))
    assert "'day'" in said and "2024-02-13" in said


@pytest.mark.parametrize(
    "when",
    [lambda row: 20200101 + row // 4, lambda row: 2000 + row / 4, lambda row: f"{2014 + row // 12}.{row % 12 + 1:02d}"],
)
def test_numbers_that_are_in_order_are_taken(tmp_path: Path, when: Any) -> None:
    made = frame()
    made["day"] = made["x"].map(when)
    train, validation, test = split(table(tmp_path, made, time="day"))
    assert max(train) < min(validation) and max(validation) < min(test)


def test_a_class_of_one_group_cannot_be_shared_out_anew(tmp_path: Path) -> None:
    made = frame()
    made["y"] = made["machine"].map(lambda name: "rare" if name == "m3" else f"c{int(name[1:]) % 2}")
    data = table(tmp_path, made, group="machine")
    kept = set(split(data, "multiclass")[2])
    assert not kept & set(made.x[made.machine == "m3"])
    with pytest.raises(SpecError, match="class 'rare' stands in one group only, 'm3': with resample: reshuffle"):
        load_csv({**data, "resample": "reshuffle"}, "multiclass", Reshuffle(1))


def test_groups_are_the_same_however_a_number_is_written(tmp_path: Path) -> None:
    made = frame()
    made["machine"] = [f"-{row % 20 + 1}" + (".0" if row % 3 else "") for row in made["x"]]
    assert any("20 groups" in note for note in describe_csv(table(tmp_path, made, group="machine"), "binary"))


def test_a_second_file_in_another_spelling_is_refused(tmp_path: Path) -> None:
    made = frame().assign(z=lambda own: [f"{value / 7:.2f}" for value in own.x])
    data = table(tmp_path, made, features=["x", "z"], test_csv=str(tmp_path / "b.csv"))
    made.assign(z=[text.replace(".", ",") for text in made.z]).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(SpecError, match=r"no value of 'z' can be read as those of `csv` are, such as '\d+,\d\d'"):
        load_csv(data, "binary")
    made.assign(z=[text if place else "?" for place, text in enumerate(made.z)]).to_csv(tmp_path / "b.csv", index=False)
    assert load_csv(data, "binary").test.x.shape == (ROWS, 3 - 1)
