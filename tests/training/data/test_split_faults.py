"""Splits: what is refused, with its line and a remedy, and what is told."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hpo.spec.faults import SpecError, UserError
from hpo.training.cuts import Fold, Reshuffle
from hpo.training.data.tabular import describe_csv, load_csv
from hpo.training.task import Kind

from .split_support import ROWS, faults, frame, split, table


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


def test_a_class_of_one_group_cannot_be_shared_out_anew(tmp_path: Path) -> None:
    made = frame()
    made["y"] = made["machine"].map(lambda name: "rare" if name == "m3" else f"c{int(name[1:]) % 2}")
    data = table(tmp_path, made, group="machine")
    kept = set(split(data, "multiclass")[2])
    assert not kept & set(made.x[made.machine == "m3"])
    with pytest.raises(SpecError, match="class 'rare' stands in one group only, 'm3': with resample: reshuffle"):
        load_csv({**data, "resample": "reshuffle"}, "multiclass", Reshuffle(1))


def test_a_second_file_in_another_spelling_is_refused(tmp_path: Path) -> None:
    made = frame().assign(z=lambda own: [f"{value / 7:.2f}" for value in own.x])
    data = table(tmp_path, made, features=["x", "z"], test_csv=str(tmp_path / "b.csv"))
    made.assign(z=[text.replace(".", ",") for text in made.z]).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(SpecError, match=r"no value of 'z' can be read as those of `csv` are, such as '\d+,\d\d'"):
        load_csv(data, "binary")
    made.assign(z=[text if place else "?" for place, text in enumerate(made.z)]).to_csv(tmp_path / "b.csv", index=False)
    assert load_csv(data, "binary").test.x.shape == (ROWS, 3 - 1)
