"""A table's column of dates as columns of numbers and of weekdays, fitted on the training rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.training.data.dates import TREND, WEEKDAY, DateSpelling, Moment, parts_of

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy_import("pandas")


@dataclass(frozen=True)
class DateColumn:
    """A column of dates.

    origin: the first of training, as ISO 8601 has it: the trend counts days from there. parts: those of
    hpo.training.data.dates.parts_of that are of use, each with the name of its column; the first is the trend.
    """

    name: str
    spelling: DateSpelling
    origin: str
    parts: tuple[tuple[str, str], ...]

    @staticmethod
    def fit(column: pd.Series[Any], spelling: DateSpelling, taken: Collection[str]) -> DateColumn:
        """column: of training rows. taken: names of other columns. Parts that do not vary are left out."""
        found = moments(column, spelling)
        known = [moment for moment in found.values() if moment is not None]
        origin = min((moment.local for moment in known), default=datetime(1970, 1, 1))
        each = [parts_of(moment, origin) for moment in known]
        varied = [
            part for part in (each[0] if each else {}) if part == TREND or len({parts[part] for parts in each}) > 1
        ]
        names: dict[str, str] = {}
        for part in varied or [TREND]:
            name = f"{column.name}: {part}"
            while name in taken:
                name += "'"
            names[part] = name
        return DateColumn(str(column.name), spelling, origin.isoformat(), tuple(names.items()))

    @staticmethod
    def restored(plain: Mapping[str, Any]) -> DateColumn:
        parts = tuple((part, name) for part, name in plain["parts"])
        return DateColumn(plain["name"], DateSpelling(**plain["spelling"]), plain["origin"], parts)

    @property
    def trend(self) -> str:
        """The name of the trend's column."""
        return self.parts[0][1]

    @property
    def numbers(self) -> list[str]:
        """The names of the columns of numbers."""
        return [name for part, name in self.parts if part != WEEKDAY]

    @property
    def texts(self) -> list[str]:
        """The names of the columns of texts: weekdays."""
        return [name for part, name in self.parts if part == WEEKDAY]

    def expanded(self, table: pd.DataFrame) -> dict[str, pd.Series[Any]]:
        """Return the columns of the parts, with NaN for what is no date."""
        column, origin = table[self.name], datetime.fromisoformat(self.origin)
        found = {
            text: None if moment is None else parts_of(moment, origin)
            for text, moment in moments(column, self.spelling).items()
        }
        values = column.astype(object)
        return {
            name: values.map({text: parts[part] for text, parts in found.items() if parts}).astype(
                object if part == WEEKDAY else float
            )
            for part, name in self.parts
        }

    def odd(self, table: pd.DataFrame) -> pd.Series[Any]:
        """Return for each row whether something is there that is no date."""
        wrong = [text for text, moment in moments(table[self.name], self.spelling).items() if moment is None]
        return table[self.name].astype(object).isin(wrong)


def moments(column: pd.Series[Any], spelling: DateSpelling) -> dict[Any, Moment | None]:
    """Return the moment of each value of a cleaned column, None for what is none. Of numbers: 20240213."""
    return {value: spelling.moment(_text(value)) for value in column.dropna().unique()}


def _text(value: Any) -> str:
    return str(int(value)) if not isinstance(value, str) and value == value // 1 else str(value)
