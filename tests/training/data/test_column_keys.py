"""Which columns are used, and as what, is the sweep file's to say; what looks wrong in them is told by name."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.spec.faults import UserError, render_fault
from hpo.training.data.columns import FittedColumns
from hpo.training.data.suspicions import named_like_an_identifier
from hpo.training.data.tabular import check_csv, load_csv
from hpo.training.task import Splits

RNG = random.Random(3)
IDS = RNG.sample(range(1, 201), 200)
HEADER = "customer_id,serial,size,group,again,left,alive,flag,score"


def row(identifier: int) -> str:
    left, group = RNG.random() > 0.6, RNG.randint(0, 9)
    yes, score = "yes" if left else "no", left * 3 + RNG.random()
    return f"{identifier},{identifier + 1000},{RNG.gauss(0, 1)},{group},{group},{yes},{yes},{int(left)},{score}"


ROWS = [row(identifier) for identifier in IDS]


def table(tmp_path: Path, header: str = HEADER, rows: list[str] = ROWS, **keys: Any) -> dict[str, Any]:
    file = tmp_path / "t.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return {"csv": str(file), "target": "left", **keys}


def warned(splits: Splits, about: str) -> str:
    return next((note for note in splits.notes if note.startswith(f"warning: {about}")), "")


def test_what_looks_wrong_is_named(tmp_path: Path) -> None:
    splits = load_csv(table(tmp_path), "binary")
    told = warned(splits, "alone, this (nearly) gives the target 'left'")
    assert "'flag', 'score', 'alive' (" in told
    assert "'serial' (" in warned(splits, "looks like an identifier")
    assert "'group' and 'again' (" in warned(splits, "columns that are the same")
    assert "dropped (row numbers or identifiers; to use one: data.numeric): customer_id" in splits.notes
    quiet = load_csv(table(tmp_path, drop=["alive", "flag", "score", "serial", "again"]), "binary")
    assert not [note for note in quiet.notes if "warning" in note]
    assert "not used, as the file says: serial, again, alive, flag, score" in quiet.notes
    assert quiet.train.x.shape[1] == 2


@pytest.mark.parametrize(
    ("column", "found"),
    [
        (lambda y, index: y * 3 + RNG.random() / 1e4, True),
        (lambda y, index: 2 ** (y / 20), True),  # in the same order
        (lambda y, index: "abcdefgh"[int(y * 8 / 100)], False),  # coarse
        (lambda y, index: y + RNG.gauss(0, 20), False),
        (lambda y, index: f"only {index}", False),
        (lambda y, index: RNG.random(), False),
    ],
)
def test_what_gives_a_regressions_target(tmp_path: Path, column: Any, found: bool) -> None:
    values = [RNG.uniform(0, 100) for _ in range(100)]
    rows = [f"{column(y, index)},{RNG.random()},{y}" for index, y in enumerate(values)]
    splits = load_csv(table(tmp_path, "a,b,left", rows), "regression")
    assert ("'a' (" in warned(splits, "alone")) is found


def test_a_strong_column_is_no_copy(tmp_path: Path) -> None:
    """One in twenty rows is otherwise; and a rare class does not make any column a copy."""
    rows = [f"{index % 2 if index % 20 else 1 - index % 2},{RNG.random()},{index % 2}" for index in range(400)]
    assert not warned(load_csv(table(tmp_path, "a,b,left", rows), "binary"), "alone")
    rare = [f"{RNG.randint(0, 4)},{RNG.choice('abc')},{int(index % 100 == 0)}" for index in range(600)]
    assert not warned(load_csv(table(tmp_path, "a,b,left", rare), "binary"), "alone")


def test_rows_in_two_splits(tmp_path: Path) -> None:
    once = [f"{RNG.random()},{index % 2}" for index in range(100)]
    assert not warned(load_csv(table(tmp_path, "a,left", once), "binary"), "rows that stand")
    told = warned(load_csv(table(tmp_path, "a,left", once * 2), "binary"), "rows that stand in two splits")
    alike = load_csv(table(tmp_path, "a,left", [f"{index % 3},{index % 2}" for index in range(100)]), "binary")
    assert any("alike training rows, of which only 6 of 60 differ" in note for note in alike.notes)
    assert "of 40 validation rows and " in told and "of 40 test rows are training rows, too" in told


@pytest.mark.parametrize(
    ("name", "found"),
    [*((name, True) for name in ("id", "Customer ID", "PassengerId", "row_nr")), ("paid", False), ("grid", False)],
)  # fmt: skip
def test_names_of_identifiers(name: str, found: bool) -> None:
    assert named_like_an_identifier(name) is found


def test_columns_by_the_file(tmp_path: Path) -> None:
    rows = [f"{1 + index % 3},{'none' if index % 7 == 2 else index / 2},{index:03d},{index % 2}" for index in range(80)]
    data = table(tmp_path, "kind,part,code,left", rows)
    said = load_csv(data | {"categorical": "kind", "numeric": ["part", "code"]}, "binary")
    fitted = said.preprocessing
    assert isinstance(fitted, FittedColumns)
    assert [column.name for column in fitted.numbers] == ["part", "code"]
    assert fitted.texts[0].categories == ("1", "2", "3")
    assert warned(said, "'part' is numeric").endswith("are no number, so missing: 'none'")
    only = load_csv(data | {"features": ["kind"]}, "binary")
    assert only.train.x.shape[1] == 1 and isinstance(only.preprocessing, FittedColumns)
    assert set(only.preprocessing.unused) == {"part", "code"}  # no surprise in a table to predict
    with pytest.raises(UserError, match="'word' has no number, but 'a', 'b'"):
        load_csv(table(tmp_path, "word,left", ["a,0", "b,1"] * 20, numeric=["word"]), "binary")


@pytest.mark.parametrize("wanted", ["no", "yes"])
def test_the_class_that_is_one(tmp_path: Path, wanted: str) -> None:
    splits = load_csv(table(tmp_path, positive=wanted), "binary")
    assert splits.classes[1] == wanted
    share = np.mean([row.split(",")[5] == wanted for row in ROWS])
    assert splits.train.y.mean().item() == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(
    ("wanted", "labels"),
    [(True, "True False"), (False, "true false"), (True, "Yes No"), (1, "1 0"), (0, "1.0 0.0")],
)
def test_a_class_as_yaml_reads_it(tmp_path: Path, wanted: Any, labels: str) -> None:
    rows = [f"{index % 7},{labels.split()[index % 2]}" for index in range(40)]
    splits = load_csv(table(tmp_path, "a,left", rows, positive=wanted), "binary")
    assert splits.classes[1] == labels.split()[0 if wanted else 1].removesuffix(".0")


@pytest.mark.parametrize(
    ("keys", "path", "said"),
    [
        ({"drop": ["alvie"]}, "drop", "there is no column 'alvie' (did you mean 'alive'?"),
        ({"drop": [1]}, "drop", "must be a list of columns' names, but got [1]"),
        ({"drop": []}, "drop", "must name a column at least"),
        ({"drop": ["left"]}, "drop", "'left' is the target, and no feature anyway"),
        ({"drop": ["size"], "features": ["group"]}, "drop", "exclude each other"),
        ({"features": ["size"], "numeric": ["group"]}, "numeric", "'group' is not used"),
        ({"categorical": ["group"], "numeric": ["group"]}, "numeric", "can't be both"),
        ({"drop": [name for name in HEADER.split(",") if name != "left"]}, "drop", "no column is left"),
        ({"positive": "maybe"}, "positive", "there is no class 'maybe' (one of: no, yes)"),
        ({"positive": ["yes"]}, "positive", "must be a class of the target"),
    ],
)
def test_faults_of_the_keys(tmp_path: Path, keys: dict[str, Any], path: str, said: str) -> None:
    [fault] = check_csv(table(tmp_path, **keys), "binary")
    assert fault.path == (path,) and said in render_fault(fault)


def test_no_class_is_one_of_a_regression(tmp_path: Path) -> None:
    [fault] = check_csv(table(tmp_path, "a,left", [f"{n},{n}" for n in range(40)], positive=1), "regression")
    assert "means nothing for a regression task" in fault.message
