"""Torch tasks on a table: the CSV file or the source, by `data` alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpo
from hpo.spec.faults import render_fault

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
