"""How the rows of a table are split: by shares, by a column, or by a file that has the test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.faults import Fault, SpecError, UserError, series
from hpo.training.cuts import Cut, Fold, Reshuffle
from hpo.training.data.column_keys import names_of
from hpo.training.data.csv_rows import clip, listed
from hpo.training.data.group_split import deal_groups
from hpo.training.data.kinds import TableRules
from hpo.training.data.options import fill_options
from hpo.training.data.split_keys import (
    COLUMN_OF,
    GROUP,
    PARTS,
    STRATIFIED,
    TIME,
    cuts_by,
    group_of,
    how_split,
    part_of,
    shares_of,
)
from hpo.training.data.splitting import (
    SPLIT_OPTIONS,
    how_drawn,
    shared_out,
    small_splits,
    split_indices,
    split_note,
)
from hpo.training.data.time_split import cut_in_time
from hpo.training.data.times import ONE_FORM, times_of
from hpo.training.task import Kind

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
else:
    np = lazy_import("numpy")

Parts = tuple["NDArray[np.intp]", "NDArray[np.intp]", "NDArray[np.intp]"]
_MOST_CLASSES = 5  # whose shares are told


@dataclass(frozen=True)
class Targets:
    """What the rows of a table are to predict: kind, numbers (classes as 0, 1, ...), and the classes' names."""

    kind: Kind
    y: NDArray[Any]
    classes: tuple[str, ...]


def split_table(
    table: pd.DataFrame, tests: int, targets: Targets, data: Mapping[str, Any], rules: TableRules, cut: Cut | None
) -> tuple[Parts, list[str]]:
    """Return the row numbers of train, validation and test, and what there is to say of them.

    table: cleaned, every row with a target; the last `tests` rows are those of `test_csv`. data: a section in which
    `check_csv` finds no fault. cut: as of `split_indices`; test rows are the same always.
    Raises SpecError or UserError where a class has no row to train on, or a group or moment is too large for a split.
    """
    rows = np.arange(len(table) - tests)
    given = np.arange(len(rows), len(table))
    words: list[str] = []
    if "split_column" in data:
        part = table[data["split_column"]].iloc[: len(rows)].map(lambda text: part_of(str(text))).to_numpy()
        train, validation, test = (rows[part == name] for name in PARTS)
        given = np.concatenate([test, given])
        words.append(f"by {data['split_column']!r}")
        parts = (train, validation, given) if len(validation) else _cut(table, train, targets, data, rules, cut)
        if not len(validation):
            words.append(
                f"which has no validation rows: they are cut from the training rows, {_how(data, targets.kind)}"
            )
    else:
        parts = _cut(table, rows, targets, data, rules, cut)
        words.append(_how(data, targets.kind))
    parts = (parts[0], parts[1], np.concatenate([parts[2], given]) if not len(parts[2]) else parts[2])
    if "split_column" in data and not len(parts[2]):
        words.append("without test rows, so that none can judge a winner afresh")
    if tests:
        words.append(f"test rows from {data['test_csv']}")
    _check_classes(targets, parts, data, cut)
    sizes = (len(parts[0]), len(parts[1]), len(parts[2]))
    if isinstance(cut, Fold) and cuts_by(data) == TIME:
        rest = len(table) - sizes[2]
        measured = rest - sizes[0]  # of the first fold: what comes before it validates in none
        notes = [
            f"{rest} rows in {cut.of} folds, on all rows before each of which a trial trains, and {sizes[2]} test "
            f"rows, {', '.join(words)}; what follows is of fold {cut.index + 1}: {sizes[0]} rows train, {sizes[1]} "
            "validate"
        ]
    else:
        measured = sizes[1] + (sizes[0] if isinstance(cut, Fold) else 0)
        notes = [split_note(sizes, ", ".join(words), cut)]
    notes += small_splits(measured, sizes[2], targets.kind, cut)
    return parts, [*notes, *_by_column(table, parts, data, rules), *_class_notes(targets, parts, data)]


def _how(data: Mapping[str, Any], kind: Kind) -> str:
    """Return how rows are cut, as it stands in a sentence."""
    how, seed = cuts_by(data), fill_options(data, SPLIT_OPTIONS)["split_seed"]
    implied = f", as {how!r} implies" if "split" not in data else ""
    if how == TIME:
        return f"in the order of {data['time']!r} (split: time{implied})"
    if how == GROUP:
        return f"by groups of {data['group']!r}, none of which is in two splits (split: group{implied}; seed {seed})"
    return how_drawn(how, kind, seed)


def _cut(
    table: pd.DataFrame,
    rows: NDArray[np.intp],
    targets: Targets,
    data: Mapping[str, Any],
    rules: TableRules,
    cut: Cut | None,
) -> Parts:
    """Cut some of the rows by shares of them."""
    how, seed = cuts_by(data), fill_options(data, SPLIT_OPTIONS)["split_seed"]
    validation, test = shares_of(data)
    y = targets.y[rows]
    if how == TIME:
        fold = cut if isinstance(cut, Fold) else None
        found = cut_in_time(_times(table, data, rules)[rows], *shared_out(len(rows), validation, test), fold)
    elif how == GROUP:
        labels = np.zeros(len(rows)) if targets.kind == "regression" else y
        groups = table[data["group"]].iloc[rows].map(group_of).to_numpy(dtype=str)
        found = cut_groups(groups, labels, validation, test, seed, cut)
    else:
        found = split_indices(y, targets.kind, validation, test, seed, cut, how)
    return rows[found[0]], rows[found[1]], rows[found[2]]


def cut_groups(
    groups: NDArray[Any], labels: NDArray[Any], validation: float, test: float, seed: int, cut: Cut | None = None
) -> Parts:
    """Return the row numbers of train, validation and test: no group is in two of them, nor in two folds.

    groups, labels: [rows], see `deal_groups`. validation, test: shares of the rows.
    Raises UserError if there are fewer groups than folds besides those of the test rows.
    """
    rows = np.arange(len(groups))
    kept, rest = rows[:0], rows
    if test:
        part = deal_groups(groups, labels, (1 - test, test), (2, 1), seed)
        rest, kept = rows[part == 0], rows[part == 1]
    shares: Sequence[float] = (1 - validation / (1 - test), validation / (1 - test))
    if isinstance(cut, Fold):
        shares = (1 / cut.of,) * cut.of
        if (many := len(np.unique(groups[rest]))) < cut.of:
            raise UserError(
                f"{cut.of} folds need at least {cut.of} groups besides those of the test rows, but there are {many} "
                "(fewer folds: data.folds)"
            )
    seed = cut.seed if isinstance(cut, Reshuffle) else seed
    part = deal_groups(groups[rest], labels[rest], shares, (1,) * len(shares), seed)
    validates = part == (cut.index if isinstance(cut, Fold) else 1)
    return rest[~validates], rest[validates], kept


def _times(table: pd.DataFrame, data: Mapping[str, Any], rules: TableRules) -> NDArray[np.float64]:
    """Return a number for each row that orders it."""
    texts = table[data["time"]].astype(str)
    found = texts.map(times_of(texts.unique().tolist(), rules.spelling, rules.dayfirst))
    when: NDArray[np.float64] = found.to_numpy(dtype=np.float64)
    if np.isnan(when).any():
        odd = clip(texts[np.isnan(when)].iloc[0])
        told = f"every row must have a number or a date in {data['time']!r}, but one has {odd!r}"
        raise SpecError([Fault(told, ("time",), remedy=ONE_FORM)], "data")
    return when


_CURES = {
    TIME: "a class that comes only later can't be learned: drop its rows, or merge classes",
    GROUP: "another split_seed; or, if it stands in too few groups, merge classes or drop its rows",
}


def _check_classes(targets: Targets, parts: Parts, data: Mapping[str, Any], cut: Cut | None) -> None:
    """Raise SpecError if a class has no row to train on, or all rows that validate are of one class."""
    how = how_split(data)
    remedy = _CURES.get(how, "give it rows to train on, or drop its rows")
    if targets.kind == "regression" or (how not in COLUMN_OF and "test_csv" not in data):
        return  # split_indices has looked
    if len(lacking := np.setdiff1d(targets.y, targets.y[parts[0]])):
        where = "for fold " + f"{cut.index + 1} " if isinstance(cut, Fold) else ""
        told = f"the split leaves class {clip(targets.classes[int(lacking[0])])!r} no row to train on {where}"
        raise SpecError([Fault(told.strip(), ("split",), remedy=remedy)], "data")
    seen = np.unique(targets.y[parts[1]])
    if len(seen) == 1 and not isinstance(cut, Reshuffle):
        where = f" of fold {cut.index + 1}" if isinstance(cut, Fold) else ""
        only = clip(targets.classes[int(seen[0])])
        told = f"all {len(parts[1])} validation rows{where} are of class {only!r}, so no metric tells models apart"
        cure = "fewer folds, or " if isinstance(cut, Fold) else "a larger share, or " if how != "given" else ""
        raise SpecError([Fault(told, ("split",), remedy=f"{cure}other rows to validate on")], "data")


def _by_column(table: pd.DataFrame, parts: Parts, data: Mapping[str, Any], rules: TableRules) -> list[str]:
    """Return what there is to say of the column by which rows are split."""
    how = how_split(data)
    if how == TIME:
        return _time_notes(table, parts, data, rules)
    if how == GROUP:
        counts = [table[data["group"]].iloc[rows].map(group_of).nunique() for rows in parts]
        told = series([f"{count} for {name}" for count, name in zip(counts, _NAMES, strict=True) if count])
        return [f"group {data['group']!r}: {sum(counts)} groups, {told}; no feature"]
    return [f"split_column {data['split_column']!r}: no feature"] if "split_column" in data else []


_NAMES = ("training", "validation", "test")


def _time_notes(table: pd.DataFrame, parts: Parts, data: Mapping[str, Any], rules: TableRules) -> list[str]:
    name, when, texts = data["time"], _times(table, data, rules), table[data["time"]].astype(str)
    spans = [
        f"{what} {clip(texts.iloc[rows[when[rows].argmin()]])} to {clip(texts.iloc[rows[when[rows].argmax()]])}"
        for what, rows in zip(_NAMES, parts, strict=True)
        if len(rows)
    ]
    feature = name in names_of(data, "features")
    why = "no feature, unless `features` names it: a model can't learn of times that come later"
    if feature:
        why = "a feature, as `features` says, although all later rows lie beyond what training has seen"
    notes = [f"time {name!r}: {'; '.join(spans)}", f"time {name!r} is {why}"]
    before = np.concatenate(parts[:2])
    if len(parts[2]) and (early := int((when[parts[2]] <= when[before].max()).sum())):
        notes.append(
            f"warning: {early} of {len(parts[2])} test rows ({data.get('test_csv')}) are not later than all others: "
            "a model may have seen what comes after them"
        )
    return notes


def _class_notes(targets: Targets, parts: Parts, data: Mapping[str, Any]) -> list[str]:
    """Return the shares of the classes in each split, where they may differ, and which are missing."""
    if targets.kind == "regression" or (how_split(data) == STRATIFIED and "test_csv" not in data):
        return []
    named = [(name, rows) for name, rows in zip(_NAMES, parts, strict=True) if len(rows)]
    notes = []
    if len(targets.classes) <= _MOST_CLASSES:
        each = []
        for name, rows in named:
            shares = np.bincount(targets.y[rows].astype(int), minlength=len(targets.classes)) / len(rows)
            each.append(f"{name} {', '.join(f'{share:.1%}' for share in shares)}")
        notes.append(f"shares of {listed(map(repr, map(clip, targets.classes)))}: {'; '.join(each)}")
    for name, rows in named[1:]:
        if len(lacking := np.setdiff1d(targets.y, targets.y[rows])):
            names = listed(repr(clip(targets.classes[int(code)])) for code in lacking)
            notes.append(f"warning: no {name} row is of class {names}: nothing is measured of it there")
    return notes
