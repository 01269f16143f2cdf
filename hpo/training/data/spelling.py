"""How a column of a table spells its numbers: `0,942`, `1.234,5`, `$12,345`, `45%`, `(5.0)`. Standard library alone.

A column has one spelling: one decimal mark, one thousands mark, one currency or per cent. It is decided by all values
of the column, and where these leave it open, by the other columns of the file. `decimal` and `thousands` are
pandas.read_csv's words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from hpo.spec.contract import Known

AUTO, NONE = "auto", "none"
NUMBER_OPTIONS: dict[str, Known] = {
    "decimal": Known(
        "choice", AUTO, "the decimal mark of numbers; auto: as each column shows", choices=(AUTO, ".", ",")
    ),
    "thousands": Known(
        "choice",
        AUTO,
        "the mark between thousands; a space is any kind of space; auto: as each column shows",
        choices=(AUTO, NONE, ",", ".", " ", "'"),
    ),
}

_MINUS = (
    r"\-\u2212\ufe63\uff0d\u2013"  # hyphen, minus, their small and wide forms, and the dash that text programs make
)
_SPACES = " \u00a0\u2002\u2003\u2007\u2008\u2009\u202f"
_APOSTROPHES = "'\u2019"
_GROUPED_BY = {".": (",", "'", " "), ",": (".", "'", " ")}  # by decimal mark
_LETTERS = {",": ",", ".": ".", " ": _SPACES, "'": _APOSTROPHES}
_LONGEST = 400  # characters; float32's largest number has 39 digits
_DIGIT = re.compile("[0-9]")
_ZEROS = str.maketrans("123456789", "000000000")
_USUAL = re.compile(r"-?[0-9.,]*[0-9]")
_WORD = re.compile(rf"[+{_MINUS}]?(?:inf|infinity|nan)", re.IGNORECASE)
_SHAPE = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[+{_MINUS}])?\s*(?P<before>[^\W\d_]{{0,3}}[^\w\s.,'{_APOSTROPHES}()+{_MINUS}]|[^\W\d_]{{2,3}}\.?)?"
    rf"\s*(?P<inner>[{_MINUS}])?\s*(?P<body>[0-9.,][0-9.,{_APOSTROPHES}{_SPACES}]*?(?:[eE][+{_MINUS}]?[0-9]+)?)"
    r"\s*(?P<after>[^\W\d_]{1,3}\.?|[^\w\s.,'()]|[^\W\d_]{1,3}[^\w\s])?\s*(?P<close>\))?"
)
_LIKE_A_NUMBER = re.compile(
    rf"[(+{_MINUS}]?\s*(?:\W|[^\W\d_]{{1,3}}\.?\s)?\s*[0-9][0-9.,{_APOSTROPHES}{_SPACES}]*(?:[eE][+-]?[0-9]+)?\s*[^\W\d_]{{0,4}}[^\w\s]?"
)
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+){2,}")
_CURRENCIES = re.compile(
    "AED|ARS|AUD|BGN|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EGP|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KES|KRW|MXN|MYR|NGN|NOK|NZD|"
    "PHP|PLN|RMB|RON|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR|Fr|Ft|Kč|Rs|SFr|kr|lei|zł"
)
_WITH_A_POINT = re.compile(r"[$£¥₹]|(US|AU|CA|HK|NZ|A|C)\$|USD|GBP|JPY|AUD|CAD|NZD|HKD|INR|CNY|SGD")
"""Currencies of countries that write 1,234.56."""


@dataclass(frozen=True)
class NumberSpelling:
    """How the numbers of a column are written.

    decimal: `.` or `,`. thousands: `,`, `.`, a space (any kind of it), `'`, or "" for none.
    affix: a currency, which may be missing from some numbers, or `%` or `‰`, which may not; "": none. The number is as
    written: `45%` is 45.
    """

    decimal: str = "."
    thousands: str = ""
    affix: str = ""

    def plain(self, text: str) -> str | None:
        """Return a number as Python writes it, `-1234.5` for `-1.234,5`; None if `text` isn't spelled like this."""
        if self.affix not in ("%", "‰") and len(text) <= _LONGEST and _signed(self.decimal, self.thousands)(text):
            return self._with_a_point(text)  # to be quick: nearly all are so
        found = _apart(text)
        if found is None or not _agree(found.affix, self.affix):
            return None
        if found.body is None:
            return found.sign
        if not _body(self.decimal, self.thousands).fullmatch(found.body):
            return None
        return found.sign + self._with_a_point(found.body)

    def _with_a_point(self, body: str) -> str:
        for letter in _LETTERS.get(self.thousands, ""):
            body = body.replace(letter, "")
        return body.replace(self.decimal, ".")

    def number(self, text: str) -> float | None:
        """Return the number, which need not be finite; None if `text` isn't spelled like this."""
        plain = self.plain(text)
        return None if plain is None else float(plain)


@dataclass(frozen=True)
class SpellingRules:
    """What a sweep file says of its numbers, by NUMBER_OPTIONS, and what stands between two fields."""

    decimal: str = AUTO
    thousands: str = AUTO
    separator: str = ","

    @staticmethod
    def of(data: Mapping[str, Any]) -> SpellingRules:
        """data: a sweep file's section, with or without its defaults."""
        return SpellingRules(data.get("decimal", AUTO), data.get("thousands", AUTO), data.get("separator", ","))

    @property
    def is_open(self) -> bool:
        """Whether nothing is said: then what Python reads as a number is one."""
        return self.decimal == AUTO and self.thousands == AUTO

    @property
    def mark(self) -> str:
        """The thousands mark that is said, "" if none is."""
        return "" if self.thousands in (AUTO, NONE) else self.thousands


@dataclass(frozen=True)
class SpellingChoice:
    """A column's spelling, and whether another one would have been as good by all that the file shows."""

    spelling: NumberSpelling
    doubtful: bool = False


class _Apart(NamedTuple):
    """A text taken apart. body: the digits with their marks; None: `sign` is the whole, `inf` or `nan`."""

    sign: str
    body: str | None
    affix: str


class SeenNumbers:
    """What the values of one column say of its spelling. `see` all of them, then ask."""

    def __init__(self, rules: SpellingRules, counts: bool = False) -> None:
        """counts: the file says that they are numbers, so they are no codes."""
        self._mark, self._counts = rules.mark, counts
        decimals = (".", ",") if rules.decimal == AUTO else (rules.decimal,)
        self.pairs = [
            (decimal, thousands)
            for decimal in decimals
            for thousands in (_GROUPED_BY[decimal] if rules.thousands != NONE else ("",))
            if rules.thousands in (AUTO, NONE, thousands)
        ]
        self.affix: str | None = None  # None: nothing was seen yet
        self.letters: set[str] = set()  # that stand in numbers, besides digits
        self.example = ""  # with a mark
        self.misfit = ""  # the first that fits no spelling of those before
        self._widths: set[int] = set()  # of whole numbers without any mark
        self._zeros = False  # whether one of them begins with 0
        self._shapes: set[tuple[int, ...]] = set()  # how grouped numbers are grouped
        self._bare = False  # whether there are others
        self._known: set[tuple[str, bool]] = set()  # texts that were seen, but for which digits they have
        self._addresses = True  # whether all are as 192.168.1.1

    @property
    def fits(self) -> bool:
        """Whether all values are numbers in one spelling."""
        return bool(self.pairs) and self.affix is not None and not self.is_code

    @property
    def is_code(self) -> bool:
        """Whether all values are digits that count nothing: `00123` (all as long, some with a leading zero), or
        `555 123 456` and `555.123.456` (all grouped alike, in three or more full groups), as of a telephone, or the
        addresses of computers, `10.100.200.101`. Not where the sweep file says that they count."""
        fixed = not self._bare and not self._shapes and self._zeros and len(self._widths) == 1 and min(self._widths) > 2
        shape = next(iter(self._shapes), ())
        alike = not self._bare and not self._widths and len(self._shapes) == 1 and len(shape) > 2 and set(shape) == {3}
        addresses = self._addresses and not self._bare and not self._widths and bool(self._shapes)
        if self._counts or (self._mark and (alike or addresses)):
            return False
        return bool(self.pairs) and (fixed or alike or addresses)

    def see(self, text: str) -> bool:
        """Look at a value that is not missing. Return whether all so far are numbers in one spelling."""
        first = _DIGIT.search(text)
        alike = text.translate(_ZEROS), first is not None and first[0] == "0"
        if alike in self._known and text.count(".") != 3:  # else it may be an address
            return bool(self.pairs)
        self._known.add(alike)
        found = _apart(text) if self.pairs else None
        if found is None or not self._same_affix(found.affix):
            self.pairs, self.misfit = [], self.misfit or text
            return False
        if found.body is None:
            self._bare = True
            return True
        self.pairs = [pair for pair in self.pairs if _body(*pair).fullmatch(found.body)]
        self._note(found, text)
        self.misfit = "" if self.pairs else text
        return bool(self.pairs)

    def decimals(self) -> set[str]:
        """Return the decimal marks that are possible."""
        return {decimal for decimal, _ in self.pairs}

    def as_said(self, rules: SpellingRules) -> NumberSpelling:
        """Return the spelling that is said, for a column whose values do not fit it."""
        return NumberSpelling("." if rules.decimal == AUTO else rules.decimal, rules.mark, self.affix or "")

    def has_marks(self) -> bool:
        """Whether a point or a comma stands in a number."""
        return bool(self.letters & {".", ","})

    def spelling(self, decimal: str) -> NumberSpelling:
        """Return the spelling with this decimal mark, which must be possible."""
        marks = [thousands for own, thousands in self.pairs if own == decimal]
        used = [mark for mark in marks if self.letters & set(_LETTERS.get(mark, ""))]
        # A mark that no value has is none: `1.234` beside `2,5` may be a decimal point of another file.
        return NumberSpelling(decimal, used[0] if used else self._mark, self.affix or "")

    def _same_affix(self, affix: str) -> bool:
        if self.affix is None:
            self.affix = affix
        elif self.affix != affix:
            if {self.affix, affix} & {"%", "‰"} or (self.affix and affix):
                return False
            self.affix = self.affix or affix
        return True

    def _note(self, found: _Apart, text: str) -> None:
        body = found.body or ""
        marks = set(body) - set("0123456789")
        self.letters |= marks
        if marks & {".", ","} and not self.example:
            self.example = text
        if found.sign or found.affix or marks & {"e", "E", ",", *_APOSTROPHES}:
            self._bare = True
        elif not marks:
            self._widths.add(len(body))
            self._zeros = self._zeros or (body.startswith("0") and len(body) > 1)
        elif len(groups := re.split(rf"[.{_SPACES}]", body)) > 2:
            self._shapes.add(tuple(map(len, groups)))
            self._addresses = (
                self._addresses and body.count(".") == 3 and all(len(g) < 4 and int(g) < 256 for g in groups)
            )
        else:
            self._bare = True


def choices(seen: Mapping[str, SeenNumbers], separator: str) -> dict[str, SpellingChoice]:
    """Return the spelling of each column whose values all are numbers in one.

    `1,234` in every row of a column may be 1234 or 1.234. Then the currency decides, else the columns that show their
    decimal mark, else the separator: fields are separated by semicolons where commas stand in numbers.
    """
    fitting = {name: each for name, each in seen.items() if each.fits}
    shown = {
        decimal
        for each in fitting.values()
        if each.has_marks() and len(each.decimals()) == 1
        for decimal in each.decimals()
    }
    return {name: _choice(each, shown, separator) for name, each in fitting.items()}


def _choice(seen: SeenNumbers, shown: set[str], separator: str) -> SpellingChoice:
    possible = seen.decimals()
    if len(possible) == 1:
        return SpellingChoice(seen.spelling(possible.pop()))
    if not seen.has_marks():
        return SpellingChoice(seen.spelling("."))
    if _WITH_A_POINT.fullmatch(seen.affix or ""):
        return SpellingChoice(seen.spelling("."))
    if len(shown) == 1:
        return SpellingChoice(seen.spelling(next(iter(shown))))
    points = not seen.letters & {","}
    likely = "," if separator == ";" and not points else "."
    return SpellingChoice(seen.spelling(likely), doubtful=not points or separator == ";")


def looks_like_a_number(text: str) -> bool:
    """Whether a text would be a number in some spelling or with some unit: `1,5`, `$5`, `5 kg`; not a version."""
    return _LIKE_A_NUMBER.fullmatch(text.strip()) is not None and _VERSION.fullmatch(text.strip()) is None


def python_number(text: str) -> float | None:
    """Return the number that Python reads, which need not be finite; None for other texts. `1_000` is none."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def seen_numbers(values: Iterable[str], rules: SpellingRules, counts: bool = False) -> SeenNumbers:
    """Return what the values of a column say; after the first that is no number, no more are looked at.

    counts: as of SeenNumbers.
    """
    seen = SeenNumbers(rules, counts)
    for text in values:
        if not seen.see(text):
            break
    return seen


def spellings_of(values: Iterable[str], rules: SpellingRules) -> list[NumberSpelling]:
    """Return the spellings that some of the values fit, by their marks and affixes; of others these are no numbers."""
    texts = list(values)
    affixes = dict.fromkeys(found.affix for text in texts if (found := _apart(text)) is not None)
    every = []
    for decimal, thousands in SeenNumbers(rules).pairs:
        for affix in affixes:
            wide = NumberSpelling(decimal, thousands, affix)
            own = SpellingRules(decimal, rules.thousands, rules.separator)
            seen = seen_numbers((text for text in texts if wide.plain(text) is not None), own, counts=True)
            every += [seen.spelling(decimal)] if seen.fits else []
    return list(dict.fromkeys(every))


@lru_cache(maxsize=32)
def _body(decimal: str, thousands: str) -> re.Pattern[str]:
    """Return the digits of a number with these marks. Hundreds of thousands may be grouped as in India: 12,34,567."""
    point = re.escape(decimal)
    whole = "[0-9]+"
    if thousands:
        mark = f"[{re.escape(_LETTERS[thousands])}]"
        whole = f"(?:[1-9][0-9]{{0,2}}(?:{mark}[0-9]{{3}})+|[0-9]+)"
    if thousands == ",":
        whole = f"(?:{whole}|[1-9][0-9]?(?:,[0-9]{{2}})+,[0-9]{{3}})"
    return re.compile(f"(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?")


@lru_cache(maxsize=32)
def _signed(decimal: str, thousands: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(f"-?(?:{_body(decimal, thousands).pattern})").fullmatch


def _agree(affix: str, wanted: str) -> bool:
    return affix == wanted or (not affix and wanted not in ("%", "‰"))


@lru_cache(maxsize=65536)
def _apart(text: str) -> _Apart | None:
    """Return the parts of a text that may be a number; None if it can be none."""
    text = text.strip()
    if _USUAL.fullmatch(text) and len(text) <= _LONGEST:  # to be quick
        return _Apart("-", text[1:], "") if text[0] == "-" else _Apart("", text, "")
    if _WORD.fullmatch(text):
        return _Apart(_plain_minus(text), None, "")
    if len(text) > _LONGEST or not (match := _SHAPE.fullmatch(text)):
        return None
    sign, inner, before, after = (match[name] or "" for name in ("sign", "inner", "before", "after"))
    body = _plain_minus(match["body"].rstrip(_SPACES))
    if (sign and inner) or (before and after) or bool(match["open"]) != bool(match["close"]):
        return None
    if not _is_affix(before, "") or not _is_affix(after, "%‰"):
        return None
    if match["open"]:  # accountants' negatives
        sign = "" if sign or inner else "-"
        if not sign:
            return None
    if sign == "+" and set(body) & set(_SPACES):  # a telephone's
        return None
    minus = _plain_minus(sign or inner)
    return _Apart("-" if minus == "-" else "", body, (before or after).removesuffix("."))


def _plain_minus(text: str) -> str:
    return re.sub(f"[{_MINUS}]", "-", text)


def _is_affix(text: str, others: str) -> bool:
    word = text.removesuffix(".")
    if not word or _CURRENCIES.fullmatch(word):
        return True
    if len(word) == 1:
        return word in others or unicodedata.category(word) == "Sc"
    return unicodedata.category(word[-1]) == "Sc" and word[:-1].isalpha() and word[:-1].isupper()
