"""A table is the same table as .csv, .tsv, gzipped, in another encoding, and as Parquet."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hpo.ledger.study.dataset import dataset_of
from hpo.spec.faults import UserError, render_fault
from hpo.training.data.columns import FittedColumns
from hpo.training.data.csv_rows import FileForm
from hpo.training.data.tabular import check_csv, load_csv, read_table

FRAME = pd.DataFrame(
    {
        "größe": [None if row % 7 == 3 else row / 3 for row in range(60)],
        "city": ["Orléans" if row % 3 else "Köln" for row in range(60)],
        "when": pd.date_range("2024-01-01", periods=60, freq="37h"),
        "count": [row % 5 for row in range(60)],
        "y": [row % 2 == 0 for row in range(60)],
    }
)


def written(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    data: dict[str, Any] = {"csv": str(path), "target": "y"}
    if path.suffix == ".parquet":
        FRAME.to_parquet(path)
    elif name.startswith("latin"):
        FRAME.to_csv(path, index=False, encoding="latin-1")
        data["encoding"] = "latin-1"
    elif name.startswith("wide"):
        FRAME.to_csv(path, index=False, encoding="utf-16")
        data["encoding"] = "utf-16"
    else:
        FRAME.to_csv(path, index=False, sep="\t" if ".tsv" in name else ",", encoding="utf-8-sig")
    return data


@pytest.mark.parametrize(
    "name", ["t.tsv", "t.csv.gz", "t.tsv.gz", "latin.csv", "latin.csv.gz", "wide.csv", "t.parquet"]
)
def test_one_table_in_many_files(tmp_path: Path, name: str) -> None:
    first, other = written(tmp_path, "t.csv"), written(tmp_path, name)
    assert check_csv(other, "binary") == []
    one, same = load_csv(first, "binary"), load_csv(other, "binary")
    assert same.train.x.numpy().tobytes() == one.train.x.numpy().tobytes()
    fitted = same.preprocessing
    assert isinstance(fitted, FittedColumns) and "größe" in fitted.needed
    again = FittedColumns.restored(fitted.plain())
    frame = read_table(other["csv"], FileForm.of(other))
    assert again.features(frame)[1] == ["the target column 'y' is there, and not looked at"]
    assert again.encoding == other.get("encoding", "utf-8")
    assert dataset_of(other, "", 1.0, {})["rows"] == 60


@pytest.mark.parametrize(
    ("text", "encoding", "remedy"),
    [
        ("Orléans".encode("latin-1"), None, "data.encoding: latin-1, if"),
        ("5 €".encode("cp1252"), None, "data.encoding: cp1252, if"),
        ("\u4e2d".encode(), "ascii", "must be text in ascii"),
        (b"x", "utf-16", "must be text in utf-16"),
    ],
)  # fmt: skip
def test_another_encoding_is_told(tmp_path: Path, text: bytes, encoding: str | None, remedy: str) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(b"a,b,left\n" + b"1," + text + b",yes\n" + (b"1," + text + b",no\n") * 30)
    data = {"csv": str(file), "target": "left", **({"encoding": encoding} if encoding else {})}
    [fault] = check_csv(data, "binary")
    assert fault.path == ("csv",) and remedy.split(", if")[0] in render_fault(fault)


@pytest.mark.parametrize("encoding", ["latin-17", 8, "base64", ""])
def test_an_encoding_that_nobody_knows(tmp_path: Path, encoding: Any) -> None:
    [fault] = check_csv({**written(tmp_path, "t.csv"), "encoding": encoding}, "binary")
    assert fault.path == ("encoding",) and "must be an encoding that Python knows" in fault.message


@pytest.mark.parametrize("name", ["t.csv.gz", "t.parquet"])
def test_a_file_that_is_broken(tmp_path: Path, name: str) -> None:
    data = written(tmp_path, name)
    path = Path(data["csv"])
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"a,y\n1,2\n", whole[:20] + bytes(20) + whole[40:]):
        path.write_bytes(broken)
        faults = check_csv(data, "binary")
        if faults:
            assert faults[0].path == ("csv",)
        else:
            assert name == "t.parquet"  # some of its bytes say nothing
    path.write_bytes(gzip.compress(b"") if name.endswith("gz") else b"")
    assert "csv" in check_csv(data, "binary")[0].path
    with pytest.raises(UserError):
        load_csv(data, "binary")


def test_an_index_with_a_name_is_a_column(tmp_path: Path) -> None:
    data = {"csv": str(tmp_path / "i.parquet"), "target": "y"}
    FRAME.set_index("when").to_parquet(data["csv"])
    assert "when" in load_csv(data, "binary").preprocessing.needed  # type: ignore[union-attr]


@pytest.mark.parametrize("keys", [{"separator": ";"}, {"encoding": "latin-1"}])
def test_what_means_nothing_for_parquet_is_refused(tmp_path: Path, keys: dict[str, str]) -> None:
    [fault] = check_csv({**written(tmp_path, "t.parquet"), **keys}, "binary")
    assert fault.path == tuple(keys) and "Parquet" in fault.message


@pytest.mark.parametrize("name", ["t.csv.bz2", "t.csv.zip", "t.csv.xz"])
def test_a_name_of_another_kind_of_file_changes_nothing(tmp_path: Path, name: str) -> None:
    data = written(tmp_path, "t.csv")
    data["csv"] = str(Path(data["csv"]).rename(tmp_path / name))
    assert check_csv(data, "binary") == [] and len(read_table(data["csv"], FileForm.of(data))) == 60


@pytest.mark.parametrize(
    ("own", "said", "remedy"),
    [
        ("utf-16", None, "data.encoding: utf-16"),
        ("utf-32", "latin-1", ""),
        ("utf-8", "utf-16", "data.encoding: utf-8, or leave it out"),
        ("utf-8", "utf-32", "data.encoding: utf-8, or leave it out"),
    ],
)
def test_the_encoding_of_a_file_is_told(tmp_path: Path, own: str, said: str | None, remedy: str) -> None:
    data = {"csv": str(tmp_path / "e.csv"), "target": "y", **({"encoding": said} if said else {})}
    FRAME.to_csv(data["csv"], index=False, encoding=own)
    [fault] = check_csv(data, "binary")
    assert fault.remedy.startswith(remedy)


def test_a_column_without_a_name_has_the_one_of_pandas(tmp_path: Path) -> None:
    data: dict[str, Any] = {"csv": str(tmp_path / "u.csv"), "target": "y"}
    FRAME.to_csv(data["csv"])
    for keys in ({"drop": "Unnamed: 0"}, {"numeric": ["Unnamed: 0"]}):
        assert check_csv({**data, **keys}, "binary") == []
        fitted = load_csv({**data, **keys}, "binary").preprocessing
        assert isinstance(fitted, FittedColumns)
        assert ("Unnamed: 0" in fitted.needed) == ("numeric" in keys)
    [fault] = check_csv({**data, "drop": "Unamed"}, "binary")
    assert "Unnamed: 0" in fault.remedy
