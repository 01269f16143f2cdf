"""Which rows and columns of a table of trials are wanted, and in which order."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.ledger.study.records import local_time
from hpo.review.trials import TrialTable
from hpo.spec.faults import UserError, closest, did_you_mean, shortened

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy_import("pandas")


def chosen(
    table: TrialTable, where: str | None = None, sort: str | None = None, top: int | None = None
) -> pd.DataFrame:
    """Return the rows that are wanted: those that meet the condition, in order, the first `top` of them.

    where: an expression of pandas' DataFrame.query. sort: a column, with `-` before it the largest first; None: the
    best first. Missing values come last. Raises UserError if a column is unknown or the condition is none.
    """
    frame = table.ranked()
    if where is not None:
        frame = frame[_mask(frame, where)]
    if sort is not None:
        frame = _sorted(frame, sort)
    return frame if top is None else frame.head(top)


def chosen_columns(names: Iterable[str], text: str) -> list[str]:
    """Return the columns of a list like `number,val_loss`; a name with a comma in it stands in double quotes.

    Raises UserError if one is unknown.
    """
    known = list(names)
    wanted = [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
    if not wanted or "" in wanted:
        raise UserError(f"--columns {text!r}: name columns, with commas between them")
    for name in wanted:
        if name not in known:
            raise _unknown("--columns", name, known)
    if twice := next((name for name in wanted if wanted.count(name) > 1), None):
        raise UserError(f"--columns: {twice!r} is named more than once")
    return wanted


def _sorted(frame: pd.DataFrame, sort: str) -> pd.DataFrame:
    name, down = sort, False
    if sort not in frame.columns and sort.startswith("-"):
        name, down = sort[1:], True
    if name not in frame.columns:
        raise _unknown("--sort", name, frame.columns)
    values = frame[name]
    if values.dtype == object:
        there = values[values.notna()]
        order = {text: place for place, text in enumerate(sorted({_order(value) for value in there}))}
        values = values.map(lambda value: None if value is None else order[_order(value)]).astype("float64")
    return frame.loc[values.sort_values(ascending=not down, kind="stable", na_position="last").index]


def _order(value: Any) -> tuple[int, float, str]:
    """Return a key of a value among values of several types: numbers first, then texts, then all else as JSON."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0, float(value), ""
    return (1, 0.0, value) if isinstance(value, str) else (2, 0.0, json.dumps(value))


def _mask(frame: pd.DataFrame, where: str) -> pd.Series[bool]:
    seen = _comparable(frame)
    try:
        # Without the names of this function's and its callers' variables, which pandas would offer as @name.
        found = seen.eval(where, engine="python", local_dict={}, global_dict={})
    except Exception as error:  # whatever pandas, Python or a comparison says of the user's expression
        raise _refused(frame, where, error) from None
    if not isinstance(found, pd.Series) or found.dtype not in ("bool", "boolean"):
        hint = "two signs, ==, compare" if re.search(r"[^=<>!]=[^=]", where) else "such as val_loss < 0.3"
        raise UserError(f"--where {shortened(where)!r} is no condition on columns ({hint})")
    return found.fillna(False).astype(bool)


def _comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame as conditions see it: times are local, without a zone, as the table shows them; lists and
    mappings are their JSON texts; and a missing whole number is met by `!=` only, as other missing values are."""
    changed: dict[str, pd.Series[Any]] = {}
    for name in frame.columns:
        column = frame[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            changed[name] = local(column)
        elif column.dtype == object:
            changed[name] = column.map(lambda value: json.dumps(value) if isinstance(value, list | dict) else value)
        elif column.dtype == "Int64":
            changed[name] = column.astype("float64" if column.isna().any() else "int64")
    return frame.assign(**changed)


def local(times: pd.Series[Any]) -> pd.Series[Any]:
    """Return moments as local times without a zone."""
    moments = [None if pd.isna(moment) else local_time(moment.timestamp()) for moment in times]
    return pd.Series(moments, index=times.index, dtype="datetime64[us]")


def _refused(frame: pd.DataFrame, where: str, error: Exception) -> UserError:
    missing = re.fullmatch(r"name '(\w+)' is not defined", str(error))
    text = shortened(where)
    if missing is None:
        said = " ".join(str(error).split()).removesuffix(" (<unknown>, line 1)") or type(error).__name__
        return UserError(f"--where {text!r}: {shortened(said)} ({_columns(frame)})")
    name = missing[1]
    if name.startswith("BACKTICK_QUOTED_STRING_"):
        return UserError(f"--where {text!r}: there is no column of the name between the backticks ({_columns(frame)})")
    if closest(name, frame.columns) is not None:
        return _unknown(f"--where {text!r}", name, frame.columns)
    return UserError(
        f"--where {text!r}: there is no column {name!r} (text stands in quotes: state == 'complete'; {_columns(frame)})"
    )


def _columns(frame: pd.DataFrame) -> str:
    names = (name if name.isidentifier() else f"`{name}`" for name in frame.columns)
    return f"columns: {', '.join(names)}"


def _unknown(option: str, name: str, known: Iterable[str]) -> UserError:
    return UserError(f"{option}: there is no column {name!r} ({did_you_mean(name, known)})")
