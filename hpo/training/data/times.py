"""The column of a table that orders its rows: dates or numbers, read as one kind. Standard library alone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from hpo.training.data.dates import ISO, NAMED, NUMERIC, DateSpelling, date_choices, days_since, seen_dates
from hpo.training.data.spelling import SpellingRules, choices, python_number, seen_numbers

_EPOCH = datetime(1970, 1, 1)
_FORMS = (DateSpelling(ISO), DateSpelling(NUMERIC), DateSpelling(NUMERIC, dayfirst=True), DateSpelling(NAMED))
ONE_FORM = "all in one form, such as 2024-02-13 or 2024-02-13 09:30; of 02/03/2024 say data.dayfirst"

Times = dict[str, float | None]

_MONTH, _DAY, _YEAR = "(0?[1-9]|1[0-2])", "(0?[1-9]|[12][0-9]|3[01])", "(19|20)[0-9]{2}"
# Dates without a form of their own that are numbers as well, in another order: 01.2019, 13022024, 13.02
_DATES_AS_NUMBERS = (
    re.compile(rf"{_MONTH}\.{_YEAR}"),
    re.compile(rf"(0[1-9]|[12][0-9]|3[01])(0[1-9]|1[0-2]){_YEAR}"),
    re.compile(rf"{_DAY}\.(0[1-9]|1[0-2])\.?"),
)
_MONTHS_OF_YEARS = re.compile(rf"{_YEAR}\.{_MONTH}")  # out of order only where 2022.1 and 2022.10 are both there
_FEW = 3  # different texts, of which nothing can be said


def times_of(texts: Iterable[str], rules: SpellingRules, dayfirst: bool | None) -> Times:
    """Return for each text a number that orders it: the number that it says, or its days since 1970 by UTC.

    None: it is neither, as most of the others are. So is every date where day and month are in doubt: a wrong order
    would show what comes later. rules: how numbers are spelled; dayfirst: what the sweep file says of dates.
    """
    distinct = list(dict.fromkeys(texts))
    best: Times = dict.fromkeys(distinct)
    for reading in _readings(distinct, rules, dayfirst):
        missing = sum(found is None for found in reading.values())
        if not missing:
            return reading
        if missing < sum(found is None for found in best.values()):
            best = reading
    return best


def in_doubt(texts: Iterable[str], rules: SpellingRules, dayfirst: bool | None) -> str:
    """Return a date that may be two days, where all are dates and none of them decides; "" if that is not so."""
    choice = date_choices({"": seen_dates(dict.fromkeys(texts))}, dayfirst, rules.separator).get("")
    return choice.example if choice is not None and choice.doubtful else ""


def _readings(texts: list[str], rules: SpellingRules, dayfirst: bool | None) -> Iterator[Times]:
    ordered = not _are_dates_as_numbers(texts)
    if rules.is_open and ordered:
        yield {text: _finite(python_number(text)) for text in texts}
    seen = seen_numbers(texts, rules, counts=True)
    if seen.fits and ordered:
        spelling = choices({"": seen}, rules.separator)[""].spelling
        yield {text: _finite(spelling.number(text)) for text in texts}
    dates = seen_dates(texts)
    choice = date_choices({"": dates}, dayfirst, rules.separator).get("")
    if choice is not None and not choice.doubtful:
        yield _days(texts, choice.spelling)
    elif choice is not None or (dates.written and dates.example and not dates.seasons):  # in doubt, or not as is said
        yield dict.fromkeys(texts)
    else:  # no form fits all: those that fit most tell which texts are odd
        for form in _FORMS:
            found = _days(texts, form)
            if form.form == ISO or None in found.values():  # seasons, 2001-02, are in order as months
                yield found


def _are_dates_as_numbers(texts: list[str]) -> bool:
    """Whether numbers look like dates, which they would bring into another order: 01.2020 before 02.2019."""
    if len(texts) < _FEW:
        return False
    compact = all(date_choices({"": seen_dates([text])}, None, ",") for text in texts)  # 20240213 is in order
    if any(all(form.fullmatch(text) for text in texts) for form in _DATES_AS_NUMBERS) and not compact:
        return True
    months = [found[2] for text in texts if (found := _MONTHS_OF_YEARS.fullmatch(text))]
    return len(months) == len(texts) and any(len(month) == 1 for month in months) and any(int(m) > 9 for m in months)


def _days(texts: list[str], spelling: DateSpelling) -> Times:
    return {text: (moment := spelling.moment(text)) and days_since(_EPOCH, moment) for text in texts}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
