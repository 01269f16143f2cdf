"""The verdict: is the winner's metric better than the baseline's, beyond what seeds and test rows do by chance?

D_s is the difference of the metric between winner and baseline, both trained with seed s, over all R test rows; the
difference is their mean over the S seeds. It is uncertain for two reasons at once: other seeds, and other rows. The
model is that of two crossed random effects, as in the analysis of several readers who all judge the same cases:

    d_sr = difference + seed_s + row_r + both_sr        Var(mean) = var_seed / S + var_row / R + var_both / (S R)

Obuchowski and Rockette (Communications in Statistics 24, 1995, 285-308) for any metric, with the covariances over rows
by the bootstrap; for a metric that is a mean over rows they are known exactly, and the estimate is the two-way analysis
of variance (also Gallas et al., Communications in Statistics 38, 2009, 2586-2603). Degrees of freedom by Satterthwaite
(Biometrics Bulletin 2, 1946, 110-114), after Hillis (Statistics in Medicine 26, 2007, 596-619). Winner and baseline
share each seed, but may draw otherwise from it: the difference of a pair is what is analysed, so the pairs need to be
independent of each other only.

The winner was chosen on validation rows, by other numbers than these, so nothing has to be corrected for the choice.
Where they are the same numbers, the level is Bonferroni's (`level`).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.ledger.study.confirmations import Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = lazy_import("numpy")

LEVEL = 0.95
_POWER = 0.8  # with which the wanted numbers of rows and seeds would show the difference
_MOST = 2**40  # seeds: more of them are not worth saying
METHOD_ROWS = "two-way random effects of seeds and test rows (Obuchowski and Rockette 1995)"
METHOD_RESAMPLED = f"{METHOD_ROWS}, covariances over rows by the bootstrap"
METHOD_SEEDS = "paired t interval over seeds"


@dataclass(frozen=True)
class Spread:
    """Where the variance of the difference comes from; each as a variance of the mean over seeds and rows.

    by_seeds: of the seeds' means, so it holds what only a pair of seed and row has, too; by_rows: of the rows' means,
    likewise; of_pairs: the latter alone. rows: how many; None: not known, and by_rows and of_pairs are 0.
    """

    by_seeds: float
    by_rows: float
    of_pairs: float
    seeds: int
    rows: int | None

    @property
    def total(self) -> float:
        """The variance of the difference. A part that comes out negative counts as 0."""
        return self.seeds_alone + max(0.0, self.by_rows - self.of_pairs) + self.of_pairs

    @property
    def seeds_alone(self) -> float:
        """What would be left with endless rows."""
        return max(0.0, self.by_seeds - self.of_pairs)

    @property
    def freedom(self) -> float:
        """The degrees of freedom of `total` (Satterthwaite); infinite if there is no variance."""
        parts = [(self.by_seeds, self.seeds - 1)]
        if self.rows is not None:
            parts += [(self.by_rows, self.rows - 1), (self.of_pairs, (self.seeds - 1) * (self.rows - 1))]
        below = sum(part**2 / freedom for part, freedom in parts if freedom > 0)
        return max(1.0, self.total**2 / below) if below else math.inf


@dataclass(frozen=True)
class Judged:
    """A verdict. difference: positive is better. more_rows, more_seeds: about how many would show a difference of this
    size in four of five cases; None: not in question, or not to be had by more of them alone."""

    difference: float
    interval: tuple[float, float]
    level: float
    verdict: Verdict
    more_rows: int | None = None
    more_seeds: int | None = None


def spread_of_rows(differences: NDArray[Any]) -> Spread:
    """Return the spread of a metric that is a mean over rows. differences: [seeds, rows], at least two seeds."""
    seeds, rows = differences.shape
    of_seeds, of_rows, mean = differences.mean(1), differences.mean(0), differences.mean()
    rest = differences - of_seeds[:, None] - of_rows[None, :] + mean
    both = max(1, (seeds - 1) * (rows - 1))
    return Spread(
        by_seeds=float(of_seeds.var(ddof=1)) / seeds,
        by_rows=float(of_rows.var(ddof=1)) / rows if rows > 1 else 0.0,
        of_pairs=float((rest**2).sum()) / both / (seeds * rows),
        seeds=seeds,
        rows=rows,
    )


def spread_of_resamples(of_seeds: NDArray[Any], resampled: NDArray[Any], rows: int) -> Spread:
    """Return the spread of any metric. of_seeds: [seeds], each seed's difference over all rows; resampled: [draws,
    seeds], the same over rows drawn with replacement, for all seeds the same ones. Draws with a NaN are left out."""
    seeds = len(of_seeds)
    whole = resampled[np.isfinite(resampled).all(1)]
    covariance = np.atleast_2d(np.cov(whole, rowvar=False)) * (rows / max(1, rows - 1))
    own = float(covariance.trace()) / seeds
    shared = float(covariance.sum() - covariance.trace()) / (seeds * (seeds - 1))
    return Spread(
        by_seeds=float(of_seeds.var(ddof=1)) / seeds,
        by_rows=float(covariance.sum()) / seeds**2,
        of_pairs=max(0.0, own - shared) / seeds,
        seeds=seeds,
        rows=rows,
    )


def spread_of_seeds(of_seeds: NDArray[Any]) -> Spread:
    """Return the spread where nothing is known of rows. of_seeds: [seeds]."""
    return Spread(float(of_seeds.var(ddof=1)) / len(of_seeds), 0.0, 0.0, len(of_seeds), None)


def share_padded(differences: NDArray[Any]) -> NDArray[Any]:
    """Return differences of shares of rows, each -1, 0 or 1, with two rows more: Agresti and Min's remedy (Statistics
    in Medicine 24, 2005, 729-740) for the interval of a paired difference, which would be too short for few rows, and
    have no length at all where no row differs. In sum the two rows say nothing for either side."""
    half = np.full((len(differences), 1), math.sqrt(0.5))
    return np.concatenate([differences, half, -half], axis=1)


def judge(difference: float, spread: Spread, level: float = LEVEL, centre: float | None = None) -> Judged:
    """Return the verdict on a difference (positive is better). centre: of the interval, if it is not the difference."""
    centre = difference if centre is None else centre
    error = math.sqrt(spread.total)
    times = _quantile(level, spread.freedom) if error else 0.0
    interval = centre - times * error, centre + times * error
    verdict: Verdict = "better" if interval[0] > 0 else "worse" if interval[1] < 0 else "not shown"
    if verdict != "not shown" or difference <= 0 or not error:
        return Judged(difference, interval, level, verdict)
    return Judged(difference, interval, level, verdict, *_more(spread, difference, times, level))


def _more(spread: Spread, difference: float, times: float, level: float) -> tuple[int | None, int | None]:
    """Return how many rows, and how many seeds, would show a difference. times: standard errors in the interval now."""
    from scipy.special import ndtri

    power = float(ndtri(_POWER))
    of_rows = (spread.total - spread.seeds_alone) * (spread.rows or 0)
    left = (difference / (times + power)) ** 2 - spread.seeds_alone  # what may come of the rows
    if spread.rows is not None and left > 0:
        return _up(of_rows / left), None

    def seeds_for(share: float, of_rows: float) -> int | None:
        """Return the fewest seeds whose own variance is within a share of what would be shown, less what is of the
        rows; None if no number does it that could be said."""

        def do(seeds: int) -> bool:
            left = share * _shown(difference, seeds, level, power) - of_rows
            return spread.seeds_alone * spread.seeds / seeds <= left

        found = bisect_left(range(_MOST), True, lo=spread.seeds + 1, key=do)  # more seeds never show less
        return found if found < _MOST else None

    if of_rows and (seeds := seeds_for(0.5, 0.0)) is not None:
        rows = of_rows / (_shown(difference, seeds, level, power) - spread.seeds_alone * spread.seeds / seeds)
        if rows > (spread.rows or 0):
            return _up(rows), _up(seeds)
    alone = seeds_for(1.0, of_rows / (spread.rows or 1))  # there are rows enough, or they are not known
    return None, None if alone is None else _up(alone)


def _shown(difference: float, seeds: int, level: float, power: float) -> float:
    """Return the variance with which a difference is shown with so many seeds."""
    return (difference / (_quantile(level, seeds - 1) + power)) ** 2


def _quantile(level: float, freedom: float) -> float:
    """Return how many standard errors an interval reaches to each side (Student's t)."""
    from scipy.special import ndtri, stdtrit  # scipy.stats takes a second to load

    share = (1 + level) / 2
    return float(ndtri(share) if math.isinf(freedom) else stdtrit(freedom, share))


def _up(number: float) -> int:
    """Return a number rounded up to two digits, since no more are meant."""
    whole = math.ceil(number)
    step: int = 10 ** max(0, len(str(whole)) - 2)
    return int(math.ceil(whole / step) * step)


Resample = Callable[["NDArray[np.intp]"], "NDArray[Any]"]


def resampled(statistic: Resample, rows: int, draws: int, at_once: int = 1, seed: int = 0) -> NDArray[Any]:
    """Return a statistic, [seeds], over rows drawn with replacement, again and again: [draws, seeds].

    statistic: is given the numbers of the drawn rows of several draws, [n, rows], and returns [n, seeds]. at_once: how
    many draws it gets. The same `seed` draws the same rows.
    """
    generator = np.random.default_rng(seed)
    counts = [min(at_once, draws - begun) for begun in range(0, draws, at_once)]
    return np.concatenate([statistic(generator.integers(rows, size=(count, rows))) for count in counts])
