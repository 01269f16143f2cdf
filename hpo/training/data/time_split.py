"""Rows in the order of time, cut between moments: the rows of one moment are never on both sides of a cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.faults import UserError
from hpo.training.cuts import Fold

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = lazy_import("numpy")


def cut_in_time(
    when: NDArray[Any], validating: int, testing: int, fold: Fold | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return the row numbers of train, validation and test, each later than the one before.

    when: [rows], numbers that order them. validating, testing: how many rows are wanted; a cut is where moments part
    that is nearest to that. testing: 0 for none. The test rows are the same in all folds.
    fold: in place of `validating`: as scikit-learn's TimeSeriesSplit cuts, a fold trains on all rows before those that
    it validates on, and the next one validates on later ones. The first rows validate in no fold.
    Raises UserError if there are too few moments for the folds; otherwise there must be one for each split.
    """
    order = np.argsort(when, kind="stable")
    starts = np.flatnonzero(np.diff(when[order], prepend=-np.inf))
    rest = len(when)
    if testing:
        rest = _near(starts, [rest - testing - validating, rest - testing])[1]
    starts = starts[starts < rest]
    if fold is None:
        ends = (_near(starts, [len(when) - testing - validating])[0], rest)
    else:
        if len(starts) <= fold.of:
            raise UserError(
                f"{fold.of} folds in the order of time need at least {fold.of + 1} different moments besides those of "
                f"the test rows, but there are {len(starts)} (fewer folds: data.folds)"
            )
        size = rest // (fold.of + 1)
        cuts = [*_near(starts, [rest - (fold.of - each) * size for each in range(fold.of)]), rest]
        ends = (cuts[fold.index], cuts[fold.index + 1])
    return np.sort(order[: ends[0]]), np.sort(order[ends[0] : ends[1]]), np.sort(order[rest:])


def _near(starts: NDArray[np.intp], wanted: Sequence[int]) -> list[int]:
    """Return places in ascending order at which moments begin, but not the first, each as near as can be to the wanted
    one. There must be more moments than places."""
    found, after = [], 0
    for count, place in enumerate(wanted, 1):
        possible = range(after + 1, len(starts) - (len(wanted) - count))
        after = min(possible, key=lambda index: abs(int(starts[index]) - place))
        found.append(int(starts[after]))
    return found
