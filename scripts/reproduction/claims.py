"""What the course says, and whether it holds here: by figures with intervals, never by looks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from scipy import stats

from hpo import CompareResult
from hpo.review.comparison.values import ChoiceDifference
from reproduction.numbers import show


class Verdict(StrEnum):
    """What became of a claim."""

    HOLDS = "holds"
    PARTLY = "holds in part"
    FAILS = "does not hold"
    UNKNOWN = "not shown"  # the noise is larger than what is to be seen


@dataclass(frozen=True)
class Claim:
    """text: what the course says, in its words where they are known. evidence: figures with their intervals."""

    text: str
    verdict: Verdict
    evidence: str


def better(compared: CompareResult, left: str, right: str) -> tuple[Verdict, str]:
    """Return whether the choice `left` is better than `right`, and the figures in words.

    By the comparison's own test, corrected for the number of its differences: narrow the comparison down (`where`) to
    what the claim is about. FAILS means that the opposite is shown.
    """
    found = difference(compared, left, right)
    if found is None or found.wins is None:
        return Verdict.UNKNOWN, f"too few trials of {left} and {right} to compare"
    verdict = Verdict.UNKNOWN
    if found.finding == "better":
        verdict = Verdict.HOLDS if found.left == left else Verdict.FAILS
    return verdict, in_words(found, compared.comparison.metric)


def difference(compared: CompareResult, left: str, right: str) -> ChoiceDifference | None:
    """Return how two choices differ; None if they were not compared."""
    return next((each for each in compared.differences if {each.left, each.right} == {left, right}), None)


def in_words(found: ChoiceDifference, metric: str) -> str:
    """Return a difference as a phrase: `relu better than sigmoid by 0.06 val_accuracy (0.047 to 0.075), p = 0.006`."""
    low, high = (None if bound is None else show(bound) for bound in found.shift_interval)
    bounds = f"{'-∞' if low is None else low} to {'∞' if high is None else high}"
    chance = "too few trials for a test" if found.p_holm is None else f"p {_p(found.p_holm)}"
    shift = show(found.shift) if found.shift is not None else "?"
    how = "better than" if found.finding == "better" else "ahead of"
    return f"{found.left} {how} {found.right} by {shift} {metric} ({bounds}), {chance}"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on a claim that consists of several: it holds if each does, in part if some do."""
    found = list(verdicts)
    if len(set(found)) == 1:
        return found[0]
    if Verdict.HOLDS in found or Verdict.PARTLY in found:
        return Verdict.PARTLY
    return Verdict.UNKNOWN


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % interval (Student's t; a width of nothing where all values are equal)."""

    value: float
    low: float
    high: float
    spread: float  # the standard deviation of the values
    count: int

    def __str__(self) -> str:
        if not self.count:
            return "-"
        return show(self.value) if self.count < 2 else f"{show(self.value)} ({show(self.low)} to {show(self.high)})"


def mean(values: Sequence[float]) -> Mean:
    """Return the mean of values that are numbers, of at least two for an interval."""
    there = [float(value) for value in values if math.isfinite(value)]
    if not there:
        return Mean(math.nan, math.nan, math.nan, math.nan, 0)
    middle = statistics.fmean(there)
    if len(there) < 2:
        return Mean(middle, middle, middle, 0.0, 1)
    spread = statistics.stdev(there)
    half = float(stats.t.ppf(0.975, len(there) - 1)) * spread / math.sqrt(len(there))
    return Mean(middle, middle - half, middle + half, spread, len(there))
