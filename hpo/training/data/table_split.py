"""How the rows of a table are split: by shares, by a column, or by a file that has the test rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.faults import Fault, SpecError, UserError
from hpo.training.cuts import Cut, Fold, Reshuffle
from hpo.training.data.csv_rows import clip
from hpo.training.data.group_split import deal_groups
from hpo.training.data.kinds import TableRules
from hpo.training.data.options import fill_options
from hpo.training.data.split_keys import (
    COLUMN_OF,
    GROUP,
    PARTS,
    TIME,
    cuts_by,
    group_of,
    how_split,
    part_of,
    shares_of,
    tests_given,
)
from hpo.training.data.splitting import SPLIT_OPTIONS, shared_out, split_indices
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


@dataclass(frozen=True)
class TableRows:
    """The rows of a table that are to be split.

    table: cleaned, every row with a target; the last `tests` rows are those of `test_csv`.
    y: the targets as numbers, classes as 0, 1, ...; classes: their names.
    data: a section in which `check_csv` finds no fault. rules: how its texts are read.
    """

    table: pd.DataFrame
    tests: int
    kind: Kind
    y: NDArray[Any]
    classes: tuple[str, ...]
    data: Mapping[str, Any]
    rules: TableRules

    @property
    def seed(self) -> int:
        """The split's."""
        return int(fill_options(self.data, SPLIT_OPTIONS)["split_seed"])

    @cached_property
    def when(self) -> NDArray[np.float64]:
        """A number for each row that orders it. Raises SpecError if one has none."""
        name = self.data["time"]
        texts = self.table[name].astype(str)
        found = texts.map(times_of(texts.unique().tolist(), self.rules.spelling, self.rules.dayfirst))
        when: NDArray[np.float64] = found.to_numpy(dtype=np.float64)
        if np.isnan(when).any():
            odd = clip(texts[np.isnan(when)].iloc[0])
            told = f"every row must have a number or a date in {name!r}, but one has {odd!r}"
            raise SpecError([Fault(told, ("time",), remedy=ONE_FORM)], "data")
        return when

    @cached_property
    def groups(self) -> NDArray[np.str_]:
        """The group of each row."""
        return np.asarray(self.table[self.data["group"]].map(group_of).to_numpy(dtype=str))

    @cached_property
    def given(self) -> NDArray[Any]:
        """The split of each row of `csv`, as `split_column` says it."""
        column = self.table[self.data["split_column"]].iloc[: len(self.table) - self.tests]
        return np.asarray(column.map(lambda text: part_of(str(text))).to_numpy(dtype=object))


def split_table(rows: TableRows, cut: Cut | None) -> Parts:
    """Return the row numbers of train, validation and test.

    cut: as of `split_indices`; test rows are the same always.
    Raises SpecError if a class has no row to train on, or all rows that validate are of one class, in the first fold
    for any of the folds, or if `split_column` leaves it too few rows to cut validation rows from; UserError if there
    are too few groups or moments for the folds, or rows of a class.
    """
    parts = _parts(rows, cut)
    _check_classes(rows, parts, cut)
    if isinstance(cut, Reshuffle) and cuts_by(rows.data) == GROUP:
        _check_groups_of_classes(rows, np.concatenate(parts[:2]))
    if isinstance(cut, Fold) and cut.index == 0 and how_split(rows.data) in COLUMN_OF:
        for index in range(1, cut.of):  # so that `hpo check`, which looks at the first alone, knows of all
            other = Fold(index, cut.of)
            _check_classes(rows, _parts(rows, other), other)
    return parts


def _parts(rows: TableRows, cut: Cut | None) -> Parts:
    count = len(rows.table) - rows.tests
    pool, kept = np.arange(count), np.arange(count, len(rows.table))
    if "split_column" in rows.data:
        pool, validation, test = (pool[rows.given == name] for name in PARTS)
        kept = np.concatenate([test, kept])
        if len(validation):
            return pool, validation, kept
    train, validation, test = (pool[part] for part in _cut(rows, pool, cut))
    return train, validation, kept if tests_given(rows.data) else test


def _cut(rows: TableRows, pool: NDArray[np.intp], cut: Cut | None) -> Parts:
    """Cut some of the rows by shares of them. Return places in `pool`."""
    how, (validation, test) = cuts_by(rows.data), shares_of(rows.data)
    if how == TIME:
        wanted = shared_out(len(pool), validation, test)
        return cut_in_time(rows.when[pool], *wanted, cut if isinstance(cut, Fold) else None)
    if how == GROUP:
        labels = np.zeros(len(pool)) if rows.kind == "regression" else rows.y[pool]
        return cut_groups(rows.groups[pool], labels, validation, test, rows.seed, cut)
    names = [repr(clip(name)) for name in rows.classes]
    try:
        return split_indices(rows.y[pool], rows.kind, validation, test, rows.seed, cut, how, names)
    except UserError as error:
        if "split_column" not in rows.data:
            raise
        told = f"{rows.data['split_column']!r} has no validation rows, so they are cut from the training rows: {error}"
        remedy = "merge classes, or drop the rows of rare ones"
        remedy = f"say validation in some rows of each class; or {remedy}" if cut is None else remedy
        raise SpecError([Fault(told, ("split_column",), remedy=remedy)], "data") from None


def cut_groups(
    groups: NDArray[Any], labels: NDArray[Any], validation: float, test: float, seed: int, cut: Cut | None = None
) -> Parts:
    """Return the row numbers of train, validation and test: no group is in two of them, nor in two folds.

    groups, labels: [rows], see `deal_groups`. validation, test: shares of the rows.
    Raises UserError if there are fewer groups than folds besides those of the test rows.
    """
    shares = (1 - validation - test, validation, test) if test else (1 - validation, validation)
    part = deal_groups(groups, labels, shares, seed)
    train, validates, kept = (np.flatnonzero(part == each) for each in range(3))
    if cut is None:
        return train, validates, kept
    rest = np.flatnonzero(part < 2)
    if isinstance(cut, Reshuffle):
        part = deal_groups(groups[rest], labels[rest], (1 - validation / (1 - test), validation / (1 - test)), cut.seed)
        return rest[part == 0], rest[part == 1], kept
    if (many := len(np.unique(groups[rest]))) < cut.of:
        raise UserError(
            f"{cut.of} folds need at least {cut.of} groups besides those of the test rows, but there are {many} "
            "(fewer folds: data.folds)"
        )
    part = deal_groups(groups[rest], labels[rest], (1 / cut.of,) * cut.of, seed)
    return rest[part != cut.index], rest[part == cut.index], kept


def _check_groups_of_classes(rows: TableRows, pool: NDArray[np.intp]) -> None:
    """Raise SpecError if a class stands in one group only of those that are shared out anew for each trial: some trials
    would have none of it to train on."""
    for number, name in enumerate(rows.classes if rows.kind != "regression" else ()):
        own = np.unique(rows.groups[pool][rows.y[pool] == number])
        if len(own) == 1:
            told = f"besides the test rows, class {clip(name)!r} stands in one group only, {clip(str(own[0]))!r}"
            message = f"{told}: with resample: reshuffle some trials have none of it to train on"
            raise SpecError([Fault(message, ("resample",), remedy="leave resample out; or merge classes")], "data")


_CURES = {
    TIME: "a class that comes only later can't be learned: drop its rows, or merge classes",
    GROUP: "another split_seed; or, if it stands in too few groups, merge classes or drop its rows",
}


def _check_classes(rows: TableRows, parts: Parts, cut: Cut | None) -> None:
    """Raise SpecError if a class has no row to train on, or all rows that validate are of one class."""
    how, y = how_split(rows.data), rows.y
    if rows.kind == "regression" or (how not in COLUMN_OF and "test_csv" not in rows.data):
        return  # split_indices has looked
    key = COLUMN_OF[how] if COLUMN_OF.get(how) in rows.data else "test_csv"
    fold = f" of fold {cut.index + 1}" if isinstance(cut, Fold) else ""
    if len(lacking := np.setdiff1d(y, y[parts[0]])):
        told = f"no training row{fold} is of class {clip(rows.classes[int(lacking[0])])!r}"
        remedy = _CURES.get(how, "give it rows to train on, or drop its rows")
        raise SpecError([Fault(told, (key,), remedy=remedy)], "data")
    seen = np.unique(y[parts[1]])
    if len(seen) == 1 and not isinstance(cut, Reshuffle):  # of which a trial is one of many
        told = f"all {len(parts[1])} validation rows{fold} are of class {clip(rows.classes[int(seen[0])])!r}"
        cure = "fewer folds, or " if fold else "a larger share, or " if how in _CURES else ""
        message = f"{told}, so no metric tells models apart"
        raise SpecError([Fault(message, (key,), remedy=f"{cure}other rows to validate on")], "data")
