"""What the training rows of a table taught: each column's kind, gaps, categories and scale, as plain data.

scikit-learn fits it (tabular.py); what turns a table into features is here alone, for training, for validation and for
predictions of a model that was written down. No pickle: `plain` gives lists, texts and numbers.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.faults import UserError, did_you_mean
from hpo.training.data.csv_rows import MISSING, clip, listed
from hpo.training.data.date_columns import DateColumn
from hpo.training.data.spelling import NumberSpelling

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
else:
    np = lazy_import("numpy")
    pd = lazy_import("pandas")

GAP = "missing"  # the category of a text that is not there
_TRUTHS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers, or of `true` and `false`, which are 1 and 0."""

    name: str
    truths: bool
    median: float | None  # fills the gaps; None: no training row has a number, so the column is left out
    marks_gaps: bool  # whether another feature says where the gaps are: training rows had some
    spelling: NumberSpelling | None = None  # None: as Python reads numbers

    def values(self, table: pd.DataFrame) -> NDArray[np.float64]:
        """Return the finite numbers of a cleaned table; NaN for gaps and for what is none."""
        return number_values(table[self.name], self.truths, self.spelling)

    @staticmethod
    def restored(plain: Mapping[str, Any]) -> NumberColumn:
        spelling = plain.get("spelling")  # earlier releases had none
        return NumberColumn(**{**plain, "spelling": NumberSpelling(**spelling) if spelling else None})


@dataclass(frozen=True)
class TextColumn:
    """A column of texts: a feature for each of `categories`, and one for all of `rare` together, if there are any.

    Any other text is counted as rare; without rare ones, all its features are 0.
    """

    name: str
    categories: tuple[str, ...]
    rare: tuple[str, ...]


@dataclass(frozen=True)
class FittedColumns:
    """From a table to a model's features; implements hpo.training.task.Preprocessing.

    Features, in this order: the numbers, the marks of their gaps (both standardised by `means` and `scales`), then each
    text column's categories. The parts of dates are among numbers and texts.
    """

    target: str
    separator: str
    numbers: tuple[NumberColumn, ...]
    texts: tuple[TextColumn, ...]
    unused: tuple[str, ...]  # what training dropped: empty or constant columns, row numbers
    means: tuple[float, ...]
    scales: tuple[float, ...]
    dates: tuple[DateColumn, ...] = ()
    encoding: str = "utf-8"  # of the file, as separator: a table to predict is read alike

    @property
    def needed(self) -> list[str]:
        """The columns that a table must have."""
        numbers, texts = self.plain_columns
        names = [column.name for column in numbers], [column.name for column in self.dates]
        return [*names[0], *names[1], *(column.name for column in texts)]

    @property
    def plain_columns(self) -> tuple[list[NumberColumn], list[TextColumn]]:
        """The columns of numbers and texts that are no parts of dates."""
        parts = {name for column in self.dates for _, name in column.parts}
        numbers = [column for column in self.numbers if column.name not in parts]
        return numbers, [column for column in self.texts if column.name not in parts]

    def apply(self, table: pd.DataFrame) -> NDArray[np.float32]:
        """Return the features [rows, features] of a table that `cleaned` has seen.

        Raises UserError if one is beyond float32.
        """
        table = with_dates(table, self.dates)
        with np.errstate(over="ignore"):
            x = np.column_stack([self._scaled(table), *(_one_hot(column, table) for column in self.texts)])
            x = x.astype(np.float32)
        faulty = np.flatnonzero(~np.isfinite(x).all(axis=0))
        if faulty.size:
            names = self._feature_names()
            told = listed(repr(names[index]) for index in faulty)
            raise UserError(
                f"data.csv: too large for float32 once standardised by the training rows: {told} "
                "(are these numbers sound? if so, use their logarithms)"
            )
        return x

    def features(self, frame: pd.DataFrame) -> tuple[NDArray[np.float32], list[str]]:
        """Return the features of any table with the needed columns, and in sentences what was not as in training.

        frame: columns as a CSV file's texts or as pandas read them, in any order.
        Raises UserError that names the columns that are not there, or stand there twice.
        """
        frame = frame.set_axis(pd.Index([str(name).strip() for name in frame.columns]), axis=1)
        self._check_names(list(frame.columns))
        table = cleaned(frame[self.needed])
        return self.apply(table), [*self._strays(list(frame.columns)), *self._oddities(table)]

    def plain(self) -> dict[str, Any]:
        return {"kind": "columns", **asdict(self)}

    @staticmethod
    def restored(plain: Mapping[str, Any]) -> FittedColumns:
        return FittedColumns(
            target=plain["target"],
            separator=plain["separator"],
            numbers=tuple(map(NumberColumn.restored, plain["numbers"])),
            texts=tuple(
                TextColumn(each["name"], tuple(each["categories"]), tuple(each["rare"])) for each in plain["texts"]
            ),
            unused=tuple(plain["unused"]),
            means=tuple(plain["means"]),
            scales=tuple(plain["scales"]),
            dates=tuple(map(DateColumn.restored, plain.get("dates", ()))),  # earlier releases had none
            encoding=plain.get("encoding", "utf-8"),
        )

    def _scaled(self, table: pd.DataFrame) -> NDArray[np.float64]:
        values = {column: column.values(table) for column in self.numbers}
        kept = [
            np.where(np.isnan(found), column.median, found)
            for column, found in values.items()
            if column.median is not None
        ]
        marks = [np.isnan(found).astype(np.float64) for column, found in values.items() if column.marks_gaps]
        if not kept + marks:
            return np.empty((len(table), 0))
        scaled: NDArray[np.float64] = (np.column_stack([*kept, *marks]) - np.array(self.means)) / np.array(self.scales)
        return scaled

    def _feature_names(self) -> list[str]:
        kept = [column.name for column in self.numbers if column.median is not None]
        marks = [f"{column.name} (missing)" for column in self.numbers if column.marks_gaps]
        texts = [f"{column.name} = {name}" for column in self.texts for name in (*column.categories, "rare")]
        return [*kept, *marks, *texts]  # never of a text: 0 and 1 are finite

    def _check_names(self, names: list[str]) -> None:
        if twice := {name for name in self.needed if names.count(name) > 1}:
            raise UserError(f"column names must differ, but there are two of {listed(map(repr, sorted(twice)))}")
        missing = [name for name in self.needed if name not in names]
        if missing:
            close = did_you_mean(missing[0], [name for name in names if name not in self.needed])
            remedy = close if close.startswith("did you") else f"there are: {listed(names)}"
            plural = "s" if len(missing) > 1 else ""
            raise UserError(f"the column{plural} {listed(map(repr, missing))} must be there ({remedy})")

    def _strays(self, names: list[str]) -> Iterator[str]:
        if self.target in names:
            yield f"the target column {self.target!r} is there, and not looked at"
        extra = [name for name in names if name not in {*self.needed, *self.unused, self.target}]
        if extra:
            yield f"columns that training did not have, ignored: {listed(map(repr, extra))}"

    def misfits(self, table: pd.DataFrame) -> Iterator[str]:
        """Tell in sentences what a table that `cleaned` has seen has where training had numbers, truths or dates."""
        for date in self.dates:
            yield from _misfit(table[date.name], date.odd(table).to_numpy(dtype=bool), "no date")
        for column in self.plain_columns[0]:
            yield from _no_number(column, table[column.name], np.isnan(column.values(table)))

    def unreadable(self, table: pd.DataFrame) -> list[str]:
        """Return the columns of numbers and dates that have values in a table that `cleaned` has seen, none of which is
        one as training's are."""
        odd = [(date.name, date.odd(table).to_numpy(dtype=bool)) for date in self.dates]
        odd += [(column.name, np.isnan(column.values(table))) for column in self.plain_columns[0]]
        there = [(name, gaps[table[name].notna().to_numpy()]) for name, gaps in odd]
        return [name for name, gaps in there if len(gaps) and gaps.all()]

    def _oddities(self, table: pd.DataFrame) -> Iterator[str]:
        numbers, texts = self.plain_columns
        for date in self.dates:
            yield from _misfit(table[date.name], date.odd(table).to_numpy(dtype=bool), "no date")
        for column in numbers:
            points = column.spelling is not None and column.spelling.thousands == "."
            if points and _is_numeric(table[column.name]) and table[column.name].dtype.kind == "f":
                yield (
                    f"{clip(column.name)!r} comes as numbers, which are taken as they are; if its texts were spelled "
                    "1.234 for 1234, as in training, read it as text"
                )
            gaps = np.isnan(column.values(table))
            yield from _no_number(column, table[column.name], gaps)
            if column.median is not None and not column.marks_gaps and (count := int(gaps.sum())):
                yield (
                    f"{clip(column.name)!r}: missing in {count} of {len(table)} rows, in none of training: "
                    f"taken as the median, {column.median:g}"
                )
        for each in texts:
            words = text_values(table[each.name], each)
            strange = ~words.isin([*each.categories, *each.rare])
            if count := int(strange.sum()):
                known = ", ".join(dict.fromkeys(repr(clip(text)) for text in words[strange].unique()[:3]))
                taken = "one of the rare ones" if each.rare else "none of the known ones"
                yield (
                    f"{clip(each.name)!r}: {count} of {len(table)} rows have a category that training did not have "
                    f"({known}), taken as {taken}"
                )


def _no_number(column: NumberColumn, values: pd.Series[Any], gaps: NDArray[np.bool_]) -> Iterator[str]:
    what = "neither true nor false" if column.truths else "no number"
    yield from _misfit(values, gaps & values.notna().to_numpy(), what)


def _misfit(values: pd.Series[Any], wrong: NDArray[np.bool_], what: str) -> Iterator[str]:
    if count := int(wrong.sum()):
        first = clip(str(values[wrong].iloc[0]))
        yield f"{clip(str(values.name))!r}: {count} of {len(values)} rows have {what} ({first!r}), taken as missing"


def with_dates(table: pd.DataFrame, dates: Sequence[DateColumn]) -> pd.DataFrame:
    """Return a cleaned table with columns for the parts of its dates."""
    if not dates:
        return table
    parts = {name: values for column in dates for name, values in column.expanded(table).items()}
    return pd.concat([table, pd.DataFrame(parts, index=table.index)], axis=1)


def cleaned(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with texts stripped and NaN for what says nothing (MISSING). Columns of numbers stay as they are,
    and so do numbers among other values; of these each becomes its text."""
    return pd.DataFrame({name: _cleaned(table[name]) for name in table.columns}, index=table.index)


def number_values(
    column: pd.Series[Any], truths: bool = False, spelling: NumberSpelling | None = None
) -> NDArray[np.float64]:
    """Return the finite numbers of a cleaned column; NaN for gaps and for what is none.

    truths: of true and false. spelling: of its texts; None: as Python reads numbers.
    """
    if truths:
        return np.asarray(_lower(column).map(_TRUTHS), dtype=np.float64)
    numbers = to_numbers(column, spelling).to_numpy(dtype=np.float64, copy=True)
    numbers[~np.isfinite(numbers)] = np.nan
    return np.asarray(numbers, dtype=np.float64)


def to_numbers(column: pd.Series[Any], spelling: NumberSpelling | None = None) -> pd.Series[Any]:
    """Return the numbers that a cleaned column says, which need not be finite; NaN for what is none.

    spelling: of its texts; None: as Python reads numbers. A column that pandas read as numbers is taken as it is.
    """
    if _is_numeric(column):
        return pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan), index=column.index)
    if spelling is not None:
        plain = {
            value: spelling.plain(value) if isinstance(value, str) else value
            for value in column.dropna().unique().tolist()
        }
        column = column.astype(object).map(plain)  # read below: the same bits as of a file with decimal points
    # As objects: pandas 3 reads its own strings one at a time, three times as slowly.
    return pd.to_numeric(column.astype(object), errors="coerce").astype(float)


def text_values(column: pd.Series[Any], fitted: TextColumn | None = None) -> pd.Series[Any]:
    """Return a cleaned column's texts, GAP where there is none.

    fitted: of a column that pandas read as numbers (here no row has another text), the text is the one that training
    had, if it had any: 2.0 is its `2`.
    """
    values = column.astype(object).where(column.notna(), GAP)
    if column.dtype == "str" or (not _is_numeric(column) and all(isinstance(each, str) for each in values.unique())):
        return values
    known = {*fitted.categories, *fitted.rare} if fitted else set()
    return values.map(lambda value: value if isinstance(value, str) else _number_text(value, known))


def _number_text(value: Any, known: set[str]) -> str:
    text = str(value)
    if text in known or float(value) % 1:
        return text
    whole = str(int(value))
    return whole if whole in known or f"{whole}.0" not in known else f"{whole}.0"


def _one_hot(column: TextColumn, table: pd.DataFrame) -> NDArray[np.float32]:
    width = len(column.categories) + bool(column.rare)
    places = {name: place for place, name in enumerate(column.categories)}
    unknown = len(column.categories) if column.rare else -1
    codes = text_values(table[column.name], column).map(lambda text: places.get(text, unknown))
    codes_array = codes.to_numpy(dtype=np.int64)
    found: NDArray[np.float32] = (codes_array[:, None] == np.arange(width)).astype(np.float32)
    return found


def _cleaned(column: pd.Series[Any]) -> pd.Series[Any]:
    if _is_numeric(column):
        return column
    if column.dtype == "str":
        texts = column.str.strip()
    else:
        texts = column.astype(object).map(_number_or_text, na_action="ignore")
    return texts.mask(texts.isin(MISSING) | texts.isna())


def _number_or_text(value: Any) -> Any:
    """Return a number of Python or NumPy as it is, for it is spelled in no way; anything else as text."""
    if isinstance(value, str | bool) or not isinstance(value, numbers.Real | Decimal):
        return str(value).strip()
    return value if isinstance(value, numbers.Integral) and abs(int(value)) < 2**63 else float(value)


def _lower(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.astype(object).map(lambda value: str(value).lower(), na_action="ignore")


def _is_numeric(column: pd.Series[Any]) -> bool:
    types = pd.api.types
    return (
        types.is_numeric_dtype(column) and not types.is_bool_dtype(column) and not types.is_complex_dtype(column)
    )  # fmt: skip
