"""Which columns of a table are numbers, by all of its columns together, and what there is to say of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.training.data.columns import to_numbers
from hpo.training.data.csv_rows import clip, listed
from hpo.training.data.spelling import (
    NumberSpelling,
    SeenNumbers,
    SpellingChoice,
    SpellingRules,
    choices,
    looks_like_a_number,
    python_number,
    seen_numbers,
    spellings_of,
)

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy_import("pandas")

EXAMPLES = 3  # values of a column that are shown
SAMPLE = 20_000  # distinct values of a column that are looked at where all were read as numbers already
_WITNESS = "\0"  # a name that no column has


class Spelled:
    """Which columns of a table are numbers, how they are spelled, and what there is to say of it."""

    def __init__(
        self,
        table: pd.DataFrame,
        rules: SpellingRules,
        numeric: Collection[str] = (),
        witness: pd.Series[Any] | None = None,
    ) -> None:
        """numeric: columns that are no codes. witness: another column of numbers, for what the table leaves open."""
        self._table, self._rules = table, rules
        present = {name: table[name].dropna() for name in table.columns}
        plain = {name for name, column in present.items() if to_numbers(column).notna().all()}
        self.codes = {name for name in plain if name not in numeric and _leading_zeros(present[name])}
        self._seen = {
            name: seen_numbers(present[name].unique().tolist(), rules, name in numeric)
            for name in present
            if name not in plain
        }
        if self._is_to_look_at_all():
            self._seen |= {
                name: seen_numbers(present[name].unique()[:SAMPLE].tolist(), rules) for name in plain - self.codes
            }
        self._witness: dict[str, SeenNumbers] = {}
        if witness is not None and any(seen.fits for seen in self._seen.values()):
            self._witness = {_WITNESS: seen_numbers(witness.dropna().unique().tolist(), rules)}
        found = self._found(self._seen)
        self.numbers: dict[str, NumberSpelling | None] = {}
        self._choices: dict[str, SpellingChoice] = {}
        for name, column in present.items():
            choice = found.get(name)
            if name in plain:
                choice = self._otherwise(name, column, choice)
                if choice is None and (name in self.codes or (name in self._seen and not self._seen[name].fits)):
                    continue
            elif choice is None:
                continue
            self.numbers[name] = choice.spelling if choice is not None else None
            if choice is not None:
                self._choices[name] = choice
        self.codes |= {name for name, seen in self._seen.items() if seen.is_code and name not in self.numbers}

    def _otherwise(self, name: str, column: pd.Series[Any], choice: SpellingChoice | None) -> SpellingChoice | None:
        """Return the choice for a column that Python reads as numbers: None, so that it is read as ever, unless the
        file shows that a point isn't decimal there. A doubt is noted."""
        if choice is None:
            return None
        if choice.spelling.decimal == ".":
            if choice.doubtful:
                self._choices[name] = choice
            return None
        return choice if seen_numbers(column.unique().tolist(), self._rules).fits else None

    def of_most(self, name: str) -> NumberSpelling | None:
        """Return the spelling in which most of a column's values are numbers; None: as Python reads them, which is
        first where nothing is said and as many are."""
        present = self._table[name].dropna()
        best, most = None, int(to_numbers(present).notna().sum()) if self._rules.is_open else -1
        values = [text for text in present.unique() if SeenNumbers(self._rules).see(text)]
        whole = seen_numbers(values, self._rules, counts=True)
        choice = self._found({**self._seen, name: whole}).get(name)
        for spelling in [choice.spelling] if choice is not None else spellings_of(values, self._rules):
            count = int(to_numbers(present, spelling).notna().sum())
            if count > most:
                best, most = spelling, count
        if choice is not None and best is not None:
            self.numbers[name], self._choices[name], self._seen[name] = best, choice, whole
        return best

    def _found(self, seen: Mapping[str, SeenNumbers]) -> dict[str, SpellingChoice]:
        """Return the spellings by all columns and the witness."""
        return choices({**self._witness, **seen}, self._rules.separator)

    def notes(self, names: Iterable[str]) -> list[str]:
        """Return what there is to say of these columns' numbers."""
        wanted = set(names)
        read: list[str] = []
        doubts: list[str] = []
        codes: list[str] = []
        strays: list[str] = []
        mixed: list[str] = []
        for name in (name for name in self._table.columns if name in wanted):
            if name in self._choices:
                shown = self._shown(name, self._choices[name].spelling)
                if self._choices[name].doubtful:
                    doubts.append(shown)
                elif name in self.numbers:
                    read += [shown] if shown else []
            elif name in self.codes:
                codes.append(f"{clip(name)!r} ({clip(self._table[name].dropna().iloc[0])!r})")
            elif name not in self.numbers:
                odd, of_all = self._strays(name)
                (mixed if of_all else strays).extend([f"{clip(name)!r} because of {odd}"] if odd else [])
        notes = [f"read as numbers: {listed(read)}"] if read else []
        if doubts:
            remedy = "say data.decimal, or data.thousands"
            notes.append(f"warning: numbers that may be read in two ways: {listed(doubts)}; {remedy}")
        if strays:
            notes.append(f"mostly numbers, but counted as text: {listed(strays)}")
        if mixed:
            remedy = "no spelling that is known fits all values: clean them, or say data.decimal and data.thousands"
            notes.append(f"warning: look like numbers, but counted as text: {listed(mixed)} ({remedy})")
        if codes:
            notes.append(f"codes, not numbers, so counted as text: {listed(codes)}")
        return notes

    def _is_to_look_at_all(self) -> bool:
        """Whether other columns than those that Python can't read matter: as a witness, or as they are doubtful."""
        commas = any(seen.fits and "," in seen.letters for seen in self._seen.values())
        return commas or self._rules.separator == ";" or not self._rules.is_open

    def _shown(self, name: str, spelling: NumberSpelling) -> str:
        """Return a column with a value that Python doesn't read as it is meant, "" if there is none."""
        values = self._table[name].dropna().unique()
        odd = (text for text in values if spelling.number(text) not in (None, python_number(text)))
        text = next(odd, self._seen[name].example if self._choices[name].doubtful else "")
        return f"{clip(name)!r} ({clip(text)!r} is {spelling.number(text):.12g})" if text else ""

    def _strays(self, name: str) -> tuple[str, bool]:
        """Return the first values of a column of texts that are no numbers, if most are, and whether all look like some
        in one way or another. "": most don't."""
        counts = self._table[name].value_counts(sort=False)[:SAMPLE]
        like = {text: looks_like_a_number(text) for text in counts.index}
        if sum(count for text, count in counts.items() if like[text]) <= counts.sum() / 2:
            return "", False
        odd = [text for text in like if not like[text]]
        if not odd:
            seen = self._seen.get(name)
            first = next(iter(like))
            odd = [first, *([seen.misfit] if seen is not None and seen.misfit not in ("", first) else [])]
            return " and ".join(repr(clip(text)) for text in odd), True
        return ", ".join(repr(clip(text)) for text in odd[:EXAMPLES]), False


def _leading_zeros(present: pd.Series[Any]) -> bool:
    """Whether all of a column's values are equally many digits, three or more, and some have a leading zero."""
    lengths = present.str.len()
    if present.empty or lengths.iloc[0] < 3 or not (lengths == lengths.iloc[0]).all():
        return False
    return bool(present.str.startswith("0").any() and present.str.fullmatch("[0-9]+").all())
