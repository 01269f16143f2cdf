"""Paths in `data`: absolute where something is there, and no other text is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo.spec.columns import ROLES
from hpo.spec.paths import with_paths
from hpo.training.data.split_keys import SPLIT_COLUMNS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep file's folder with files and folders in it; the working directory is another one."""
    (tmp_path / "elsewhere" / "here").mkdir(parents=True)
    (tmp_path / "elsewhere" / "both.csv").touch()
    monkeypatch.chdir(tmp_path / "elsewhere")
    lies = tmp_path / "sweep"
    (lies / "rows" / "train").mkdir(parents=True)
    for name in ("train.csv", "both.csv", "synthetic", "names", "a b.parquet", "größe.tsv"):
        (lies / name).touch()
    (lies / "link.csv").symlink_to("names")
    return lies


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"file": "train.csv"}, {"file": "SWEEP/train.csv"}),
        ({"anything": "train.csv"}, {"anything": "SWEEP/train.csv"}),
        ({"t": {"first": ["a b.parquet", "größe.tsv"]}}, {"t": {"first": ["SWEEP/a b.parquet", "SWEEP/größe.tsv"]}}),
        ({"pictures": "rows/train"}, {"pictures": "SWEEP/rows/train"}),
        ({"train_file": "names"}, {"train_file": "SWEEP/names"}),
        ({"folders": ["rows", "here", "nowhere"]}, {"folders": ["SWEEP/rows", "HERE/here", "nowhere"]}),
        ({"x": "both.csv"}, {"x": "HERE/both.csv"}),  # the working directory comes first
        ({"link": "./link.csv"}, {"link": "SWEEP/link.csv"}),  # by its own name
        ({"prefix": "rows/train/", "folder": "./"}, {"prefix": "SWEEP/rows/train/", "folder": "HERE/"}),
        ({"separator": "/"}, {"separator": "/"}),
        ({"target": "train.csv"}, {"target": "SWEEP/train.csv"}),  # no table beside it: any function's key
        (
            {"csv": "train.csv", "target": "both.csv", "drop": ["train.csv"], "weight": "rows/train", "x": "both.csv"},
            {"csv": "SWEEP/train.csv", "target": "both.csv", "drop": ["train.csv"], "weight": "rows/train"}
            | {"x": "HERE/both.csv"},
        ),
        ({"t": {"csv": "train.csv", "time": "both.csv"}}, {"t": {"csv": "SWEEP/train.csv", "time": "both.csv"}}),
    ],
)  # fmt: skip
def test_what_is_a_path(folder: Path, data: Any, found: Any) -> None:
    def full(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: full(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [full(entry) for entry in value]
        return value.replace("SWEEP", str(folder)).replace("HERE", str(Path.cwd()))

    assert with_paths(data, folder) == full(found)


@pytest.mark.parametrize(
    "data",
    [
        {"source": "synthetic"},  # a file is called so
        {"profile": "names", "pathology": "names", "filed": "names"},  # no such keys
        {"file": "", "url": "https://example.org/train.csv", "note": "see train.csv", "n": 3, "none": None},
        {"file": "a\0b", "path": "x" * 5000, "folder": "~nobody-of-this-name/x"},
        {"file": "missing.csv", "text": "rows/missing", "version": "1.0", "file_format": "names"},
        {"values": [1, 2.5, True, None, [], {}]},
    ],
)
def test_what_stays_as_it_is_written(folder: Path, data: Any) -> None:
    assert with_paths(data, folder) == data


def test_columns_by_which_rows_are_split_are_known() -> None:
    assert set(SPLIT_COLUMNS) < set(ROLES)
