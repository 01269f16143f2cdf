"""A table of trials as text or as bytes: a table for people, CSV, JSON or Parquet."""

from __future__ import annotations

import importlib.util
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len, set_cell_size

from hpo.lazy import lazy_import
from hpo.review.trial_choice import local
from hpo.review.trials import TrialTable
from hpo.spec.choices import text_of
from hpo.spec.faults import UserError
from hpo.spec.space import show
from hpo.training.members import spread_name

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy_import("pandas")

Form = Literal["table", "csv", "json", "parquet"]
_BY_SUFFIX: dict[str, Form] = {
    ".csv": "csv",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "table",
}
_WIDEST = 28  # characters of a cell, where columns are chosen to fit a terminal
_GAP = "  "
_NAMED = 5  # of the columns that have no place


def form_of(output: Path | None) -> Form:
    """Return the form that a file's name says. Raises UserError if it says none."""
    if output is None:
        return "table"
    if output.suffix.lower() not in _BY_SUFFIX:
        raise UserError(f"--output {output}: its name says no format ({', '.join(_BY_SUFFIX)}; or give --format)")
    return _BY_SUFFIX[output.suffix.lower()]


def bytes_of(form: Form, table: TrialTable, rows: pd.DataFrame) -> bytes:
    """Return rows of a table in a form, whole. Raises UserError if Parquet's library is not installed."""
    writers: dict[Form, Callable[[TrialTable, pd.DataFrame], bytes]] = {
        "table": lambda table, rows: _encoded(plain_table(rows)),
        "csv": _csv,
        "json": _json,
        "parquet": _parquet,
    }
    return writers[form](table, rows)


def plain_table(rows: pd.DataFrame) -> str:
    """Return all rows and columns as an aligned text, however wide it gets."""
    return _aligned(_cells(rows), rows)


def fitted_table(table: TrialTable, rows: pd.DataFrame, width: int) -> tuple[str, list[str]]:
    """Return rows as an aligned text of at most so many characters a line, and the columns that had no place.

    The columns that people look for come first; long cells are cut.
    """
    cells = {name: [_cut(cell) for cell in column] for name, column in _cells(rows).items()}
    kept: list[str] = []
    left_out: list[str] = []
    used = 0
    for name in _by_interest(table, rows):
        if len(rows) and rows[name].isna().all():
            continue
        needed = max(map(cell_len, (name, *cells[name]))) + (len(_GAP) if kept else 0)
        if used + needed <= width or name == "number":
            kept.append(name)
            used += needed
        else:
            left_out.append(name)
    return _aligned({name: cells[name] for name in kept}, rows), left_out


def _by_interest(table: TrialTable, rows: pd.DataFrame) -> list[str]:
    """Return all columns: what the trial came to, then what was searched, then the rest."""
    last = table.column("metric", table.metric)
    ended = rows["value"].notna()
    same = last is not None and (rows["value"] == rows[last])[ended].all()
    spread = table.column("metric", spread_name(table.metric))  # between the members of a trial
    shown = [name for name in (last, spread) if name is not None]
    first = ["number", "state", *([] if same else ["value"]), *shown]
    if rows["state"].isin(["failed", "interrupted"]).any():
        first.append("reason")
    parameters = [column.name for column in table.columns if column.kind == "parameter"]
    varied = [name for name in parameters if rows[name].map(json.dumps, na_action="ignore").nunique(dropna=False) > 1]
    wanted = [*first, *varied, "duration", "epochs_trained", "reason", *rows.columns]
    return [name for name in dict.fromkeys(wanted) if name != "value" or not same]


def _cells(rows: pd.DataFrame) -> dict[str, list[str]]:
    return {name: _texts(rows[name]) for name in rows.columns}


def _texts(column: pd.Series[Any]) -> list[str]:
    """Return a column's cells as people read them: numbers to six digits, `-` for what is missing."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return ["-" if pd.isna(moment) else f"{moment:%Y-%m-%d %H:%M:%S}" for moment in local(column)]
    return ["-" if value is None else _cell(value) for value in _plain(column)]


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return "".join(character if character.isprintable() else _escape(character) for character in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else show(value)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _cut(text: str) -> str:
    return text if cell_len(text) <= _WIDEST else set_cell_size(text, _WIDEST - 1).rstrip() + "…"


def _aligned(cells: dict[str, list[str]], rows: pd.DataFrame) -> str:
    columns = []
    for name, texts in cells.items():
        lines = [_cell(name), *texts]
        width = max(map(cell_len, lines))
        right = pd.api.types.is_numeric_dtype(rows[name].dtype) and rows[name].dtype != "boolean"
        columns.append([_padded(text, width, right) for text in lines])
    return "\n".join(_GAP.join(line).rstrip() for line in zip(*columns, strict=True)) + "\n"


def _padded(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks


def _plain(column: pd.Series[Any]) -> list[Any]:
    """Return a column's values as Python has them; None for what is missing."""
    return column.astype(object).where(column.notna(), None).tolist()


def _csv(table: TrialTable, rows: pd.DataFrame) -> bytes:
    text = _flat(table, rows).to_csv(index=False, lineterminator="\n", date_format="%Y-%m-%dT%H:%M:%S.%f%z")
    return _encoded(text)


def _json(table: TrialTable, rows: pd.DataFrame) -> bytes:
    """Write a list of objects, one a line."""
    columns = {name: [_jsonable(value) for value in _plain(rows[name])] for name in rows.columns}
    records = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    lines = (json.dumps(record, ensure_ascii=False) for record in records)
    return _encoded("[" + ",\n ".join(lines) + "]\n")


def _jsonable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no such numbers
    return value.isoformat() if isinstance(value, pd.Timestamp) else value


def _parquet(table: TrialTable, rows: pd.DataFrame) -> bytes:
    if importlib.util.find_spec("pyarrow") is None:
        raise UserError("--format parquet needs pyarrow (pip install pyarrow), or take csv or json")
    file = io.BytesIO()
    _flat(table, rows).to_parquet(file, engine="pyarrow", index=False)
    return file.getvalue()


def _flat(table: TrialTable, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with texts in columns that hold several types, lists or mappings: a text as it is, all else as JSON;
    the text as JSON, too, where two choices would otherwise look the same."""
    changed = {}
    for column in table.columns:
        if column.name in rows.columns and rows[column.name].dtype == object:
            as_text = json.dumps if column.of in table.quoted else text_of
            texts = [None if value is None else as_text(value) for value in _plain(rows[column.name])]
            changed[column.name] = pd.Series(texts, index=rows.index, dtype="str")
    return rows.assign(**changed)


def _encoded(text: str) -> bytes:
    """Return a text as UTF-8; halves of characters, as in a file's name that is no UTF-8, as escapes."""
    return text.encode("utf-8", "backslashreplace")


def left_out_words(names: Sequence[str]) -> str:
    """Return what is said of columns that had no place."""
    more = ", ..." if len(names) > _NAMED else ""
    return f"{len(names)} more columns: {', '.join(names[:_NAMED])}{more} (--columns A,B; --format csv has all)"
