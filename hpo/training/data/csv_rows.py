"""Where the rows of a table in a file begin and end, read by the standard library alone; and how messages show them."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from hpo.spec.faults import Fault, closest, shortened

# A field that says nothing. As pandas.read_csv has it, and "?" as in the UCI repository's files.
MISSING = frozenset(
    ("", "?", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>")
) | {"N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
_LETTERS = 40  # of a field or a name shown in a message: it may have megabytes
_SHOWN = 8  # columns or classes listed in a message
_END = "\0"  # which no text has
_LARGEST_FIELD = 2**31 - 1  # characters


class Rows(Iterator[list[str]]):
    """The rows of a table, without blank lines, as pandas reads them.

    Raises csv.Error at a NUL byte, and where a quoted field has no end, as in a file that was cut off.
    """

    def __init__(self, lines: Iterable[str], separator: str) -> None:
        csv.field_size_limit(_LARGEST_FIELD)  # else 128 KiB
        ended = itertools.chain(_text(lines), [_END])  # is a row by itself, unless a quoted field takes it in
        self._reader = csv.reader(ended, delimiter=separator, skipinitialspace=True)

    def __next__(self) -> list[str]:
        while True:
            begin = self.line + 1
            row = next(self._reader)
            if row == [_END]:
                raise StopIteration
            if row and _END in row[-1]:
                raise csv.Error(f"a quoted field of the row in line {begin} has no end (is the file cut off?)")
            if row and (len(row) > 1 or row[0].strip(" \t")):
                return row

    @property
    def line(self) -> int:
        """The line in which the last row ended."""
        return self._reader.line_num


def look(path: Path, written: str, find: Callable[[TextIO], list[Fault]]) -> list[Fault]:
    """Return what `find` finds in a file, or why it is no CSV file. written: its name in messages."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return find(file)
    except OSError as error:
        return [Fault(f"must be readable, but {written!r} is not: {error.strerror}", ("csv",))]
    except UnicodeDecodeError as error:
        told = f"must be text in UTF-8, but {written!r} has the byte 0x{error.object[error.start]:02x}"
        return [Fault(told, ("csv",), remedy="save it as UTF-8 text; a spreadsheet: export it as CSV")]
    except csv.Error as error:
        told = f"must be a CSV file, but {written!r} is not: {error}"
        return [Fault(told, ("csv",), remedy="export the table again as CSV")]


def header_of(path: Path, separator: str) -> list[str]:
    """Return the names of a table's columns. The file must be one in which `check_csv` finds no fault."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return header(Rows(file, separator))


def header(rows: Rows) -> list[str]:
    """Return the names of the columns, from the first row."""
    return [name.strip() for name in next(rows, [])]


def no_column(name: str, header: list[str], key: str) -> Fault:
    """Return the fault of a key of `data` that names a column which isn't there."""
    close = closest(name, header)
    remedy = f"did you mean {close!r}? columns: {listed(header)}" if close else f"one of: {listed(header)}"
    return Fault(f"there is no column {name!r}", (key,), remedy=remedy)


def ragged(columns: int, line: int, fields: int) -> Fault:
    """Return the fault of a row with more or fewer fields than the header."""
    told = f"every row must have the header's {columns} fields, but line {line} has {fields}"
    return Fault(told, ("csv",), remedy="is the file cut off, or a text with the separator in it not quoted?")


def clip(text: str) -> str:
    """Return a field, a name or a class of a table as messages show it."""
    return shortened(text, _LETTERS)


def listed(words: Iterable[str]) -> str:
    """Return "a, b, c and 4 more"."""
    every = list(words)
    rest = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(shortened(word, 100) for word in every[:_SHOWN]) + rest


def _text(lines: Iterable[str]) -> Iterator[str]:
    """Pass lines on. Raises csv.Error at a NUL byte: UTF-8 allows it, but no text has one."""
    for line in lines:
        if "\0" in line:
            raise csv.Error("it has NUL bytes, so it is no text")
        yield line
