"""Torch tasks on a table: the CSV file or the source, by `data` alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpo
from hpo.objective.build import inspect, inspect_closely
from hpo.spec.faults import render_fault
from hpo.spec.named import Named

OPTIONS = {"rows": hpo.Known("int", 50, within="[10, inf)")}


class Numbers(hpo.TableTask):
    kind = "regression"
    options = OPTIONS

    def load_source(self, options: Mapping[str, Any]) -> tuple[Any, Any]:
        assert set(options) == {"rows"}
        x = np.arange(2.0 * options["rows"]).reshape(-1, 2)
        return x, x[:, 0]


class OnlyFiles(hpo.TableTask):
    kind = "regression"


def test_a_source() -> None:
    assert Numbers().check_data({}) == []
    assert len(Numbers().splits({}).train) == 30
    splits = Numbers().splits({"rows": 100, "validation": 0.1, "test": 0.3})
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [60, 10, 30]
    assert not np.array_equal(splits.train.y, Numbers().splits({"rows": 100, "split_seed": 1}).train.y[:60])


@pytest.mark.parametrize("task", [Numbers, OnlyFiles])
def test_a_file(task: type[hpo.TableTask], tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("a,b\n" + "".join(f"{n},{n * n}\n" for n in range(20)))
    data = {"csv": str(tmp_path / "own.csv"), "target": "b"}
    assert task().check_data(data) == []
    assert len(task().splits(data).train) == 12


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        (Numbers, {"rows": 3}, "rows: must be a whole number in [10, inf), but got 3"),
        (Numbers, {"row": 30}, "row: unknown key 'row' (did you mean 'rows'?)"),
        (Numbers, {"group": "b"}, "group: 'group' is of a table in a file, but there is no `csv` (leave group out)"),
        (Numbers, {"validation": 0.5, "test": 0.5}, "validation: validation + test must be below 1"),
        (Numbers, {"target": "b"}, "target: `target` needs `csv` beside it"),
        (Numbers, {"csv": "nowhere.csv", "target": "b"}, "csv: must name a CSV file, but 'nowhere.csv' does not exist"),
        (OnlyFiles, {}, "there is no table (e.g. data: {csv: churn.csv, target: left})"),
    ],
)
def test_faults(task: type[hpo.TableTask], data: dict[str, Any], message: str) -> None:
    [fault] = task().check_data(data)
    assert render_fault(fault).startswith(message)


def test_the_objectives_that_ship_are_table_tasks() -> None:
    from objectives.binary import Binary
    from objectives.regression import Regression

    for task in (Binary, Regression):
        assert issubclass(task, hpo.TableTask)
        assert "check_data" not in vars(task)


@pytest.fixture
def weighted(tmp_path: Path) -> dict[str, Any]:
    rows = [f"{n},{n % 2},{n / 10},{n * n}\n" for n in range(30)]
    (tmp_path / "own.csv").write_text("a,b,w,c\n" + "".join(rows))
    return {"csv": str(tmp_path / "own.csv"), "target": "b", "weight": "w"}


class Classes(hpo.TableTask):
    kind = "binary"


def test_a_column_of_weights_is_no_feature(weighted: dict[str, Any]) -> None:
    assert Classes().check_data(weighted) == []
    splits = Classes().splits({**weighted, "scale": False})
    assert splits.train.weight is not None and splits.validation.weight is not None
    a, c = splits.train.x[:, 0], splits.train.x[:, 1]
    assert splits.train.x.shape[1] == 2 and (a * a == c).all()  # as they are in the file
    assert splits.train.weight.tolist() == pytest.approx((a / 10).tolist())
    bare = Classes().splits({key: value for key, value in weighted.items() if key != "weight"})
    assert bare.train.x.shape[1] == 3 and bare.digest("binary") != Classes().splits(weighted).digest("binary")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": "v"}, "weight: there is no column 'v' (one of: a, b, w, c)"),
        ({"weight": "b"}, "weight: 'b' can't be both target and weight"),
        ({"weight": 3}, "weight: must be the name of a column, but got 3"),
        ({"w": -1}, "weight: the weight 'w' must be a number of at least 0 in every row, but line 32 has '-1'"),
        ({"w": ""}, "weight: the weight 'w' must be a number of at least 0 in every row, but line 32 has ''"),
        ({"w": "nan"}, "but line 32 has 'nan'"),
        ({"split": "groups"}, "split: must be one of stratified, random, time, group, given, but got 'groups'"),
    ],
)
def test_faulty_weights(weighted: dict[str, Any], change: dict[str, Any], message: str) -> None:
    if "w" in change:
        with Path(weighted["csv"]).open("a") as file:
            file.write(f"30,1,{change.pop('w')},900\n")
    [fault] = Classes().check_data({**weighted, **change})
    assert message in render_fault(fault)


def test_weights_that_are_all_0(weighted: dict[str, Any]) -> None:
    path = Path(weighted["csv"])
    path.write_text("a,b,w\n" + "".join(f"{n},{n % 2},0\n" for n in range(30)))
    [fault] = Classes().check_data(weighted)
    assert "some weight must be above 0" in render_fault(fault)


def test_a_close_look_tells_how_columns_are_used_and_what_only_reading_shows(tmp_path: Path) -> None:
    """What `hpo check` says: the notes of loading; for folds those of the first."""
    file = tmp_path / "t.csv"
    file.write_text("a;b;y\n" + "".join(f"{row},5;same;{row % 2}\n" for row in range(60)))

    def named(**data: Any) -> Named:
        return Named(
            objective="objectives.binary:Binary",
            program=None,
            command=(),
            data={"csv": str(file), "target": "y", "separator": ";", **data},
            metric="val_accuracy",
            parameters=(),
            folder=tmp_path,
        )

    found = inspect_closely(named())
    assert found.faults == () and "read as numbers: 'a' ('0,5' is 0.5)" in found.notes
    assert any("5 folds" in note for note in inspect_closely(named(resample="kfold")).notes)
    assert inspect(named()).notes == ()
    [fault] = inspect_closely(named(drop=["a"])).faults
    assert fault.path == ("data", "csv") and "no column is left to learn from: dropped (constant): b" in fault.message
