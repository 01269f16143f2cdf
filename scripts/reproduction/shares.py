"""Shares of runs and differences in pairs, with intervals, for the studies' tables and claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo.review.comparison.chance import LEVEL, wilson
from reproduction.claims import Mean, Verdict, chance, mean

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Share:
    """A share of runs with its 95 % interval (Wilson's)."""

    won: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.won, self.of) if self.of else (0.0, 1.0)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.won} of {self.of} ({100 * low:.0f} to {100 * high:.0f} %)" if self.of else "-"


def share_of(flags: Sequence[bool] | Any) -> Share:
    """Return the share of runs of which something is true."""
    return Share(int(sum(bool(flag) for flag in flags)), len(flags))


def more(left: Share, right: Share) -> Verdict:
    """Return whether the left share is the larger one: where the intervals do not overlap."""
    if left.interval[0] > right.interval[1]:
        return Verdict.HOLDS
    return Verdict.FAILS if left.interval[1] < right.interval[0] else Verdict.UNKNOWN


def more_often(left: pd.Series, right: pd.Series) -> tuple[Verdict, str]:
    """Return whether something is true more often on the left, and the figures in words.

    Both are flags of runs that are alike but for what is compared, with the same index. By McNemar's exact test
    (Psychometrika 12, 1947, 153-157): of the pairs that differ, how many differ this way round.
    """
    from scipy.stats import binomtest

    both = [(bool(left[key]), bool(right[key])) for key in left.index if key in right.index]
    first, second = both.count((True, False)), both.count((False, True))
    if first + second == 0:
        return Verdict.UNKNOWN, f"of {len(both)} pairs none differ"
    p = float(binomtest(first, first + second).pvalue)
    told = f"of {len(both)} pairs {first} differ this way round and {second} the other, p {chance(p)}"
    if p > LEVEL:
        return Verdict.UNKNOWN, told
    return Verdict.HOLDS if first > second else Verdict.FAILS, told


def by_seed(trials: pd.DataFrame, column: str) -> pd.Series:
    """Return a column by the seed that the sweep's grid has: runs of two choices with the same seed are a pair."""
    return trials.set_index("param_seed")[column]


def less_by_seed(left: pd.Series, right: pd.Series) -> Mean:
    """Return the mean of left minus right over the seeds that both have, with its interval."""
    return mean((left - right).dropna().tolist())
