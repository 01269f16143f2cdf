"""What can be wrong with a table in a CSV file, found by the standard library alone: one pass, no pandas, no Torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from hpo.spec.contract import Known
from hpo.spec.faults import Fault, did_you_mean
from hpo.spec.paths import expanded
from hpo.training.data.column_keys import (
    COLUMN_KEYS,
    check_column_keys,
    check_columns,
    check_positive,
    check_roles,
    names_of,
    roles_of,
    unused_columns,
)
from hpo.training.data.csv_rows import MISSING, FileForm, Rows, clip, is_parquet, listed, look, no_column, ragged
from hpo.training.data.csv_rows import header as header_row
from hpo.training.data.dates import COMPACT, DATE_OPTIONS, seen_dates
from hpo.training.data.labels import class_labels, differ_by_case, finite_number, number
from hpo.training.data.options import check_options, fill_options
from hpo.training.data.spelling import (
    NUMBER_OPTIONS,
    NumberSpelling,
    SeenNumbers,
    SpellingRules,
    choices,
    looks_like_a_number,
    python_number,
)
from hpo.training.data.split_check import check_split_rows, check_test_table
from hpo.training.data.split_keys import (
    SPLIT_COLUMNS,
    SPLIT_KEYS,
    TABLE_SPLIT,
    check_split_keys,
    cuts_by,
    shares_of,
    tests_given,
)
from hpo.training.data.splitting import (
    MINIMUM_ROWS,
    MINIMUM_ROWS_PER_CLASS,
    RANDOM,
    SCALE_OPTIONS,
    SPLIT_OPTIONS,
    STRATIFIED,
    check_shares,
    shared_out,
)
from hpo.training.task import Kind

_SEPARATORS = (",", ";", "\t", "|")
READING_OPTIONS: dict[str, Known] = {
    "separator": Known("choice", ",", "what stands between two fields", choices=_SEPARATORS),
    **NUMBER_OPTIONS,
    **DATE_OPTIONS,
}
CSV_OPTIONS: dict[str, Known] = {**SPLIT_OPTIONS, "split": TABLE_SPLIT, **SCALE_OPTIONS, **READING_OPTIONS}
LARGEST = 1e37  # float32, in which models compute, ends at 3.4e38
_EXPONENT = re.compile(r"[eE]\+?0*[1-9]\d")  # of 10 or more; a smaller one makes LARGEST of many digits only
_MANY = 27


@dataclass
class _TargetColumn:
    """What one pass over the file tells about the target column, and of the others whether a model can use them."""

    rows: int = 0
    missing: int = 0
    values: Counter[str] = field(default_factory=Counter)
    ragged: tuple[int, int] | None = None  # line and number of fields of the first row that differs from the header
    empty: set[int] = field(default_factory=set)  # columns without any value, in rows that have a target
    large: dict[int, str] = field(default_factory=dict)  # by column, a number beyond LARGEST


def check_csv(data: Mapping[str, Any], kind: Kind) -> list[Fault]:
    """Return what is wrong with `data: {csv: path, target: column}` for a task of this kind.

    data: also `weight` (a column: how much a row counts in training), and CSV_OPTIONS. A relative path starts at the
    working directory. Rows whose target is missing are dropped on loading, and are a fault only if nothing is left.
    Each fault's path is relative to `data`: ("csv",) or ("target",).
    """
    faults = _check_keys(data) + check_column_keys(data, kind)
    if data.get("kind", kind) != kind:
        told = f"the task is a {kind} task, but got {data['kind']!r}"
        faults.append(Fault(told, ("kind",), remedy="objective: objectives.table has all three kinds"))
    if not isinstance(data.get("csv"), str) or any(
        fault.path[0] in ("encoding", *READING_OPTIONS, *COLUMN_KEYS, "split", *SPLIT_KEYS) for fault in faults
    ):
        return faults
    path = expanded(data["csv"])
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        remedy = f"relative paths start at {Path.cwd()}" if not path.is_absolute() else "check the path"
        return [*faults, Fault(f"must name a CSV file, but {data['csv']!r} {what}", ("csv",), remedy=remedy)]
    target = data["target"] if isinstance(data.get("target"), str) else None
    encoding = FileForm.of(data).encoding
    return faults + look(path, data["csv"], lambda file: _check_table(file, data, target, kind), encoding)


def check_rows(csv_path: str, form: FileForm) -> list[Fault]:
    """Return what is wrong with a table that a model is to predict for: it needs no target, nor any rows."""
    path = expanded(csv_path)
    if not path.is_file():
        return [Fault(f"must be a CSV file, but it {'is a folder' if path.is_dir() else 'does not exist'}", ("csv",))]

    if faults := _check_encoding(form.encoding):
        return faults

    def find(file: TextIO) -> list[Fault]:
        reader = Rows(file, form.separator)
        header = header_row(reader)
        if not header:
            return [Fault("must have a header and rows, but it is empty", ("csv",))]
        faults = _check_header(header, form.separator, None, "say --separator")
        for row in reader if not faults else ():
            if len(row) != len(header):
                return [ragged(len(header), reader.line, len(row))]
        return faults

    return look(path, csv_path, find, form.encoding, "--encoding")


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
    known = {
        **CSV_OPTIONS,
        **{
            key: Known("choice", "")
            for key in ("csv", "target", "weight", "encoding", "kind", *COLUMN_KEYS, *SPLIT_KEYS)
        },
    }
    strays = [key for key in data if key not in known and key != "source"]
    faults += [Fault(f"unknown key {key!r}", (str(key),), remedy=did_you_mean(str(key), known)) for key in strays]
    faults += _check_encoding(data["encoding"]) if "encoding" in data else []
    own = {key: value for key, value in data.items() if key in CSV_OPTIONS}
    faults += check_options(own, CSV_OPTIONS)
    if is_parquet(Path(str(data.get("csv", "")))):
        told = "means nothing for Parquet, which is no text"
        faults += [Fault(told, (key,), remedy=f"leave {key} out") for key in ("separator", "encoding") if key in data]
    if data.get("decimal") in (",", ".") and data["decimal"] == data.get("thousands"):
        told = f"the mark between thousands can't be the decimal mark, {data['decimal']!r}"
        faults.append(Fault(told, ("thousands",), remedy="leave it out, or say thousands: none"))
    return faults + check_shares({**own, "test": 0} if tests_given(data) else own) + check_split_keys(data)


def _check_encoding(encoding: Any) -> list[Fault]:
    try:
        "".encode(encoding)
    except (LookupError, TypeError, ValueError):  # ValueError: a name with a NUL
        told = f"must be an encoding that Python knows, but got {encoding!r}"
        return [Fault(told, ("encoding",), remedy="e.g. utf-8, latin-1, cp1252, utf-16")]
    return []


def _check_table(file: TextIO, data: Mapping[str, Any], target: str | None, kind: Kind) -> list[Fault]:
    separator = FileForm.of(data).separator
    reader = Rows(file, separator)
    header = header_row(reader)
    if not header:
        return [Fault(f"must have a header and rows, but {data['csv']!r} is empty", ("csv",))]
    weight = data["weight"] if isinstance(data.get("weight"), str) else None
    faults = _check_header(header, separator, target)
    faults += check_roles(data, header) if not faults and target is not None else []
    faults += check_columns(data, header) if not faults and target is not None else []
    if faults or target is None:
        return faults
    found = _read_target(reader, header, target)
    if found.ragged:
        line, fields = found.ragged
        return [ragged(len(header), line, fields)]
    if found.rows == 0:
        return [Fault(f"must have rows, but {data['csv']!r} has only a header", ("csv",))]
    if found.values and len(found.empty) == len(header) - 1:
        told = f"there must be values to learn from, but every column besides the target {target!r} is empty"
        return [Fault(told, ("csv",)), *_check_target(found, target, kind, None)]
    spelling = _spelling(file, data, header, target) if kind == "regression" and _is_odd(found, data) else None
    faults = _check_target(found, target, kind, spelling)
    faults += check_positive(data, class_labels(found.values).values()) if not faults and kind == "binary" else []
    faults += _check_folds(found, target, kind, data) if not faults else []
    faults += check_split_rows(file, data, header) if not faults else []
    if "test_csv" in data and not faults:
        faults += check_test_table(data, header, found.values, kind, spelling)
    column = header.index(target)
    if weight is not None and not faults:
        faults += _check_weight(file, data, header, weight, target)
    if kind != "regression":
        found.large.pop(column, None)
    if found.large:
        file.seek(0)
        words = _columns_of_words(Rows(file, separator), set(found.large))
        words |= {header.index(name) for name in unused_columns(data, header, [target])} & set(found.large)
        words |= {header.index(name) for key, name in roles_of(data).items() if key in SPLIT_COLUMNS}
        large = {header[index]: text for index, text in found.large.items() if index not in words}
        path = "target" if set(large) == {target} else "csv"
        named = listed(f"{name!r} has {clip(text)}" for name, text in large.items())
        told = f"numbers must be within ±{LARGEST:g}, for models compute in float32, but {named}"
        faults += [Fault(told, (path,), remedy="use another unit, or the number's logarithm")] if large else []
    return faults


def _columns_of_words(reader: Rows, candidates: set[int]) -> set[int]:
    """Return those of the columns in which something is neither a number nor missing: they count as text."""
    words: set[int] = set()
    next(reader)
    for row in reader:
        fields = {column: row[column].strip() for column in candidates - words if column < len(row)}
        words |= {column for column, text in fields.items() if python_number(text) is None and text not in MISSING}
    return words


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


def _is_odd(found: _TargetColumn, data: Mapping[str, Any]) -> bool:
    """Whether it needs a look at the whole file to say how a target's numbers are spelled."""
    if not SpellingRules.of(data).is_open or any(python_number(text) is None for text in found.values):
        return True
    return data.get("separator") == ";" and any("." in text for text in found.values)


def _spelling(file: TextIO, data: Mapping[str, Any], header: list[str], name: str) -> NumberSpelling | None:
    """Return how a column spells its numbers, None: as Python reads them, or it has none. What the file says holds for
    a column that does not fit, too: so its misfits are found."""
    file.seek(0)
    rules, rows = SpellingRules.of(data), Rows(file, FileForm.of(data).separator)
    next(rows)
    target = header.index(data["target"])
    numeric = {*names_of(data, "numeric"), name}
    seen = {column: SeenNumbers(rules, column in numeric) for column in header}
    for row in rows:
        if row[target].strip() in MISSING:
            continue
        for index, column in enumerate(header):
            if seen[column].pairs and (text := row[index].strip()) not in MISSING:
                seen[column].see(text)
    choice = choices(seen, rules.separator).get(name)
    if choice is None:
        return None if rules.is_open else seen[name].as_said(rules)
    return choice.spelling


def _check_weight(file: TextIO, data: Mapping[str, Any], header: list[str], name: str, target: str) -> list[Fault]:
    """As _check_weights. The whole file is looked at for their spelling only where Python can't read the weights."""

    def checked(spelling: NumberSpelling | None) -> list[Fault]:
        file.seek(0)
        rows = Rows(file, FileForm.of(data).separator)
        return _check_weights(rows, header.index(name), header.index(target), name, spelling)

    faults = checked(None) if SpellingRules.of(data).is_open else []
    spelling = _spelling(file, data, header, name) if faults or not SpellingRules.of(data).is_open else None
    return checked(spelling) if spelling is not None else faults


def _check_weights(reader: Rows, column: int, target: int, name: str, spelling: NumberSpelling | None) -> list[Fault]:
    """Return a fault if a row that has a target has a weight that is no number of at least 0, or if all are 0."""
    next(reader)
    total = 0.0
    for row in reader:
        if row[target].strip() in MISSING:
            continue
        value = finite_number(row[column].strip(), spelling)
        if value is None or value < 0:
            told = f"must be a number of at least 0 in every row, but line {reader.line} has {clip(row[column])!r}"
            remedy = "fill the column: 1 counts as usual, 0 not in the loss"
            if spelling is not None and looks_like_a_number(row[column]):
                remedy = "all its numbers must be spelled alike; data.decimal and data.thousands say how"
            return [Fault(f"the weight {name!r} {told}", ("weight",), remedy=remedy)]
        total += value
    return [] if total > 0 else [Fault(f"some weight must be above 0, but {name!r} is 0 in every row", ("weight",))]


def _read_target(reader: Rows, header: list[str], target: str) -> _TargetColumn:
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
                if index not in found.large and _is_large(text, number if index == column else python_number):
                    found.large[index] = text.strip()
    return found


def _may_have_large(row: list[str]) -> bool:
    """Whether a field of the row may be a number beyond LARGEST: a quick look, which most rows end with."""
    text = " ".join(row)
    return len(max(row, key=len)) > _MANY or (("e" in text or "E" in text) and _EXPONENT.search(text) is not None)


def _is_large(text: str, size: Callable[[str], float | None]) -> bool:
    """Whether a field is a number beyond LARGEST. The word `inf` is none: it counts as missing."""
    return abs(size(text) or 0.0) > LARGEST and any(map(str.isdigit, text))


def _check_target(found: _TargetColumn, target: str, kind: Kind, spelling: NumberSpelling | None) -> list[Fault]:
    rows = found.rows - found.missing
    if rows == 0:
        return [Fault(f"the target {target!r} must have values, but it is empty in all {found.rows} rows", ("target",))]
    numeric = all(finite_number(text, spelling) is not None for text in found.values)  # asked first, as of features
    seen = seen_dates(() if numeric else found.values)
    if seen.fits and any(written[0] != COMPACT for written in seen.written):
        told = f"no task predicts dates, but the target {target!r} has some: {listed(found.values)}"
        remedy = "add a column to predict: the days since some date, a number; or the year, month or weekday, a class"
        return [Fault(told, ("target",), remedy=remedy)]
    labels = class_labels(found.values)
    counts: Counter[str] = Counter()
    for text, label in labels.items():
        counts[label] += found.values[text]
    faults = []
    if len(counts) == 1:
        only = next(iter(counts))
        faults.append(Fault(f"the target {target!r} must vary, but it is {clip(only)!r} in every row", ("target",)))
    elif kind == "regression":
        faults += _check_numbers(found, target, spelling)
    else:
        faults += _check_classes(counts, target, kind)
    if rows < MINIMUM_ROWS:
        told = f"three splits need at least {MINIMUM_ROWS} rows with a target, but there are {rows}"
        faults.append(Fault(told, ("csv",), remedy="add rows"))
    return faults


def _check_numbers(found: _TargetColumn, target: str, spelling: NumberSpelling | None) -> list[Fault]:
    words = sorted(text for text in found.values if finite_number(text, spelling) is None)
    if not words and spelling is not None:
        large = [text for text in found.values if abs(spelling.number(text) or 0.0) > LARGEST]
        told = f"numbers must be within ±{LARGEST:g}, for models compute in float32, but {target!r} has {listed(large)}"
        return [Fault(told, ("target",), remedy="use another unit, or the number's logarithm")] if large else []
    if not words:
        return []
    like = {text for text in words if looks_like_a_number(text)}
    words = [text for text in words if text not in like] or words  # `abc`, not every `1,5` beside it
    rows = sum(found.values[text] for text in words)
    told = f"regression needs a numeric target, but {target!r} has {listed(map(clip, words))} (in {rows} rows)"
    remedy = "clean the column, or use a task for classes"
    if like.issuperset(words):
        remedy = "clean the column: all its numbers must be spelled alike; data.decimal and data.thousands say how"
    return [Fault(told, ("target",), remedy=remedy)]


def _check_classes(counts: Counter[str], target: str, kind: Kind) -> list[Fault]:
    if kind == "binary" and len(counts) != 2:
        told = f"binary needs exactly two classes, but {target!r} has {len(counts)}: {listed(counts)}"
        told += f"; {alike}" if (alike := case_words(counts)) else ""
        remedy = "for a number, use a regression task" if all(number(label) is not None for label in counts) else ""
        remedy = remedy or "keep the rows of two classes, or merge classes"
        return [Fault(told, ("target",), remedy=remedy)]
    rare = {label: count for label, count in counts.items() if count < MINIMUM_ROWS_PER_CLASS}
    if not rare:
        return []
    told = f"each class needs at least {MINIMUM_ROWS_PER_CLASS} rows, one for each split, but {target!r} has " + listed(
        f"{clip(label)} ({count})" for label, count in rare.items()
    )
    told += f"; {alike}" if (alike := case_words(counts)) else ""
    return [Fault(told, ("target",), remedy="add rows, or merge or remove the class")]


def case_words(labels: Iterable[str]) -> str:
    """Return which classes differ by upper and lower case only, as a message says it; "" if none do."""
    found = [" and ".join(repr(clip(label)) for label in group) for group in differ_by_case(labels)]
    return f"{listed(found)} differ by upper and lower case only" if found else ""


def _check_folds(found: _TargetColumn, target: str, kind: Kind, data: Mapping[str, Any]) -> list[Fault]:
    """Return a fault if there are more folds than rows for them, of a class or in all."""
    options, how = fill_options(data, SPLIT_OPTIONS), cuts_by(data)
    if options["resample"] != "kfold" or how not in (STRATIFIED, RANDOM) or "split_column" in data:
        return []  # of others it is not the rows that count
    whole = kind == "regression" or how == RANDOM
    counts: Counter[str] = Counter()
    for text, label in class_labels(found.values).items():
        counts["the rows" if whole else label] += found.values[text]
    rest = {label: rows - shared_out(rows, *shares_of(data), how)[1] for label, rows in counts.items()}
    few = {label: rows for label, rows in rest.items() if rows < options["folds"]}
    if not few:
        return []
    told = listed(f"{clip(label)} ({rows})" for label, rows in few.items())
    what = "there must be a row" if whole else f"each class of {target!r} must have a row"
    message = f"{what} for each of {options['folds']} folds, besides the test rows, but got {told}"
    return [Fault(message, ("resample",), remedy="fewer folds: 3, or resample: reshuffle")]
