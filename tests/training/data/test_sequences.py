"""Sequences: the adding problem, windows in the order of time, arrays in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpo.model.preprocessing import features, restored
from hpo.spec.faults import UserError, render_fault
from hpo.training.data.sequences import adding_problem, check_sequences, load_sequences


def test_the_adding_problem() -> None:
    x, y = adding_problem(500, 9)
    marks = x[..., 1]
    assert x.shape == (500, 9, 2) and set(np.unique(marks)) == {0, 1}
    assert (marks[:, :4].sum(1) == 1).all() and (marks[:, 4:].sum(1) == 1).all()
    assert np.allclose((x[..., 0] * marks).sum(1), y)
    assert ((y - 1) ** 2).mean() == pytest.approx(1 / 6, abs=0.02)
    assert all((one == other).all() for one, other in zip(adding_problem(500, 9), (x, y), strict=True))


def test_splits_of_a_source() -> None:
    splits = load_sequences({"rows": 100, "length": 7, "test": 0.1, "validation": 0.3})
    assert splits.train.x.shape == (60, 7, 2) and len(splits.validation) == 30 and len(splits.test) == 10
    other = load_sequences({"rows": 100, "length": 7, "test": 0.1, "validation": 0.3, "split_seed": 1})
    assert not np.array_equal(splits.train.y, other.train.y)


@pytest.fixture
def series(tmp_path: Path) -> dict[str, Any]:
    """60 days out of order: the target counts them, `b` is its square, `c` a text."""
    days = np.random.default_rng(0).permutation(60)
    lines = [f"{np.datetime64('2024-01-01') + day},{day},{day * day},{'xy'[day % 2]}" for day in days]
    (tmp_path / "own.csv").write_text("\n".join(["date,a,b,c", *lines]) + "\n")
    return {"csv": str(tmp_path / "own.csv"), "target": "a", "time": "date", "length": 4, "horizon": 2}


def test_windows_in_the_order_of_time(series: dict[str, Any]) -> None:
    assert check_sequences(series) == []
    splits = load_sequences(series)
    sizes = [len(part) for part in (splits.train, splits.validation, splits.test)]
    assert sizes == [33, 11, 11] and splits.train.x.shape[1:] == (4, 4)  # a, b, and c's two categories
    # The first target is of day 5, from days 0 to 3; none is skipped from there on.
    assert [*splits.train.y, *splits.validation.y, *splits.test.y] == list(range(5, 60))
    a = splits.train.x[:, :, 0]
    seen = np.arange(38)  # the days before the first target of validation
    assert np.allclose(a[0], (np.arange(4) - seen.mean()) / seen.std(), atol=1e-5)
    assert np.allclose(a[10] - a[9], 1 / seen.std(), atol=1e-5)
    latest = splits.validation.x[0, -1, 0] * seen.std() + seen.mean()
    assert float(latest) == pytest.approx(36, abs=1e-3)  # two before day 38


def test_dates_whose_month_nobody_knows_are_refused(series: dict[str, Any]) -> None:
    """A wrong guess would show training what comes later."""
    path = Path(series["csv"])
    lines = [f"{1 + number % 12:02d}/{1 + number // 12:02d}/2024,{number},1,x" for number in range(60)]
    path.write_text("\n".join(["date,a,b,c", *lines]) + "\n")
    with pytest.raises(UserError, match=r"number or a date in 'date', but one has '01/01/2024' .*say data\.dayfirst"):
        load_sequences(series)
    first = load_sequences({**series, "dayfirst": True}).train.x[:, :, 0]
    assert (first.diff() > 0).all()  # b, in the order of the file


def test_features_as_they_are(series: dict[str, Any]) -> None:
    splits = load_sequences({**series, "scale": False})
    assert splits.train.x[0, :, 0].tolist() == [0, 1, 2, 3]


def test_a_written_model_knows_the_windows(series: dict[str, Any]) -> None:
    """Raw rows become what training saw."""
    splits = load_sequences(series)
    assert splits.preprocessing is not None
    fitted = restored(splits.preprocessing.plain())
    rows = pd.DataFrame({"a": range(6), "b": [day * day for day in range(6)], "c": list("xyxyxy")})
    x, told = features(fitted, rows, [4, 4], "float32")
    assert np.allclose(x, splits.train.x[:3], atol=1e-6) and "predictions are made at rows 4 to 6" in told[0]
    with pytest.raises(UserError, match="looks at 4 rows in the order of time, but there are 3"):
        features(fitted, rows[:3], [4, 4], "float32")
    with pytest.raises(UserError, match="takes a pandas DataFrame with the columns a, b, c"):
        features(fitted, x, [4, 4], "float32")


def test_numbers_order_rows_too_and_rows_without_a_target_go(tmp_path: Path) -> None:
    lines = [f"{step / 2},{'' if step == 3 else step}" for step in reversed(range(40))]
    (tmp_path / "own.csv").write_text("\n".join(["t,a", *lines]) + "\n")
    data = {"csv": str(tmp_path / "own.csv"), "target": "a", "time": "t", "length": 2}
    splits = load_sequences(data)
    targets = [*splits.train.y.tolist(), *splits.validation.y.tolist(), *splits.test.y.tolist()]
    assert targets == [2, *range(4, 40)]
    assert any("dropped 1 rows whose target 'a' is missing" in note for note in splits.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": "a"}, "time: 'a' can't be both target and time"),
        ({"time": "dat"}, "time: there is no column 'dat' (did you mean 'date'? columns: date, a, b, c)"),
        ({"time": 3}, "time: must be the name of the column that orders the rows, but got 3 (e.g. time: date)"),
        ({"split_seed": 1}, "split_seed: 'split_seed' means nothing here: a series is split in the order of time"),
        ({"length": 0}, "length: must be a whole number in [1, 10000], but got 0"),
        ({"target": "d"}, "target: there is no column 'd'"),
        ({"lenght": 3}, "lenght: unknown key 'lenght'"),
    ],
)
def test_faults_of_a_series(series: dict[str, Any], change: dict[str, Any], message: str) -> None:
    [fault] = check_sequences({**series, **change})
    assert render_fault(fault).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"time": "c"},
            "number or a date in 'c', but one has '[xy]' .all in one form, such as 2024-02-13",
        ),
        ({"length": 58}, "60 rows make 1 windows of 58 rows with a target 2 ahead, but at least 10 are needed"),
    ],
)
def test_what_only_reading_a_series_shows(series: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_sequences({**series, **change})


def test_arrays_in_a_file(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(50, 3, 2)), np.arange(50)
    np.savez(tmp_path / "own.npz", x=x, y=y)
    data = {"arrays": str(tmp_path / "own.npz")}
    assert check_sequences(data) == []
    splits = load_sequences(data)
    assert len(splits.train) == 30
    assert np.allclose(splits.train.x, x[splits.train.y.numpy().astype(int)], atol=1e-6)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"x": np.zeros((50, 3)), "y": np.zeros(50)},
            r"x must be \[N, steps, features\] .* are \[50, 3\]",
        ),
        ({"x": np.zeros((50, 3, 1)), "y": np.zeros(49)}, r"but they are \[50, 3, 1\] and \[49\]"),
        ({"x": np.full((50, 3, 1), np.nan), "y": np.zeros(50)}, "must be finite"),
        ({"x": np.full((50, 3, 1), "a"), "y": np.zeros(50)}, "must be numbers, but they are <U1"),
        ({"x": np.full((50, 3, 1), None), "y": np.zeros(50)}, "Object arrays cannot be loaded"),
        ({"x": np.full((50, 3, 1), 1e300), "y": np.zeros(50)}, "must be finite in float32"),
        ({"x": np.full((50, 3, 1), 1j), "y": np.zeros(50)}, "must be numbers, but they are complex128"),
        ({"x": np.zeros((50, 0, 1)), "y": np.zeros(50)}, r"but they are \[50, 0, 1\]"),
    ],
)
def test_arrays_that_are_something_else(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(UserError, match=message):
        load_sequences({"arrays": str(tmp_path / "own.npz")})


def test_a_damaged_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.ones((50, 3, 1)), y=np.ones(50))
    whole = (tmp_path / "own.npz").read_bytes()
    at = whole.index(np.ones(1).tobytes())
    (tmp_path / "own.npz").write_bytes(whole[:at] + b"\0" * 64 + whole[at + 64 :])
    with pytest.raises(UserError, match="can't be read"):
        load_sequences({"arrays": str(tmp_path / "own.npz")})


def test_files_that_are_no_arrays(tmp_path: Path) -> None:
    (tmp_path / "own.npz").write_text("x")
    [fault] = check_sequences({"arrays": str(tmp_path / "own.npz")})
    assert "must be a file of NumPy arrays" in render_fault(fault)
    np.savez(tmp_path / "own.npz", x=np.zeros((50, 3, 1)))
    [fault] = check_sequences({"arrays": str(tmp_path / "own.npz")})
    assert "has no array 'y'" in render_fault(fault)
