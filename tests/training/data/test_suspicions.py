"""Warnings name what gives the target away, and not what chance alone would give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpo.spec.faults import SpecError
from hpo.training.data.tabular import describe_csv

RNG = np.random.default_rng(3)
ROWS = 200
BINARY = RNG.integers(0, 2, ROWS)


def warnings(folder: Path, columns: dict[str, Any], kind: Any = "binary") -> str:
    file = folder / "t.csv"
    pd.DataFrame(columns).to_csv(file, index=False)
    notes = describe_csv({"csv": str(file), "target": "y"}, kind)
    return "\n".join(note for note in notes if note.startswith("warning:") and " rows: one row is " not in note)


@pytest.mark.parametrize(
    "values",
    [
        [None if value else round(RNG.normal(), 3) for value in BINARY],
        ["7" if value else None for value in BINARY],
        [f"2024-02-{RNG.integers(1, 28):02d}" if value else None for value in BINARY],
    ],
)
def test_gaps_that_give_the_target_are_told(tmp_path: Path, values: list[Any]) -> None:
    told = warnings(tmp_path, {"x": values, "z": RNG.normal(size=ROWS), "y": BINARY})
    assert "whether it is missing (nearly) gives the target 'y': 'x' (" in told


def test_dates_that_give_the_target_are_told(tmp_path: Path) -> None:
    when = [f"2024-0{1 + value}-{RNG.integers(1, 28):02d}" for value in BINARY]
    assert "gives the target 'y': 'x' (" in warnings(tmp_path, {"x": when, "z": RNG.normal(size=ROWS), "y": BINARY})


def test_a_hundredth_of_the_variance_may_be_left(tmp_path: Path) -> None:
    y = RNG.normal(size=ROWS)
    columns = {"near": y + RNG.normal(size=ROWS) * 0.07, "far": y + RNG.normal(size=ROWS) * 0.2, "y": y}
    assert "gives the target 'y': 'near' (" in warnings(tmp_path, columns, "regression")


def test_noise_of_many_columns_gives_nothing(tmp_path: Path) -> None:
    columns: dict[str, Any] = {f"c{place}": RNG.normal(size=40) for place in range(100)}
    assert not warnings(tmp_path, {**columns, "y": [1] * 5 + [0] * 35})
    few = [1] * 20 + [0] * 20
    copy = np.array(few) + RNG.uniform(0, 0.4, 40)
    assert "gives the target 'y': 'copy' (" in warnings(tmp_path, {"copy": copy, **columns, "y": few})


def test_years_are_no_identifier_and_one_equal_row_is_chance(tmp_path: Path) -> None:
    columns = {"year": range(1850, 2000), "x": RNG.normal(size=150), "y": RNG.normal(size=150)}
    assert not warnings(tmp_path, columns, "regression")
    assert "identifier: 'year'" in warnings(tmp_path, {**columns, "year": range(150, 300)}, "regression")
    frame = pd.DataFrame({"x": RNG.normal(size=150), "w": RNG.normal(size=150), "y": BINARY[:150]})
    for place in range(1, 10):  # until the two stand in two splits
        one = frame.copy()
        one.iloc[place] = one.iloc[0]
        assert not warnings(tmp_path, dict(one))
    twice = pd.concat([frame[:75], frame[:75]])
    assert "rows that stand in two splits" in warnings(tmp_path, dict(twice.reset_index(drop=True)))


def test_a_constant_column_of_dates_is_only_dropped(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    pd.DataFrame({"d": ["2024-01-05"] * 60, "x": RNG.normal(size=60), "y": BINARY[:60]}).to_csv(file, index=False)
    notes = "\n".join(describe_csv({"csv": str(file), "target": "y"}, "binary"))
    assert "dropped (constant): d" in notes and "dates, as days" not in notes


def test_classes_that_differ_by_case_are_told(tmp_path: Path) -> None:
    y = ["Yes" if row % 7 == 0 else ("no", "yes")[value] for row, value in enumerate(BINARY)]
    told = warnings(tmp_path, {"z": RNG.normal(size=ROWS), "y": y}, "multiclass")
    assert "warning: classes 'Yes' and 'yes' differ by upper and lower case only (if they are one class, spell" in told
    for kind, few in (("binary", "exactly two classes, but 'y' has 3"), ("multiclass", "at least 3 rows")):
        rare = y if kind == "binary" else ["yes" if each == "Yes" and row else each for row, each in enumerate(y)]
        with pytest.raises(SpecError, match=rf"{few}.*; 'Yes' and 'yes' differ by upper and lower case only \("):
            warnings(tmp_path, {"z": range(ROWS), "y": rare}, kind)
    assert "differ" not in warnings(tmp_path, {"z": RNG.normal(size=ROWS), "y": [each.lower() for each in y]})
