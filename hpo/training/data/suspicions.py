"""What is suspicious in the columns of a table, by its training rows: copies of the target, identifiers, twins."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.training.data.columns import FittedColumns, text_values
from hpo.training.data.csv_rows import clip, listed
from hpo.training.task import Kind

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
else:
    np = lazy_import("numpy")
    pd = lazy_import("pandas")

_FEWEST = 20  # rows: of fewer, chance alone can say anything
_MOST = 5_000  # rows that are looked at
_NEARLY = 0.01  # of the errors of always saying the most frequent class, or of the variance, that may be left
_A_CATEGORY = 4  # rows that a category has at least, in the mean: else it says nothing of others
_CHANCE = 0.01  # that a column of noise would give the classes as well, over all columns
_YEARS = (1500, 2150)  # of the numbers that are rows of a series, not identifiers
_LEAVES = 4  # of a tree on one column of numbers, for two classes
_IDENTIFIER = re.compile(
    r"(?:.*[_\W])?(?:id|uuid|guid|key)|.*[a-z](?:Id|ID)|(?:row|record|serial)[_\W]?(?:nr|no|num|number)", re.DOTALL
)

_OWNER = re.compile(
    r"(?:.*[_\W])?(?:person|patient|subject|participant|speaker|user|customer|client|member|student|driver|machine|device)"
    r"(?:[_\W]?(?:nr|no|num|number|name|code))?"
)


def named_like_an_identifier(name: str) -> bool:
    """Whether a column's name says that it tells rows apart: `id`, `customer_id`, `PassengerId`, `row number`."""
    return any(_IDENTIFIER.fullmatch(text) for text in (name, name.lower()))


def names_an_owner(name: str) -> bool:
    """Whether a column's name says whose a row is: `customer_id`, `patient`, `machine no`."""
    return named_like_an_identifier(name) or _OWNER.fullmatch(name.lower()) is not None


def suspicions(train: pd.DataFrame, y: NDArray[Any], kind: Kind, fitted: FittedColumns, rows: int) -> list[str]:
    """Return warnings in sentences.

    train: the training rows, cleaned, without their target; y: their targets, classes as 0, 1, ...
    rows: of the whole table.
    """
    if len(train) < _FEWEST:
        return []
    numbers, texts = fitted.plain_columns
    found: dict[str, Any] = {column.name: column.values(train) for column in numbers}
    dense = [name for name, values in found.items() if _numbers_rows(values, rows)]
    found |= {column.name: text_values(train[column.name]).to_numpy(dtype=object) for column in texts}
    dates = {column.name: column.expanded(train[:_MOST])[column.trend].to_numpy() for column in fitted.dates}
    telling = {name: values[:_MOST] for name, values in found.items()} | dates
    notes = []
    if copies := [f"{clip(name)!r}" for name, each in telling.items() if _tells(each, y[:_MOST], kind, len(telling))]:
        remedy = "is it known before the target is? if not, data.drop"
        notes.append(
            f"warning: alone, this (nearly) gives the target {clip(fitted.target)!r}: {listed(copies)} ({remedy})"
        )
    gaps = {name: train[name][:_MOST].isna().to_numpy() for name in fitted.needed}
    if empty := [f"{clip(name)!r}" for name, gone in gaps.items() if _gaps_tell(gone, y[:_MOST], kind, len(gaps))]:
        remedy = "is it filled in once the target is known? then data.drop"
        notes.append(
            f"warning: whether it is missing (nearly) gives the target {clip(fitted.target)!r}: "
            f"{listed(empty)} ({remedy})"
        )
    if dense:
        remedy = "it differs in each row and says nothing of others: data.drop"
        notes.append(f"warning: looks like an identifier: {listed(repr(clip(name)) for name in dense)} ({remedy})")
    if twins := _twins(found):
        notes.append(f"warning: columns that are the same: {listed(twins)} (one is enough: data.drop)")
    return notes


def _numbers_rows(values: NDArray[np.float64], rows: int) -> bool:
    """Whether numbers are whole, all different, and as dense as the numbers of rows are."""
    if np.isnan(values).any() or (values % 1).any() or len(np.unique(values)) < len(values):
        return False
    if _YEARS[0] <= values.min() and values.max() <= _YEARS[1]:
        return False
    return bool(values.max() - values.min() < 2 * rows)


def _twins(found: dict[str, Any]) -> list[str]:
    """Return pairs of columns with the same values in all rows."""
    firsts: dict[bytes, str] = {}
    pairs = []
    for name, values in found.items():
        codes, known = pd.factorize(pd.Series(values))
        digest = codes.tobytes() + repr(list(known[:_MOST])).encode()
        first = firsts.setdefault(digest, name)
        pairs += [f"{clip(first)!r} and {clip(name)!r}"] if first != name else []
    return pairs


def _gaps_tell(gone: NDArray[np.bool_], y: NDArray[Any], kind: Kind, columns: int) -> bool:
    if not gone.any() or gone.all():
        return False
    return _share_left(gone.astype(np.intp), y, kind) <= _NEARLY and _is_no_chance(y, kind, 2, 0, columns)


def _is_no_chance(y: NDArray[Any], kind: Kind, groups: int, cuts: int, columns: int) -> bool:
    """Whether noise would hardly give the classes: of all orders in which they may stand, by how few `groups` of rows
    can make, each of one class, where their borders are `cuts` of the places between rows; in as many columns."""
    if kind == "regression":
        return True
    counts = np.unique(y, return_counts=True)[1]
    orders = math.lgamma(len(y) + 1) - sum(math.lgamma(count + 1) for count in counts.tolist())
    places = math.log(math.comb(len(y) - 1, cuts)) if cuts < len(y) else 0.0
    made = places + math.log(len(counts)) + (groups - 1) * math.log(max(len(counts) - 1, 1) if cuts else len(counts))
    return made + math.log(columns) - orders < math.log(_CHANCE)


def _tells(values: NDArray[Any], y: NDArray[Any], kind: Kind, columns: int) -> bool:
    """Whether one column alone gives the target, but for a few rows, and not as one of many columns may by chance."""
    if values.dtype == object:
        codes, known = pd.factorize(pd.Series(values))
        few = len(known) * _A_CATEGORY <= len(values)
        return few and _share_left(codes, y, kind) <= _NEARLY and _is_no_chance(y, kind, len(known), 0, columns)
    there = ~np.isnan(values)
    if there.mean() < 0.5 or there.sum() < _FEWEST:
        return False
    values, y = values[there], y[there]
    if kind == "regression":
        return _is_a_line(values, y) or _is_a_line(_ranks(values), _ranks(y))
    from sklearn.tree import DecisionTreeClassifier

    classes = len(np.unique(y))
    tree = DecisionTreeClassifier(max_leaf_nodes=_LEAVES + classes, min_samples_leaf=2, random_state=0)
    if classes < 2 or _share_left(tree.fit(values[:, None], y).apply(values[:, None]), y, kind) > _NEARLY:
        return False
    leaves = int(tree.get_n_leaves())
    return _is_no_chance(y, kind, leaves, leaves - 1, columns)


def _share_left(codes: NDArray[Any], y: NDArray[Any], kind: Kind) -> float:
    """Return the share of the errors of the best constant (of classes: mistakes, else squares) that groups leave."""
    if kind == "regression":
        groups = pd.Series(y).groupby(codes)
        left, whole = float(((y - groups.transform("mean")) ** 2).sum()), float(((y - y.mean()) ** 2).sum())
    else:
        rows, classes = pd.factorize(codes)[0], pd.factorize(y)[0]
        shape = rows.max() + 1, classes.max() + 1
        counts = np.bincount(rows * shape[1] + classes, minlength=shape[0] * shape[1]).reshape(shape)
        left, whole = float(len(y) - counts.max(axis=1).sum()), float(len(y) - counts.sum(axis=0).max())
    return left / whole if whole else 1.0


def _is_a_line(values: NDArray[np.float64], y: NDArray[np.float64]) -> bool:
    if not (np.ptp(values) and np.ptp(y)):
        return False
    with np.errstate(all="ignore"):
        return bool(np.corrcoef(values, y)[0, 1] ** 2 >= 1 - _NEARLY)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(pd.Series(values).rank(), dtype=np.float64)
