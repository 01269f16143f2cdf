"""What the columns of a table are, by its training rows: numbers in which spelling, truths, texts, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.faults import Fault, SpecError
from hpo.training.data.column_keys import names_of
from hpo.training.data.columns import to_numbers
from hpo.training.data.csv_rows import clip, listed
from hpo.training.data.dates import DateChoice, DateSpelling, date_choices, looks_like_a_date, seen_dates
from hpo.training.data.spelled import EXAMPLES, SAMPLE, Spelled
from hpo.training.data.spelling import NumberSpelling, SpellingRules
from hpo.training.data.suspicions import named_like_an_identifier

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy_import("pandas")

MAX_CATEGORIES = 20  # one-hot columns of a text column; the rarer categories share the last
_ROW_NUMBERS = frozenset({"", "id", "index", "row", "rownumber", "row_number", "unnamed: 0"})
IDENTIFIERS = "row numbers or identifiers; to use one: data.numeric"


@dataclass
class TableColumns:
    """What the training rows say the columns are."""

    numbers: list[str] = field(default_factory=list)
    truths: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    spellings: dict[str, NumberSpelling] = field(default_factory=dict)  # of numbers that Python reads otherwise
    dates: dict[str, DateSpelling] = field(default_factory=dict)


@dataclass(frozen=True)
class TableRules:
    """What a sweep file says of a table's columns, for all of them."""

    spelling: SpellingRules
    scale: bool = True
    dayfirst: bool | None = None
    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    encoding: str = "utf-8"

    @staticmethod
    def of(options: Mapping[str, Any]) -> TableRules:
        """options: a `data` section with the values of its options, see `fill_options`."""
        return TableRules(
            SpellingRules.of(options),
            options["scale"],
            options["dayfirst"],
            names_of(options, "categorical"),
            names_of(options, "numeric"),
            options.get("encoding", "utf-8"),
        )


def read_numbers(table: pd.DataFrame, name: str, rules: SpellingRules) -> tuple[pd.Series[Any], list[str]]:
    """Return a column's numbers by its spelling, NaN for what is none, and what there is to say of it.

    table: the whole, whose other columns may show what this one leaves open.
    """
    numbers = to_numbers(table[name])
    points = rules.separator == ";" and bool(table[name].str.contains(".", regex=False).any())
    if rules.is_open and not points and numbers[table[name].notna()].notna().all():
        return numbers, []
    spelled = Spelled(table, rules)
    return to_numbers(table[name], spelled.numbers.get(name)), spelled.notes([name])


def classify(train: pd.DataFrame, rules: TableRules, witness: pd.Series[Any] | None = None) -> TableColumns:
    """Decide by the training rows, which are texts, what each column is and how its numbers are spelled.

    witness: a column of numbers that is no feature, the target, which may show what a feature leaves open.
    """
    columns = TableColumns()
    dropped: dict[str, list[str]] = {}
    said = [*rules.categorical, *rules.numeric]
    spelled = Spelled(train, rules.spelling, rules.numeric, witness)
    dates = read_dates(train.drop(columns=said, errors="ignore"), spelled, rules)
    for name in train.columns:
        present = train[name].dropna()
        distinct = present.nunique()
        if present.empty:
            dropped.setdefault("empty", []).append(name)
        elif distinct == 1 and len(present) == len(train):
            dropped.setdefault("constant", []).append(name)
        elif name in rules.categorical:
            columns.texts.append(name)
        elif name in rules.numeric:
            columns.numbers.append(name)
            columns.spellings |= _as_numbers(present, spelled, columns.notes)
        elif set(present.str.lower().unique()) <= {"true", "false"}:
            columns.truths.append(name)
        elif name in dates:
            columns.dates[name] = dates[name].spelling
        elif name in spelled.numbers:
            spelling = spelled.numbers[name]
            numbers = to_numbers(present, spelling)
            if _counts_rows(name, numbers):
                dropped.setdefault(IDENTIFIERS, []).append(name)
            else:
                columns.numbers.append(name)
                columns.spellings |= {name: spelling} if spelling is not None else {}
        elif distinct == len(train):
            dropped.setdefault("text that differs in every row", []).append(name)
        else:
            columns.texts.append(name)
    standardised = ", standardised" if rules.scale else ""
    unique = dropped.get("text that differs in every row", [])
    told = [name for name in [*columns.texts, *unique] if name not in said]
    columns.notes += spelled.notes([*(name for name in columns.numbers if name in spelled.numbers), *told])
    if columns.numbers:
        columns.notes.append(f"numbers, gaps filled with the median{standardised}: {listed(columns.numbers)}")
    columns.notes += _date_notes(train, {name: dates[name] for name in columns.dates}, told)
    if columns.truths:
        columns.notes.append(f"true or false, as 1 or 0{standardised}: {listed(columns.truths)}")
    if columns.texts:
        columns.notes.append(f"text, one column a category: {listed(columns.texts)}")
    counts = {name: train[name].nunique() for name in columns.texts}
    if many := [f"{name} ({count})" for name, count in counts.items() if count > MAX_CATEGORIES]:
        few = f"only the {MAX_CATEGORIES - 1} most frequent categories are told apart in: {listed(many)}"
        columns.notes.append(few)
    columns.dropped += [name for names in dropped.values() for name in names]
    columns.notes += [f"dropped ({why}): {listed(names)}" for why, names in dropped.items() if names]
    return columns


def _as_numbers(present: pd.Series[Any], spelled: Spelled, notes: list[str]) -> dict[str, NumberSpelling]:
    """Return the spelling of a column that is numeric by the sweep file, if Python reads it otherwise; its notes are
    added. What is no number is missing.

    Raises SpecError if there is no number.
    """
    name = str(present.name)
    spelling = spelled.numbers[name] if name in spelled.numbers else spelled.of_most(name)
    odd = present[to_numbers(present, spelling).isna()]
    if len(odd) == len(present):
        told = f"{name!r} has no number, but {listed(repr(clip(text)) for text in odd.unique()[:EXAMPLES])}"
        raise SpecError([Fault(told, ("numeric",), remedy="leave it out; or data.decimal, data.thousands")], "data")
    if len(odd):
        first = ", ".join(repr(clip(text)) for text in odd.unique()[:EXAMPLES])
        count = f"{len(odd)} of {len(present)} values"
        notes.append(f"warning: {clip(name)!r} is numeric: {count} are no number, so missing: {first}")
    return {name: spelling} if spelling is not None else {}


def read_dates(table: pd.DataFrame, spelled: Spelled, rules: TableRules) -> dict[str, DateChoice]:
    """Return which columns are dates, and how they are written. Of numbers only eight digits, 20240213, are dates."""
    candidates = {}
    for name in table.columns:
        values = table[name].dropna()
        if name not in spelled.numbers or (not values.empty and (values.str.len() == len("20240213")).all()):
            candidates[name] = seen_dates(values.unique())
    return date_choices(candidates, rules.dayfirst, rules.spelling.separator)


def _date_notes(table: pd.DataFrame, dates: Mapping[str, DateChoice], texts: Iterable[str]) -> list[str]:
    """Return what there is to say of dates, and of texts that look like some."""
    notes, doubts, strays = [], [], []
    for name, choice in dates.items():
        moment = choice.spelling.moment(choice.example)
        shown = f"{clip(name)!r} ({clip(choice.example)!r} is {moment.local:%Y-%m-%d})" if moment else ""
        notes.append(shown)
        doubts += [shown] if choice.doubtful else []
    for name in texts:
        counts = table[name].value_counts(sort=False)[:SAMPLE]
        odd = [text for text in counts.index if not looks_like_a_date(text)]
        if counts[odd].sum() < counts.sum() / 2:
            seen = seen_dates(counts.index)
            examples = odd[:EXAMPLES] or [seen.example, seen.misfit or seen.example]
            strays.append(
                f"{clip(name)!r} because of {', '.join(repr(clip(text)) for text in dict.fromkeys(examples))}"
            )
    said = []
    if notes:
        said.append(f"dates, as days, year, month, day of the year, weekday and hour where they vary: {listed(notes)}")
    if doubts:
        said.append(f"warning: dates that may be read in two ways: {listed(doubts)}; say data.dayfirst")
    if strays:
        why = "no one form fits all values, or they are seasons"
        said.append(f"warning: look like dates, but counted as text: {listed(strays)} ({why})")
    return said


def _counts_rows(name: str, numbers: pd.Series[Any]) -> bool:
    """Whether a column only tells the file's rows apart: named so, whole, and different in each row."""
    named = name.lower() in _ROW_NUMBERS or named_like_an_identifier(name)
    return named and bool(numbers.is_unique and (numbers % 1 == 0).all())
