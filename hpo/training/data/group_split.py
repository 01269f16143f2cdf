"""Groups of rows dealt into parts: no group is in two of them.

scikit-learn's StratifiedGroupKFold deals groups, the largest first, each to the fold that it makes most like the whole.
Its folds are equally large; here the parts may have any shares. So this is its rule with the squares of what each part
lacks, over what it should have (Pearson's chi-squared), of its rows and of each class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = lazy_import("numpy")


def deal_groups(groups: NDArray[Any], labels: NDArray[Any], shares: Sequence[float], seed: int) -> NDArray[np.intp]:
    """Return the part [rows] of each row: 0, 1, ...

    groups, labels: [rows]; each class has its share in each part as near as groups allow. For a regression all labels
    are the same. shares: of the rows, in sum 1; each part gets a group at least, so there must be as many groups.
    seed: the order of groups that are alike.
    """
    members, rows = np.unique(groups, return_inverse=True)
    classes, codes = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(members), len(classes) + 1))
    np.add.at(counts, (rows, codes), 1)
    counts[:, -1] = counts.sum(1)
    weights = np.append(np.ones(len(classes)), len(classes))  # the rows in all count as much as all classes
    mixed = np.random.default_rng(seed).permutation(len(members))
    order = mixed[np.lexsort((-counts[mixed, :-1].std(1), -counts[mixed, -1]))]
    wanted = np.outer(shares, counts.sum(0))
    filled = np.zeros_like(wanted)
    part = np.empty(len(members), dtype=np.intp)
    for left, group in zip(range(len(members), 0, -1), order, strict=True):
        own = counts[group]
        cost = (own * (2 * (filled - wanted) + own) / wanted) @ weights
        empty = filled[:, -1] == 0
        if left <= empty.sum():
            cost[~empty] = np.inf
        chosen = int(cost.argmin())
        part[group] = chosen
        filled[chosen] += own
    return part[rows]
