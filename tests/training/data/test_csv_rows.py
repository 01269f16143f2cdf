"""Where a table's rows begin and end: `check_csv` and pandas see the same ones, or the file is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.training.data.tabular import check_csv, load_csv

ROWS = "".join(f"{number},w{number % 5},{'late' if number % 2 else 'early'}\n" for number in range(40))


def table(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "t.csv"
    path.write_text(text, newline="")
    return {"csv": str(path), "target": "c"}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b,c\n" + ROWS + "   \n \t\n", 40),
        ("\n  \na,b,c\n" + ROWS, 40),
        ("a,b,c\n" + ROWS.replace("\n", "\n\n  \n", 3), 40),
        ("a,b,c\n" + ROWS + '7,"' + "x" * 150_000 + '",late\n', 41),
        ("a,b,c\n" + ROWS + '7,"two\nlines",late', 41),
        ("a,b,c\r\n" + ROWS.replace("\n", "\r\n"), 40),
    ],
)
def test_rows_that_are_read(tmp_path: Path, text: str, rows: int) -> None:
    data = table(tmp_path, text)
    assert check_csv(data, "binary") == []
    assert load_csv(data, "binary").notes[0].startswith(f"read {rows} rows and 3 columns")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,b,c\n" + ROWS + '7,"no end', 42),
        ('a,b,c\n1,"x,late\n' + ROWS, 2),
        ('a,"b', 1),
        ("a,b,c\n" + ROWS + '7,x,"', 42),
    ],
)
def test_a_quoted_field_without_an_end(tmp_path: Path, text: str, line: int) -> None:
    [fault] = check_csv(table(tmp_path, text), "binary")
    assert fault.message.endswith(f"a quoted field of the row in line {line} has no end (is the file cut off?)")
