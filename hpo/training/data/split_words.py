"""What there is to say of how a table was split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.faults import series
from hpo.training.cuts import Cut, Fold
from hpo.training.data.column_keys import names_of, roles_of
from hpo.training.data.csv_rows import clip, listed
from hpo.training.data.dates import names_zone
from hpo.training.data.split_keys import (
    GIVEN,
    GROUP,
    STRATIFIED,
    TIME,
    VALIDATION,
    cuts_by,
    how_split,
    shares_of,
    tests_given,
)
from hpo.training.data.splitting import how_drawn, small_splits, split_note
from hpo.training.data.suspicions import names_an_owner
from hpo.training.data.table_split import Parts, TableRows

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")

_BY_CHANCE = 0.1  # of the rows of validation and test may be of a person that training has, before it is told
_MOST_CLASSES = 5  # whose shares are told
_FAR = 0.25  # of its share, by which a split may be larger or smaller before it is told
_WHOLE = {TIME: "rows of one time", GROUP: "rows of one group"}
_NAMES = ("training", "validation", "test")


def split_words(rows: TableRows, cut: Cut | None, parts: Parts) -> list[str]:
    """Return in sentences how rows were split. cut, parts: what `split_table` was given, and what it found."""
    how, sizes = _how(rows), (len(parts[0]), len(parts[1]), len(parts[2]))
    measured, notes = sizes[1], [split_note(sizes, how, cut)]
    if isinstance(cut, Fold) and cuts_by(rows.data) == TIME:
        rest = len(rows.table) - sizes[2]
        measured = rest - sizes[0]  # of the first fold: what comes before it validates in none
        notes = [
            f"{rest} rows in {cut.of} folds, on all rows before each of which a trial trains, and {sizes[2]} test "
            f"rows, {how}; what follows is of fold {cut.index + 1}: {sizes[0]} rows train, {sizes[1]} validate"
        ]
    elif isinstance(cut, Fold):
        measured += sizes[0]
    else:
        notes += _off_shares(sizes, rows.data)
    if "split_column" in rows.data and not sizes[2]:
        notes.append("there are no test rows, so none can judge a winner afresh")
    notes += small_splits(measured, sizes[2], rows.kind, cut)
    return [*notes, *_by_column(rows, parts), *_class_words(rows, parts)]


def split_hints(rows: TableRows, parts: Parts, dates: Sequence[str]) -> list[str]:
    """Return what a split that goes by neither time nor groups may miss: rows in the order of time, or of one person.

    dates: columns of dates that are features.
    """
    how, notes = how_split(rows.data), []
    if how in (TIME, GROUP):
        return []
    if dates and how != GIVEN and not rows.tests:
        told = f"rows have dates ({listed(repr(clip(name)) for name in dates)}), but are split at random"
        notes.append(f"{told}: to predict later rows from earlier ones, say data.time")
    others, shared = np.concatenate(parts[1:]), []
    for name in rows.table.columns.difference([*roles_of(rows.data).values(), *dates], sort=False):
        if names_an_owner(name):
            column = rows.table[name]
            known = column.iloc[others].isin(column.iloc[parts[0]].dropna())
            shared += [f"{clip(name)!r} ({known.sum()} of {len(others)} rows)"] if known.mean() > _BY_CHANCE else []
    if shared:
        remedy = "give all rows of one the same split" if how == GIVEN else "say data.group"
        told = f"validation and test have rows of what training has rows of, too: {listed(shared)}"
        notes.append(f"{told}; if these are persons or things, {remedy}")
    return notes


def _how(rows: TableRows) -> str:
    """Return how rows are split, as it stands in a sentence."""
    data, words = rows.data, []
    cut = _how_cut(rows)
    if "split_column" not in data:
        words = [cut]
    elif VALIDATION in rows.given:
        words = [f"by {data['split_column']!r}"]
    else:
        words = [f"by {data['split_column']!r}", "which has no validation rows: they are cut from the training rows"]
        words.append(cut)
    return ", ".join([*words, *([f"test rows from {data['test_csv']}"] if rows.tests else [])])


def _how_cut(rows: TableRows) -> str:
    how, data = cuts_by(rows.data), rows.data
    implied = f", as {how!r} implies" if "split" not in data else ""
    if how == TIME:
        return f"in the order of {data['time']!r} (split: time{implied})"
    if how == GROUP:
        named = f"{data['group']!r}, none of which is in two splits"
        return f"by groups of {named} (split: group{implied}; seed {rows.seed})"
    return how_drawn(how, rows.kind, rows.seed)


def _off_shares(sizes: tuple[int, int, int], data: Mapping[str, Any]) -> list[str]:
    """Return warnings of splits that are far from their share of the rows, since groups or moments are whole."""
    how = cuts_by(data)
    if how not in _WHOLE:
        return []
    count = sizes[0] + sizes[1] + (0 if tests_given(data) else sizes[2])
    return [
        f"warning: {size / count:.1%} of the rows are for {name}, not {share:.1%}: {_WHOLE[how]} stay together"
        for name, size, share in zip(_NAMES[1:], sizes[1:], shares_of(data), strict=True)
        if share and abs(size / count - share) > _FAR * share
    ]


def _by_column(rows: TableRows, parts: Parts) -> list[str]:
    """Return what there is to say of the column by which rows are split."""
    how = how_split(rows.data)
    if how == TIME:
        return _time_words(rows, parts)
    if how == GROUP:
        counts = [len(np.unique(rows.groups[part])) for part in parts]
        told = series([f"{count} for {name}" for count, name in zip(counts, _NAMES, strict=True) if count])
        return [f"group {rows.data['group']!r}: {sum(counts)} groups, {told}; no feature"]
    return [f"split_column {rows.data['split_column']!r}: no feature"] if "split_column" in rows.data else []


def _time_words(rows: TableRows, parts: Parts) -> list[str]:
    name, when, texts = rows.data["time"], rows.when, rows.table[rows.data["time"]].astype(str)
    spans = [
        f"{what} {clip(texts.iloc[part[when[part].argmin()]])} to {clip(texts.iloc[part[when[part].argmax()]])}"
        for what, part in zip(_NAMES, parts, strict=True)
        if len(part)
    ]
    why = "no feature, unless `features` names it: a model can't learn of times that come later"
    if name in names_of(rows.data, "features"):
        why = "a feature, as `features` says, although all later rows lie beyond what training has seen"
    notes = [f"time {name!r}: {'; '.join(spans)}", f"time {name!r} is {why}"]
    zoned = {text: names_zone(text) for text in texts.unique().tolist()}
    if len(set(zoned.values())) > 1:
        examples = [next(clip(text) for text in zoned if zoned[text] is said) for said in (True, False)]
        notes.append(
            f"warning: some times in {name!r} name their zone ({examples[0]}) and others don't ({examples[1]}): these "
            "are taken as UTC, which may be hours wrong (write all in one form)"
        )
    last = when[np.concatenate(parts[:2])].max()
    if early := int((when[parts[2]] <= last).sum()):
        notes.append(
            f"warning: {early} of {len(parts[2])} test rows ({rows.data.get('test_csv')}) are not later than all "
            "others: a model may have seen what comes after them"
        )
    return notes


def _class_words(rows: TableRows, parts: Parts) -> list[str]:
    """Return the shares of the classes in each split, where they may differ, and which are missing."""
    if rows.kind == "regression" or (how_split(rows.data) == STRATIFIED and "test_csv" not in rows.data):
        return []
    named = [(name, part) for name, part in zip(_NAMES, parts, strict=True) if len(part)]
    notes = []
    if len(rows.classes) <= _MOST_CLASSES:
        each = []
        for name, part in named:
            shares = np.bincount(rows.y[part].astype(int), minlength=len(rows.classes)) / len(part)
            each.append(f"{name} {', '.join(f'{share:.1%}' for share in shares)}")
        notes.append(f"shares of {listed(map(repr, map(clip, rows.classes)))}: {'; '.join(each)}")
    for name, part in named[1:]:
        if len(lacking := np.setdiff1d(rows.y, rows.y[part])):
            names = listed(repr(clip(rows.classes[int(code)])) for code in lacking)
            notes.append(f"warning: no {name} row is of class {names}: nothing is measured of it there")
    return notes
