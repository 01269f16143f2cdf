"""What can be wrong with a table in a CSV file, found by the standard library alone: one pass, no pandas, no Torch."""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from hpo.spec.contract import Known
from hpo.spec.faults import Fault, closest, did_you_mean, shortened
from hpo.spec.paths import expanded
from hpo.training.data.options import check_options, fill_options
from hpo.training.data.splitting import (
    MINIMUM_ROWS,
    MINIMUM_ROWS_PER_CLASS,
    RANDOM,
    SCALE_OPTIONS,
    SPLIT_OPTIONS,
    check_shares,
    shared_out,
)
from hpo.training.task import Kind

# A field that says nothing. As pandas.read_csv has it, and "?" as in the UCI repository's files.
MISSING = frozenset(
    ("", "?", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>")
) | {"N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
_SEPARATORS = (",", ";", "\t", "|")
CSV_OPTIONS: dict[str, Known] = {
    **SPLIT_OPTIONS,
    **SCALE_OPTIONS,
    "separator": Known("choice", ",", "what stands between two fields", choices=_SEPARATORS),
}
_LETTERS = 40  # of a field or a name shown in a message: it may have megabytes
_SHOWN = 8  # columns or classes listed in a message
LARGEST = 1e37  # float32, in which models compute, ends at 3.4e38
_EXPONENT = re.compile(r"[eE]\+?0*[1-9]\d")  # of 10 or more; a smaller one makes LARGEST of many digits only
_MANY = 27
_END = "\0"  # which no text has
_LARGEST_FIELD = 2**31 - 1  # characters


@dataclass
class _TargetColumn:
    """What one pass over the file tells about the target column, and of the others whether a model can use them."""

    rows: int = 0
    missing: int = 0
    values: Counter[str] = field(default_factory=Counter)
    ragged: tuple[int, int] | None = None  # line and number of fields of the first row that differs from the header
    empty: set[int] = field(default_factory=set)  # columns without any value, in rows that have a target
    large: dict[int, str] = field(default_factory=dict)  # by column, a number beyond LARGEST


def number(text: str) -> float | None:
    """Return the finite number that `text` says, or None. `1_000` and `1,000` are no numbers."""
    value = _size(text)
    return value if value is not None and math.isfinite(value) else None


def _size(text: str) -> float | None:
    """Return the number that `text` says, which need not be finite, or None."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def class_labels(values: Iterable[str]) -> dict[str, str]:
    """Return each value's class: the value itself, but one class for `1` and `1.0` if all values are numbers.

    The keys come sorted (by size if all are numbers, else by letters): the first class is 0, the second 1.
    """
    distinct = sorted(set(values))
    numbers = {text: number(text) for text in distinct}
    sizes = {text: size for text, size in numbers.items() if size is not None}
    if len(sizes) < len(distinct):
        return {text: text for text in distinct}
    return {text: repr(sizes[text]).removesuffix(".0") for text in sorted(distinct, key=sizes.__getitem__)}


def check_csv(data: Mapping[str, Any], kind: Kind) -> list[Fault]:
    """Return what is wrong with `data: {csv: path, target: column}` for a task of this kind.

    data: also `weight` (a column: how much a row counts in training), and CSV_OPTIONS. A relative path starts at the
    working directory. Rows whose target is missing are dropped on loading, and are a fault only if nothing is left.
    Each fault's path is relative to `data`: ("csv",) or ("target",).
    """
    faults = _check_keys(data)
    if not isinstance(data.get("csv"), str) or data.get("separator", ",") not in _SEPARATORS:
        return faults
    path = expanded(data["csv"])
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        remedy = f"relative paths start at {Path.cwd()}" if not path.is_absolute() else "check the path"
        return [*faults, Fault(f"must name a CSV file, but {data['csv']!r} {what}", ("csv",), remedy=remedy)]
    target = data["target"] if isinstance(data.get("target"), str) else None
    return faults + _look(path, data["csv"], lambda file: _check_table(file, data, target, kind))


def check_rows(csv_path: str, separator: str) -> list[Fault]:
    """Return what is wrong with a table that a model is to predict for: it needs no target, nor any rows."""
    path = expanded(csv_path)
    if not path.is_file():
        return [Fault(f"must be a CSV file, but it {'is a folder' if path.is_dir() else 'does not exist'}", ("csv",))]

    def look(file: TextIO) -> list[Fault]:
        reader = _Rows(file, separator)
        header = [name.strip() for name in next(reader, [])]
        if not header:
            return [Fault("must have a header and rows, but it is empty", ("csv",))]
        faults = _check_header(header, separator, None, "say --separator")
        for row in reader if not faults else ():
            if len(row) != len(header):
                return [_ragged(len(header), reader.line, len(row))]
        return faults

    return _look(path, csv_path, look)


def _look(path: Path, written: str, look: Callable[[TextIO], list[Fault]]) -> list[Fault]:
    """Return what `look` finds in a file, or why it is no CSV file. written: its name in messages."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return look(file)
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
        return [name.strip() for name in next(_Rows(file, separator), [])]


def no_column(name: str, header: list[str], key: str) -> Fault:
    """Return the fault of a key of `data` that names a column which isn't there."""
    close = closest(name, header)
    remedy = f"did you mean {close!r}? columns: {listed(header)}" if close else f"one of: {listed(header)}"
    return Fault(f"there is no column {name!r}", (key,), remedy=remedy)


def _ragged(columns: int, line: int, fields: int) -> Fault:
    told = f"every row must have the header's {columns} fields, but line {line} has {fields}"
    return Fault(told, ("csv",), remedy="is the file cut off, or a text with the separator in it not quoted?")


def _check_keys(data: Mapping[str, Any]) -> list[Fault]:
    faults = []
    if "csv" in data and "source" in data:
        faults.append(Fault("`source` and `csv` exclude each other", ("source",), remedy="remove one of them"))
    for key in ("csv", "target"):
        if key not in data:
            other = "target" if key == "csv" else "csv"
            told = f"`{other}` needs `{key}` beside it"
            faults.append(Fault(told, (other,), remedy="e.g. data: {csv: churn.csv, target: left}"))
        elif not isinstance(data[key], str) or not data[key]:
            what = "a path" if key == "csv" else "the name of a column"
            faults.append(Fault(f"must be {what}, but got {data[key]!r}", (key,)))
    if "weight" in data and not (isinstance(data["weight"], str) and data["weight"]):
        faults.append(Fault(f"must be the name of a column, but got {data['weight']!r}", ("weight",)))
    known = {**CSV_OPTIONS, **{key: Known("choice", "") for key in ("csv", "target", "weight")}}
    strays = [key for key in data if key not in known and key != "source"]
    faults += [Fault(f"unknown key {key!r}", (str(key),), remedy=did_you_mean(str(key), known)) for key in strays]
    own = {key: value for key, value in data.items() if key in CSV_OPTIONS}
    return faults + check_options(own, CSV_OPTIONS) + check_shares(own)


def _check_table(file: TextIO, data: Mapping[str, Any], target: str | None, kind: Kind) -> list[Fault]:
    separator = data.get("separator", ",")
    reader = _Rows(file, separator)
    header = [name.strip() for name in next(reader, [])]
    if not header:
        return [Fault(f"must have a header and rows, but {data['csv']!r} is empty", ("csv",))]
    weight = data["weight"] if isinstance(data.get("weight"), str) else None
    faults = _check_header(header, separator, target)
    faults += _check_weight_name(header, target, weight) if not faults else []
    if faults or target is None:
        return faults
    found = _read_target(reader, header, target)
    if found.ragged:
        line, fields = found.ragged
        return [_ragged(len(header), line, fields)]
    if found.rows == 0:
        return [Fault(f"must have rows, but {data['csv']!r} has only a header", ("csv",))]
    if found.values and len(found.empty) == len(header) - 1:
        told = f"there must be values to learn from, but every column besides the target {target!r} is empty"
        return [Fault(told, ("csv",)), *_check_target(found, target, kind)]
    faults = _check_target(found, target, kind)
    faults += _check_folds(found, target, kind, fill_options(data, SPLIT_OPTIONS)) if not faults else []
    column = header.index(target)
    if weight is not None and not faults:
        file.seek(0)
        faults += _check_weights(_Rows(file, separator), header.index(weight), column, weight)
    if kind != "regression":
        found.large.pop(column, None)
    if found.large:
        file.seek(0)
        words = _columns_of_words(_Rows(file, separator), set(found.large))
        large = {header[index]: text for index, text in found.large.items() if index not in words}
        path = "target" if set(large) == {target} else "csv"
        named = listed(f"{name!r} has {clip(text)}" for name, text in large.items())
        told = f"numbers must be within ±{LARGEST:g}, for models compute in float32, but {named}"
        faults += [Fault(told, (path,), remedy="use another unit, or the number's logarithm")] if large else []
    return faults


class _Rows(Iterator[list[str]]):
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


def _columns_of_words(reader: _Rows, candidates: set[int]) -> set[int]:
    """Return those of the columns in which something is neither a number nor missing: they count as text."""
    words: set[int] = set()
    next(reader)
    for row in reader:
        fields = {column: row[column].strip() for column in candidates - words if column < len(row)}
        words |= {column for column, text in fields.items() if _size(text) is None and text not in MISSING}
    return words


def clip(text: str) -> str:
    """Return a field, a name or a class of a table as messages show it."""
    return shortened(text, _LETTERS)


def _text(lines: Iterable[str]) -> Iterator[str]:
    """Pass lines on. Raises csv.Error at a NUL byte: UTF-8 allows it, but no text has one."""
    for line in lines:
        if "\0" in line:
            raise csv.Error("it has NUL bytes, so it is no text")
        yield line


def _check_header(
    header: list[str], separator: str, target: str | None, setting: str = "set data.separator:"
) -> list[Fault]:
    other = next((mark for mark in _SEPARATORS if len(header) == 1 and mark in header[0]), None)
    if other is not None:
        seen = clip(header[0])
        told = f"fields must be separated by {separator!r}, but the header looks separated by {other!r}: {seen!r}"
        return [Fault(told, ("csv",), remedy=f"{setting} {other!r}")]
    faults = [
        Fault(f"column names must differ, but {clip(name)!r} stands {count} times in the header", ("csv",))
        for name, count in Counter(header).items()
        if count > 1
    ]
    if target is not None and target not in header:
        faults.append(no_column(target, header, "target"))
    elif target is not None and len(header) == 1:
        faults.append(Fault(f"there must be a column besides the target {target!r} to learn from", ("csv",)))
    return faults


def _check_weight_name(header: list[str], target: str | None, weight: str | None) -> list[Fault]:
    if weight is None:
        return []
    if weight not in header:
        return [no_column(weight, header, "weight")]
    if weight == target:
        return [Fault(f"{weight!r} can't be both target and weight", ("weight",))]
    if len(header) == 2:
        return [Fault(f"there must be a column besides target and weight ({weight!r}) to learn from", ("csv",))]
    return []


def _check_weights(reader: _Rows, column: int, target: int, name: str) -> list[Fault]:
    """Return a fault if a row that has a target has a weight that is no number of at least 0, or if all are 0."""
    next(reader)
    total = 0.0
    for row in reader:
        if row[target].strip() in MISSING:
            continue
        value = number(row[column].strip())
        if value is None or value < 0:
            told = f"must be a number of at least 0 in every row, but line {reader.line} has {clip(row[column])!r}"
            remedy = "fill the column: 1 counts as usual, 0 not in the loss"
            return [Fault(f"the weight {name!r} {told}", ("weight",), remedy=remedy)]
        total += value
    return [] if total > 0 else [Fault(f"some weight must be above 0, but {name!r} is 0 in every row", ("weight",))]


def _read_target(reader: _Rows, header: list[str], target: str) -> _TargetColumn:
    found, column, width = _TargetColumn(), header.index(target), len(header)
    found.empty = set(range(width)) - {column}
    for row in reader:
        if len(row) != width:
            found.ragged = found.ragged or (reader.line, len(row))
            continue
        found.rows += 1
        value = row[column].strip()
        if value in MISSING:
            found.missing += 1
            continue
        found.values[value] += 1
        if found.empty:
            found.empty -= {index for index in found.empty if row[index].strip() not in MISSING}
        if _may_have_large(row):
            for index, text in enumerate(row):
                if index not in found.large and _is_large(text, number if index == column else _size):
                    found.large[index] = text.strip()
    return found


def _may_have_large(row: list[str]) -> bool:
    """Whether a field of the row may be a number beyond LARGEST: a quick look, which most rows end with."""
    text = " ".join(row)
    return len(max(row, key=len)) > _MANY or (("e" in text or "E" in text) and _EXPONENT.search(text) is not None)


def _is_large(text: str, size: Callable[[str], float | None]) -> bool:
    """Whether a field is a number beyond LARGEST. The word `inf` is none: it counts as missing."""
    return abs(size(text) or 0.0) > LARGEST and any(map(str.isdigit, text))


def _check_target(found: _TargetColumn, target: str, kind: Kind) -> list[Fault]:
    rows = found.rows - found.missing
    if rows == 0:
        return [Fault(f"the target {target!r} must have values, but it is empty in all {found.rows} rows", ("target",))]
    labels = class_labels(found.values)
    counts: Counter[str] = Counter()
    for text, label in labels.items():
        counts[label] += found.values[text]
    faults = []
    if len(counts) == 1:
        only = next(iter(counts))
        faults.append(Fault(f"the target {target!r} must vary, but it is {clip(only)!r} in every row", ("target",)))
    elif kind == "regression":
        faults += _check_numbers(found, target)
    else:
        faults += _check_classes(counts, target, kind)
    if rows < MINIMUM_ROWS:
        told = f"three splits need at least {MINIMUM_ROWS} rows with a target, but there are {rows}"
        faults.append(Fault(told, ("csv",), remedy="add rows"))
    return faults


def _check_numbers(found: _TargetColumn, target: str) -> list[Fault]:
    words = sorted(text for text in found.values if number(text) is None)
    if not words:
        return []
    rows = sum(found.values[text] for text in words)
    told = f"regression needs a numeric target, but {target!r} has {listed(words)} (in {rows} rows)"
    return [Fault(told, ("target",), remedy="clean the column, or use a task for classes")]


def _check_classes(counts: Counter[str], target: str, kind: Kind) -> list[Fault]:
    if kind == "binary" and len(counts) != 2:
        told = f"binary needs exactly two classes, but {target!r} has {len(counts)}: {listed(counts)}"
        remedy = "for a number, use a regression task" if all(number(label) is not None for label in counts) else ""
        return [Fault(told, ("target",), remedy=remedy or "keep the rows of two classes, or merge classes")]
    rare = {label: count for label, count in counts.items() if count < MINIMUM_ROWS_PER_CLASS}
    if not rare:
        return []
    told = f"each class needs at least {MINIMUM_ROWS_PER_CLASS} rows, one for each split, but {target!r} has " + listed(
        f"{clip(label)} ({count})" for label, count in rare.items()
    )
    return [Fault(told, ("target",), remedy="add rows, or merge or remove the class")]


def _check_folds(found: _TargetColumn, target: str, kind: Kind, options: Mapping[str, Any]) -> list[Fault]:
    """Return a fault if there are more folds than rows for them, of a class or in all."""
    if options["resample"] != "kfold":
        return []
    whole = kind == "regression" or options["split"] == RANDOM
    counts: Counter[str] = Counter()
    for text, label in class_labels(found.values).items():
        counts["the rows" if whole else label] += found.values[text]
    rest = {
        label: rows - shared_out(rows, options["validation"], options["test"], options["split"])[1]
        for label, rows in counts.items()
    }
    few = {label: rows for label, rows in rest.items() if rows < options["folds"]}
    if not few:
        return []
    told = listed(f"{clip(label)} ({rows})" for label, rows in few.items())
    what = "there must be a row" if whole else f"each class of {target!r} must have a row"
    message = f"{what} for each of {options['folds']} folds, besides the test rows, but got {told}"
    return [Fault(message, ("resample",), remedy="fewer folds: 3, or resample: reshuffle")]


def listed(words: Iterable[str]) -> str:
    """Return "a, b, c and 4 more"."""
    every = list(words)
    rest = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(shortened(word, 100) for word in every[:_SHOWN]) + rest
