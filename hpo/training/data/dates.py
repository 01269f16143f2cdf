"""How a column of a table writes its dates, and what a model gets of them. Standard library alone.

Dates are ISO 8601 (`2024-02-13`, `2024-02-13T09:30:00+01:00`, `2024-02`), numbers (`13.02.2024`, `02/13/24`), with the
name of the month (`13 Feb 2024`, `February 13, 2024`; English), or eight digits (`20240213`); each with or without a
time of day and a zone. A column has one form. Whether the day or the month comes first in `02/03/2024` is decided by
all its values, else by the other columns. `dayfirst` is pandas.read_csv's word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from hpo.spec.contract import Known

DATE_OPTIONS: dict[str, Known] = {
    "dayfirst": Known("bool", None, "whether 02/03/2024 is the 2nd of March; default: as each column shows"),
}
ISO, NUMERIC, NAMED, COMPACT = "iso", "numeric", "named", "compact"
TREND, WEEKDAY = "days", "weekday"
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_REST = ("uary", "ruary", "ch", "il", "", "e", "y", "ust", "tember", "ober", "ember", "ember")  # of their names
_ZONE = r"Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?"
_TIME = (
    r"(?:,?[T\s]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d{1,9})?)?\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
    rf"\s*(?P<zone>{_ZONE})?)?"
)
_ZONED = re.compile(rf":\d{{2}}(?:[.,]\d{{1,9}})?\s*(?:[AaPp]\.?[Mm]\.?)?\s*(?:{_ZONE})$")
_YEAR_MONTH = re.compile(r"(\d{4})[-/.](\d{1,2})(?:\D.*)?")
_WITH_DAY = re.compile(r"\d{4}([-/.])\d{1,2}\1\d")
_YEARS = range(1900, 2101)  # of a year and a month alone: 1021-10 is the number of a part
_NAMED_DAY = r"(?:[A-Za-z]{3,9}\.?,?\s+)?"  # Tue, or Tuesday
_FORMS = {
    ISO: [re.compile(r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?:(?P=mark)(?P<day>\d{1,2}))?" + _TIME)],
    NUMERIC: [
        re.compile(r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<other>\d{1,2})(?P=mark)(?P<year>\d{4})" + _TIME),
        re.compile(r"(?P<first>\d{1,2})(?P<mark>[-/])(?P<other>\d{1,2})(?P=mark)(?P<year>\d{2})" + _TIME),
        re.compile(r"(?P<first>\d{2})(?P<mark>\.)(?P<other>\d{2})(?P=mark)(?P<year>\d{2})" + _TIME),  # not 1.2.10
    ],
    NAMED: [
        re.compile(
            _NAMED_DAY
            + r"(?P<day>\d{1,2})(?:st|nd|rd|th)?[\s.-]+(?P<name>[A-Za-z]{3,9})\.?,?[\s.-]+(?P<year>\d{4}|\d{2})"
            + _TIME
        ),
        re.compile(
            _NAMED_DAY
            + r"(?P<name>[A-Za-z]{3,9})\.?[\s-]+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?[\s-]+(?P<year>\d{4})"
            + _TIME
        ),
        re.compile(r"(?P<name>[A-Za-z]{3,9})\.?[\s-]+(?P<year>\d{4})"),
    ],
    COMPACT: [
        re.compile(
            r"(?P<year>(?:19|20)\d{2})(?P<month>\d{2})(?P<day>\d{2})"
            r"(?:T(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})?)?"
        )
    ],
}  # fmt: skip


class Moment(NamedTuple):
    """A date with its time of day, as the clocks of its place have it, and how far they are ahead of UTC."""

    local: datetime
    ahead: timedelta = timedelta()


@dataclass(frozen=True)
class DateSpelling:
    """How the dates of a column are written: one of the forms; of numbers, whether the day comes first."""

    form: str
    dayfirst: bool = False

    def moment(self, text: str) -> Moment | None:
        """Return the moment that a text says; None if it is not written so, nor by ISO 8601."""
        text = text.strip()
        return _moment(text, self.form, self.dayfirst) or _moment(text, ISO, False)


@dataclass(frozen=True)
class DateChoice:
    """How a column writes its dates, and whether the other order of day and month would have been as good."""

    spelling: DateSpelling
    doubtful: bool = False
    example: str = ""  # a value; if doubtful, one that may be two days


class SeenDates:
    """What the values of one column say of its dates. `see` all of them, then ask."""

    def __init__(self) -> None:
        self.written = {(form, first) for form in _FORMS for first in ((False, True) if form == NUMERIC else (False,))}
        self.example = self.misfit = ""
        self.in_doubt = ""  # the first value that may be two days
        self.seasons = True  # whether all are a year and the next, 2001-02
        self.points = False  # 13.02.2024: where they write so, the day comes first

    @property
    def fits(self) -> bool:
        """Whether all values are dates of one form. Years and the next ones, `2001-02` and `2007-08`, are seasons."""
        return not self.seasons and bool(self.written and self.example)

    def see(self, text: str) -> bool:
        """Look at a value that is not missing. Return whether all so far are dates of one form."""
        text = text.strip()
        self.written = {each for each in self.written if _moment(text, *each) is not None}
        month = _year_month(text)
        if month is not None and month[0] not in _YEARS:
            self.written.clear()
        self.seasons = self.seasons and month is not None and (month[0] + 1) % 100 == month[1]
        self.example = self.example or text
        if not self.in_doubt and len(self.written) > 1 and len({_moment(text, *each) for each in self.written}) > 1:
            self.in_doubt = text
        self.misfit = "" if self.written else self.misfit or text
        self.points = self.points or "." in text[:3]
        return bool(self.written)


def seen_dates(values: Iterable[str]) -> SeenDates:
    """Return what the values of a column say; after the first that is no date, no more are looked at."""
    seen = SeenDates()
    for text in values:
        if not seen.see(text):
            break
    return seen


def date_choices(seen: Mapping[str, SeenDates], dayfirst: bool | None, separator: str) -> dict[str, DateChoice]:
    """Return how each column writes its dates whose values all are some.

    dayfirst: what the sweep file says, None: nothing; a column of which it isn't true is none of dates.
    """
    fitting = {name: each.written for name, each in seen.items() if each.fits}
    shown = {first for written in fitting.values() if len(written) == 1 for form, first in written if form == NUMERIC}
    found = {}
    for name, written in fitting.items():
        form = next(iter(sorted(form for form, _ in written)))
        orders = {first for own, first in written if own == form}
        if form == NUMERIC and dayfirst is not None:
            orders &= {dayfirst}
        if not orders:
            continue
        if len(orders) == 1:
            found[name] = DateChoice(DateSpelling(form, orders.pop()), example=seen[name].example)
        elif len(shown) == 1 or seen[name].points:
            first = seen[name].points or next(iter(shown))
            found[name] = DateChoice(DateSpelling(form, first), example=seen[name].example)
        else:
            # Where every day is its month's own number, 01/01 and 02/02, nothing is in doubt.
            example = seen[name].in_doubt
            found[name] = DateChoice(DateSpelling(form, separator == ";"), bool(example), example or seen[name].example)
    return found


def looks_like_a_date(text: str) -> bool:
    """Whether a text is a date in some form."""
    return bool(seen_dates([text]).written)


def _year_month(text: str) -> tuple[int, int] | None:
    found = _YEAR_MONTH.fullmatch(text)
    return (int(found[1]), int(found[2])) if found and not _WITH_DAY.match(text) else None


def parts_of(moment: Moment, origin: datetime) -> dict[str, float | str]:
    """Return what a model gets of a date: the days since `origin` (a trend), the year, the month, the day of the year
    as a point on a circle, the weekday's name, and the hour, as a number and as a point on a circle."""
    local = moment.local
    turn = 2 * math.pi * (local.timetuple().tm_yday - 1) / 365.25
    hour = local.hour + local.minute / 60 + local.second / 3600
    return {
        TREND: days_since(origin, moment),
        "year": float(local.year),
        "month": float(local.month),
        "day of year, sine": math.sin(turn),
        "day of year, cosine": math.cos(turn),
        WEEKDAY: WEEKDAYS[local.weekday()],
        "hour": hour,
        "hour, sine": math.sin(2 * math.pi * hour / 24),
        "hour, cosine": math.cos(2 * math.pi * hour / 24),
    }


def days_since(origin: datetime, moment: Moment) -> float:
    """Return the days, of 24 hours, from a moment of UTC to another moment."""
    return (moment.local - origin) / timedelta(days=1) - moment.ahead / timedelta(days=1)


def names_zone(text: str) -> bool:
    """Whether a text that is a date says of which zone its time of day is."""
    return _ZONED.search(text) is not None


@lru_cache(maxsize=65536)
def _moment(text: str, form: str, dayfirst: bool) -> Moment | None:
    if len(text) > 60:
        return None
    for pattern in _FORMS[form]:
        if match := pattern.fullmatch(text):
            return _made(match.groupdict(), dayfirst)
    return None


def _made(found: dict[str, Any], dayfirst: bool) -> Moment | None:
    """Return the moment of a match's groups; None if there is no such day or time."""
    if "first" in found:
        both = found["first"], found["other"]
        found["day"], found["month"] = both if dayfirst else reversed(both)
    if "name" in found:
        month = _month(found["name"])
        if month is None:
            return None
        found["month"] = month
    year = int(found["year"])
    if len(found["year"]) == 2:
        year += 1900 if year >= 69 else 2000  # as POSIX has it
    hour = int(found.get("hour") or 0)
    if half := found.get("half"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    try:
        minute, second = int(found.get("minute") or 0), int(found.get("second") or 0)
        local = datetime(year, int(found["month"]), int(found.get("day") or 1), hour, minute, second)
    except ValueError:
        return None
    zone = found.get("zone") or "Z"
    if zone[0] not in "+-":
        return Moment(local)
    ahead = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:].lstrip(":") or 0))
    return Moment(local, ahead if zone[0] == "+" else -ahead)


def _month(name: str) -> int | None:
    word = name.lower()
    if word == "sept":
        return 9
    names = enumerate(zip(_MONTHS, _REST, strict=True), 1)
    return next((place for place, (short, rest) in names if word in (short, short + rest)), None)
