"""What can be wrong with how a table is split, found before anything is trained. Standard library alone.

Each fault names the line in which it stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TextIO

from hpo.spec.faults import Fault, closest
from hpo.spec.paths import expanded
from hpo.training.data.column_keys import unused_columns
from hpo.training.data.csv_rows import MISSING, FileForm, Rows, clip, listed, look, ragged
from hpo.training.data.csv_rows import header as header_row
from hpo.training.data.labels import class_labels, finite_number
from hpo.training.data.options import fill_options
from hpo.training.data.spelling import NumberSpelling, SpellingRules
from hpo.training.data.split_keys import (
    COLUMN_OF,
    GIVEN,
    GROUP,
    TEST,
    TIME,
    TRAIN,
    UNDERSTOOD,
    VALIDATION,
    check_given_validation,
    group_of,
    how_split,
    part_of,
    shares_of,
)
from hpo.training.data.splitting import SPLIT_OPTIONS
from hpo.training.data.times import ONE_FORM, in_doubt, times_of
from hpo.training.task import Kind

_Values = list[tuple[int, str]]  # the line and the text of each row that has a target
_FILL = {
    TIME: "fill the column, or remove the row",
    GROUP: "fill the column: a row that is alone has a name that no other row has",
    GIVEN: "fill the column, or remove the row",
}


def check_split_rows(file: TextIO, data: Mapping[str, Any], header: list[str]) -> list[Fault]:
    """Return what is wrong with the column by which rows are split, where one says it, and rows that have a target."""
    how = how_split(data)
    if COLUMN_OF.get(how) not in data:
        return []
    return _check_values(_read(file, data, FileForm.of(data), header, how), data, how)


def check_test_table(
    data: Mapping[str, Any], header: list[str], targets: Iterable[str], kind: Kind, spelling: NumberSpelling | None
) -> list[Fault]:
    """Return what is wrong with the file `test_csv`. header, targets, spelling: of `csv`, the target's values and how
    its numbers are spelled."""
    path, form = expanded(data["test_csv"]), _form(data)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        told = f"must name a CSV file, but {data['test_csv']!r} {what}"
        return [Fault(told, ("test_csv",), remedy="check the path")]

    def find(file: TextIO) -> list[Fault]:
        own = header_row(Rows(file, form.separator))
        faults = _check_names(own, data, header, form.separator)
        return faults or _check_targets(file, own, data, targets, kind, spelling)

    if path.samefile(expanded(data["csv"])):
        told = "must be another file than csv: a model has seen its rows"
        return [Fault(told, ("test_csv",), remedy="leave it out: `test` is a share of the rows of csv")]
    faults = look(path, data["test_csv"], find, form.encoding)
    faults = [replace(fault, path=("test_csv",)) if fault.path == ("csv",) else fault for fault in faults]
    how = how_split(data)
    if not faults and how in (TIME, GROUP):
        with_own = look(path, data["test_csv"], lambda file: _check_times_and_groups(file, data, form), form.encoding)
        faults = [replace(fault, path=("test_csv",)) for fault in with_own]
    return faults


def _form(data: Mapping[str, Any]) -> FileForm:
    return FileForm.of({**data, "csv": data["test_csv"]})


def _read(file: TextIO, data: Mapping[str, Any], form: FileForm, header: list[str], how: str) -> _Values:
    file.seek(0)
    rows = Rows(file, form.separator)
    next(rows)
    column, target = header.index(data[COLUMN_OF[how]]), header.index(data["target"])
    return [(rows.line, row[column].strip()) for row in rows if row[target].strip() not in MISSING]


def _check_values(values: _Values, data: Mapping[str, Any], how: str) -> list[Fault]:
    key = COLUMN_OF[how]
    if (gap := next(((line, text) for line, text in values if text in MISSING), None)) is not None:
        told = f"{data[key]!r} must say the {_SAYS[how]} of every row, but line {gap[0]} has {gap[1]!r}: it is missing"
        return [Fault(told, (key,), remedy=_FILL[how])]
    if how == GIVEN:
        return _check_parts(values, data)
    if how == GROUP:
        return _check_count({group_of(text) for _, text in values}, data, how)
    times = times_of((text for _, text in values), SpellingRules.of(data), data.get("dayfirst"))
    if None in times.values() and (text := in_doubt(times, SpellingRules.of(data), data.get("dayfirst"))):
        told = f"the dates in {data[key]!r} must have one order, but {clip(text)!r} may be two days"
        return [Fault(told, (key,), remedy="say data.dayfirst: true or false")]
    for line, text in values:
        if times[text] is None:
            told = f"every row must have a number or a date in {data[key]!r}, but line {line} has {clip(text)!r}"
            return [Fault(told, (key,), remedy=ONE_FORM)]
    return _check_count(set(times.values()), data, how)


_SAYS = {TIME: "time", GROUP: "group", GIVEN: "split"}
_WHAT = {TIME: "different times", GROUP: "groups"}


def _check_count(found: set[Any], data: Mapping[str, Any], how: str) -> list[Fault]:
    """There are enough groups or moments for the splits: they are never in two."""
    options, testing = fill_options(data, SPLIT_OPTIONS), shares_of(data)[1] > 0
    kfold = options["resample"] == "kfold"
    wanted = options["folds"] + (how == TIME) if kfold else 2
    if len(found) >= wanted + testing:
        return []
    each = f"{options['folds']} folds" if kfold else "training and validation"
    told = f"{each}{' and a test' if testing else ''} need at least {wanted + testing} {_WHAT[how]}"
    message = f"{told}, but {data[COLUMN_OF[how]]!r} has {len(found)}"
    remedy = (
        "fewer folds: data.folds" if kfold and len(found) > 2 + testing else "split: stratified, if rows stand alone"
    )
    return [Fault(message, (COLUMN_OF[how],), remedy=remedy)]


def _check_parts(values: _Values, data: Mapping[str, Any]) -> list[Fault]:
    name, counts = data["split_column"], Counter[str]()
    for line, text in values:
        part = part_of(text)
        if part is None:
            close = closest(text.lower(), (UNDERSTOOD.removeprefix("understood are ")).split(", "))
            told = f"{name!r} must say the split of every row, but line {line} has {clip(text)!r}"
            hint = f"did you mean {close!r}? {UNDERSTOOD}" if close else UNDERSTOOD
            return [Fault(told, ("split_column",), remedy=hint)]
        counts[part] += 1
    faults = []
    if not counts[TRAIN]:
        had = listed(f"{part} ({count})" for part, count in counts.items())
        told = f"{name!r} leaves no row to train on: {had}"
        faults.append(Fault(told, ("split_column",), remedy="say train in the rows to train on"))
    if counts[TEST] and "test_csv" in data:
        told = f"{name!r} gives {counts[TEST]} test rows, but 'test_csv' gives the test rows, too"
        faults.append(Fault(told, ("test_csv",), remedy="leave one of them out"))
    return faults + (check_given_validation(data) if counts[VALIDATION] else [])


def _check_names(own: list[str], data: Mapping[str, Any], header: list[str], separator: str) -> list[Fault]:
    written = data["test_csv"]
    if not own:
        return [Fault(f"must have a header and rows, but {written!r} is empty", ("test_csv",))]
    twice = [name for name, count in Counter(own).items() if count > 1]
    if twice:
        return [Fault(f"column names must differ, but {written!r} has two of {clip(twice[0])!r}", ("test_csv",))]
    roles = [data[key] for key in ("weight", "split_column") if key in data]
    unneeded = {*roles, *unused_columns(data, header, [data["target"], *(data[key] for key in _OWN if key in data)])}
    if missing := [name for name in header if name not in own and name not in unneeded]:
        plural = "s" if len(missing) > 1 else ""
        told = f"{written!r} has no column{plural} {listed(repr(clip(name)) for name in missing)}, which 'csv' has"
        close = closest(missing[0], own)
        remedy = f"did you mean {close!r}? " if close and close not in header else ""
        if len(own) == 1:
            remedy += f"fields are taken to be separated by {separator!r}; "
        return [Fault(told, ("test_csv",), remedy=f"{remedy}columns: {listed(own)}")]
    return []


_OWN = ("time", "group")


def _check_targets(
    file: TextIO,
    own: list[str],
    data: Mapping[str, Any],
    targets: Iterable[str],
    kind: Kind,
    spelling: NumberSpelling | None,
) -> list[Fault]:
    """Return a fault if a row has other fields than the header, or a target that no model could say."""
    file.seek(0)
    rows, written, column = Rows(file, _form(data).separator), data["test_csv"], own.index(data["target"])
    next(rows)
    found: dict[str, int] = {}
    for row in rows:
        if len(row) != len(own):
            fault = ragged(len(own), rows.line, len(row))
            return [replace(fault, message=f"{written!r}: {fault.message}")]
        if (text := row[column].strip()) not in MISSING:
            found.setdefault(text, rows.line)
    if not found:
        return [Fault(f"{written!r} has no row with a target ({data['target']!r})", ("test_csv",))]
    if kind == "regression":
        odd = [text for text in found if finite_number(text, spelling) is None]
        what, remedy = "a number", "its numbers must be spelled as in 'csv'"
    else:
        known = set(targets)
        classes = class_labels({*known, *found})
        labels = {classes[text] for text in known}
        odd = [text for text in found if classes[text] not in labels]
        what, remedy = "a class of 'csv'", f"its classes: {listed(sorted(labels))}"
    if not odd:
        return []
    told = f"the target {data['target']!r} must be {what}, but line {found[odd[0]]} of {written!r} has {clip(odd[0])!r}"
    return [Fault(told, ("test_csv",), remedy=remedy)]


def _check_times_and_groups(file: TextIO, data: Mapping[str, Any], form: FileForm) -> list[Fault]:
    """Return a fault if a test row has no time or group, or a group that a row of `csv` has, too."""
    how, written = how_split(data), data["test_csv"]
    name, own = data[COLUMN_OF[how]], header_row(Rows(file, form.separator))
    values, others = _read(file, data, form, own, how), FileForm.of(data)
    known: set[str] = set()

    def read_others(file: TextIO) -> list[Fault]:
        known.update(text for _, text in _read(file, data, others, header_row(Rows(file, others.separator)), how))
        return []

    look(expanded(data["csv"]), data["csv"], read_others, others.encoding)
    texts = {text for _, text in values} - MISSING
    times = times_of([*known, *texts], SpellingRules.of(data), data.get("dayfirst")) if how == TIME else {}
    groups = {group_of(text) for text in known} if how == GROUP else set()
    for line, text in values:
        where = f"line {line} of {written!r} has {clip(text)!r}"
        if text in MISSING:
            return [
                Fault(
                    f"{name!r} must say the {_SAYS[how]} of every row, but {where}: it is missing",
                    (),
                    remedy=_FILL[how],
                )
            ]
        if how == TIME and times[text] is None:
            return [Fault(f"every row must have a number or a date in {name!r}, but {where}", (), remedy=ONE_FORM)]
        if group_of(text) in groups:
            told = f"no group may be in two splits, but {where} in {name!r}, which is in 'csv', too"
            return [Fault(told, (), remedy="remove its rows from one of the files")]
    return []
