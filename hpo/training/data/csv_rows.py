"""Where the rows of a table in a file begin and end, and how messages show them. The standard library does, but for
Parquet."""

from __future__ import annotations

import codecs
import contextlib
import csv
import errno
import gzip
import io
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from hpo.spec.faults import Fault, closest, shortened

# A field that says nothing. As pandas.read_csv has it, and "?" as in the UCI repository's files.
MISSING = frozenset(
    ("", "?", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>")
) | {"N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
_LETTERS = 40  # of a field or a name shown in a message: it may have megabytes
_SHOWN = 8  # columns or classes listed in a message
_HEAD = 4096  # bytes of a file that tell its encoding
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


@dataclass(frozen=True)
class FileForm:
    """How a table's file is read. encoding: a name of Python's codecs; of UTF-8 a byte order mark is left out."""

    separator: str = ","
    encoding: str = "utf-8"

    @staticmethod
    def of(data: Mapping[str, Any]) -> FileForm:
        """data: a sweep file's section; without `separator`, the file's name tells whether it is a tab."""
        if is_parquet(Path(str(data.get("csv", "")))):
            return FileForm()  # as open_table gives it
        own = separator_of(str(data.get("csv", "")))
        return FileForm(data.get("separator", own), data.get("encoding", "utf-8"))


def separator_of(name: str) -> str:
    """Return what stands between two fields by a file's name: a tab in .tsv and .tab, gzipped or not, else a comma."""
    return "\t" if name.lower().removesuffix(".gz").endswith((".tsv", ".tab")) else ","


def is_parquet(path: Path) -> bool:
    """Whether a file is a table in Apache's format, by its name."""
    return path.suffix.lower() in (".parquet", ".pq")


def is_gzipped(path: Path) -> bool:
    """Whether a file is packed by gzip, by its name."""
    return path.suffix.lower() == ".gz"


def codec(encoding: str) -> str:
    """Return the codec of an encoding; a byte order mark of UTF-8 is no text."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def open_table(path: Path, encoding: str) -> TextIO:
    """Open a file as text: a gzipped one unpacked, Parquet as CSV with commas.

    Raises OSError, EOFError or zlib.error for what can't be read, ImportError without pyarrow.
    """
    if is_parquet(path):
        import pandas as pd

        try:
            frame = pd.read_parquet(path)
            if any(name is not None for name in frame.index.names):  # else it only counts the rows
                frame = frame.reset_index()
            return io.StringIO(frame.to_csv(index=False), newline="")
        except ValueError as error:  # pyarrow.ArrowInvalid is one
            raise OSError(errno.EINVAL, str(error).splitlines()[0]) from error
    if is_gzipped(path):
        return gzip.open(path, "rt", encoding=codec(encoding), newline="")
    return path.open(encoding=codec(encoding), newline="")


def look(
    path: Path,
    written: str,
    find: Callable[[TextIO], list[Fault]],
    encoding: str = "utf-8",
    setting: str = "data.encoding:",
) -> list[Fault]:
    """Return what `find` finds in a file, or why it is no CSV file.

    written: its name in messages. setting: how people say another encoding.
    """
    try:
        with open_table(path, encoding) as file:
            return find(file)
    except ImportError:
        return [Fault(f"{written!r} is Parquet, which needs pyarrow", ("csv",), remedy="pip install pyarrow")]
    except (EOFError, zlib.error) as error:
        return [Fault(f"must be readable, but {written!r} is not: {error}", ("csv",), remedy="is the file cut off?")]
    except OSError as error:
        return [Fault(f"must be readable, but {written!r} is not: {error.strerror or error}", ("csv",))]
    except UnicodeDecodeError as error:
        return [_wide(path, written, encoding, setting) or _not_decoded(error, written, encoding, setting)]
    except UnicodeError as error:
        told = f"must be text in {encoding}, but {written!r} is not: {error}"
        return [_wide(path, written, encoding, setting) or Fault(told, ("csv",), remedy=_said(setting, encoding))]
    except csv.Error as error:
        told = f"must be a CSV file, but {written!r} is not: {error}"
        return [Fault(told, ("csv",), remedy="export the table again as CSV")]


_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)  # in this order: one begins with another


def _wide(path: Path, written: str, encoding: str, setting: str) -> Fault | None:
    """Return the fault of a file whose first bytes tell its encoding; or that is UTF-8, where another was said."""
    with gzip.open(path) if is_gzipped(path) else path.open("rb") as file:
        first = file.read(_HEAD)
    own = next((name for mark, name in _MARKS if first.startswith(mark)), None)
    if own is None and codecs.lookup(encoding).name != "utf-8":
        with contextlib.suppress(UnicodeDecodeError):
            codecs.getincrementaldecoder("utf-8")().decode(first)
            own = "utf-8"
    if own is None or own == codecs.lookup(encoding).name:
        return None
    told = f"must be text in {encoding}, but {written!r} is in {own}"
    return Fault(told, ("csv",), remedy=_said(setting, own))


def _said(setting: str, encoding: str) -> str:
    return f"{setting} {encoding}" + (", or leave it out" if encoding == "utf-8" else "")


def _not_decoded(error: UnicodeDecodeError, written: str, encoding: str, setting: str) -> Fault:
    """Return the fault of bytes that are no text, with the encoding that they are probably in, if they are one."""
    about = error.object[max(0, error.start - 15) : error.start + 15]
    name = "UTF-8" if codec(encoding) == "utf-8-sig" else encoding
    told = f"must be text in {name}, but {written!r} has the byte 0x{error.object[error.start]:02x}"
    remedy = "save it as UTF-8 text; a spreadsheet: export it as CSV"
    likely = "cp1252" if any(0x80 <= byte < 0xA0 for byte in about) else "latin-1"
    text = about.decode(likely, "replace")
    if text.replace("\n", " ").replace("\r", " ").replace("\t", " ").isprintable():
        words = " ".join(text.split())
        remedy = f"{setting} {likely}, if {words!r} is right; or {remedy}"
    return Fault(told, ("csv",), remedy=remedy)


def header_of(path: Path, form: FileForm) -> list[str]:
    """Return the names of a table's columns. The file must be one in which `check_csv` finds no fault."""
    with open_table(path, form.encoding) as file:
        return header(Rows(file, form.separator))


def header(rows: Rows) -> list[str]:
    """Return the names of the columns, from the first row. A column without one has the name that pandas gives it."""
    return [name.strip() or f"Unnamed: {place}" for place, name in enumerate(next(rows, []))]


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
