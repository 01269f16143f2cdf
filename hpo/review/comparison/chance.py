"""Is a difference larger than the noise? Tests by ranks, effect sizes with intervals, and Holm's correction.

Nothing is taken for normal: accuracies pile up below 1, losses have long tails, and a trial that diverged has no value
at all, only the last rank. Where values are normal, ranks need 5 % more trials for the same (3 / pi: Hodges and
Lehmann, Annals of Mathematical Statistics 27, 1956, 324-335).

**All with all.** Each trial of one choice is compared with each of the other (`courses.advantages`). The effect is the
probability that it is the better one, ties counted half; its test studentizes it (Brunner and Munzel, Biometrical
Journal 42, 2000, 17-25), which holds where the two differ in spread, too. With few trials its distribution is that over
permutations of the choices (Neubert and Brunner, Computational Statistics & Data Analysis 51, 2007, 5192-5204), else
Student's. The kernel needs no ranks, only who beats whom, so trials that were stopped take part (Gehan, Biometrika 52,
1965, 203-223). Where a sampler learns, trials are compared and permuted within parts of the sweep, whose effects are
combined (van Elteren, Bulletin of the International Statistical Institute 37, 1960, 351-361). Interval: method 5 of
Newcombe (Statistics in Medicine 25, 2006, 559-573); of the shift, the median of all differences (Hodges and Lehmann,
Annals of Mathematical Statistics 34, 1963, 598-611), that of the order statistics.

**In pairs.** Wilcoxon's signed ranks, zeros as by Pratt (Journal of the American Statistical Association 54, 1959,
655-667), exactly, ties included; the shift is the median of the averages of each two differences, with Tukey's
interval; the share of pairs won has Wilson's.

**Several differences.** Holm (Scandinavian Journal of Statistics 6, 1979, 65-70), over those that could be shown at all
with their numbers of trials (Tarone, Biometrics 46, 1990, 515-522).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hpo.review.comparison.values import Interval

LEVEL = 0.05
Z = 1.959963984540054  # of a 95 % interval
_FEW = 15  # trials of the rarer choice below which permutations are drawn
_BESIDE_FEW = 300  # trials of the other choice that are looked at then
MOST_COMPARED = 800  # trials of a choice that are compared with all of another one's; of more, evenly chosen ones
_PERMUTATIONS = 9999  # 190 differences, of 20 choices, can still be shown after Holm's correction
_EXACT = 200  # pairs up to which the signed ranks' distribution is worked out
_SEED = 20061128


@dataclass(frozen=True)
class Effect:
    """What two choices' trials say; positive is better for the left one. least: the smallest p that so many trials
    could have."""

    wins: float
    wins_interval: tuple[float, float]
    shift: float
    shift_interval: Interval
    p: float
    least: float

    @property
    def turned(self) -> Effect:
        """The same with left and right exchanged."""
        low, high = self.wins_interval
        least, most = self.shift_interval
        shift = None if most is None else -most, None if least is None else -least
        return Effect(1 - self.wins, (1 - high, 1 - low), -self.shift, shift, self.p, self.least)


def unpaired(whole: np.ndarray, left: np.ndarray, right: np.ndarray) -> Effect | None:
    """Return the effect where all are compared with all; None if nothing can be compared.

    whole: [trials, trials] of both choices, the left ones first: how much better each is than each (antisymmetric).
    left, right: the stratum of each trial of a choice; trials of different strata are not compared.
    """
    strata = _strata(left, right)
    if not strata:
        return None
    kept = np.isin(np.concatenate([left, right]), strata)
    labels, better = np.concatenate([left, right])[kept], whole[np.ix_(kept, kept)]
    is_left = (np.arange(len(whole)) < len(left))[kept]
    m, n = int(is_left.sum()), int((~is_left).sum())
    weighted = _weighted(np.sign(better), labels, is_left)
    wins = 0.5 * (1 + float(weighted[np.ix_(is_left, ~is_left)].sum()))
    studentized, freedom = _studentized(weighted, labels, is_left[None, :].astype(float))
    if min(m, n) < _FEW:
        p = _permuted(weighted, labels, is_left, float(studentized[0]))
    else:
        p = _two_sided(float(studentized[0]), freedom)
    together = labels[is_left][:, None] == labels[~is_left][None, :]
    error = math.sqrt((m + n + 1) / (12 * m * n))
    middle, interval = _middle(better[np.ix_(is_left, ~is_left)][together], error)
    return Effect(wins, newcombe(wins, m, n), middle, interval, p, _least_unpaired(labels, is_left))


def _strata(left: np.ndarray, right: np.ndarray) -> list[int]:
    """Return the strata with two trials or more of both: of one alone nobody knows how it varies."""
    there = np.intersect1d(left, right)
    return [int(label) for label in there if min((left == label).sum(), (right == label).sum()) >= 2]


def _weighted(signs: np.ndarray, labels: np.ndarray, is_left: np.ndarray) -> np.ndarray:
    """Return who beats whom, weighted such that the sum over left and right is 2 wins - 1 (van Elteren's weights)."""
    weights, counts = {}, {}
    for label in np.unique(labels):
        m, n = int((is_left & (labels == label)).sum()), int((~is_left & (labels == label)).sum())
        weights[label], counts[label] = m * n / (m + n + 1), m * n
    total = sum(weights.values())
    of_row = np.array([weights[label] / total / counts[label] for label in labels])
    return np.asarray(np.where(labels[:, None] == labels[None, :], signs * of_row[:, None], 0.0))


def _studentized(weighted: np.ndarray, labels: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the effect in standard errors for each of several ways to divide the trials, and the degrees of freedom
    of the first. chosen: [ways, trials], 1 for the left ones."""
    lost = chosen @ weighted  # [ways, trials]: how much the left ones beat each
    won = weighted.sum(axis=1)[None, :] + lost  # how much each beats the right ones
    effect = (lost * (1 - chosen)).sum(axis=1)
    variances = np.zeros((2, len(chosen)))
    freedoms = [0.0, 0.0]
    for label in np.unique(labels):
        inside = labels == label
        for side, (given, members) in enumerate(((won, chosen), (lost, 1 - chosen))):
            mask = members[:, inside]
            count = mask.sum(axis=1)
            mean = (given[:, inside] * mask).sum(axis=1) / count
            squares = (((given[:, inside] - mean[:, None]) ** 2) * mask).sum(axis=1)
            variances[side] += squares * count / (count - 1)
            freedoms[side] += float(count[0]) - 1
    floor = float(np.abs(weighted).max(initial=0.0)) ** 2 or 1.0
    variance = np.maximum(variances.sum(axis=0), floor)
    below = sum(float(variances[side, 0]) ** 2 / freedoms[side] for side in (0, 1))
    freedom = float(variances[:, 0].sum()) ** 2 / below if below else sum(freedoms)
    return effect / np.sqrt(variance), freedom


def _permuted(weighted: np.ndarray, labels: np.ndarray, is_left: np.ndarray, seen: float) -> float:
    """Return how often a permutation of the choices, within each stratum, differs as much."""
    generator = np.random.default_rng(_SEED)
    chosen = np.zeros((_PERMUTATIONS, len(labels)))
    for label in np.unique(labels):
        (inside,) = np.nonzero(labels == label)
        shuffled = generator.permuted(np.tile(is_left[inside].astype(float), (_PERMUTATIONS, 1)), axis=1)
        chosen[:, inside] = shuffled
    drawn, _ = _studentized(weighted, labels, chosen)
    return float((1 + (np.abs(drawn) >= abs(seen) - 1e-9).sum()) / (1 + _PERMUTATIONS))


def _least_unpaired(labels: np.ndarray, is_left: np.ndarray) -> float:
    ways = 1.0
    for label in np.unique(labels):
        m, n = int((is_left & (labels == label)).sum()), int((~is_left & (labels == label)).sum())
        ways *= math.comb(m + n, m) if m + n < 200 else math.inf
    return max(2 / ways, 1 / (1 + _PERMUTATIONS) if min(is_left.sum(), (~is_left).sum()) < _FEW else 0.0)


def representatives(count: int, beside: int) -> np.ndarray:
    """Return which of a choice's trials are looked at, beside so many of another choice: all, or evenly chosen ones
    of many."""
    most = _BESIDE_FEW if beside < _FEW else MOST_COMPARED
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).round().astype(int)


def newcombe(wins: float, m: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a probability to win that m and n trials show (Newcombe 2006, method 5)."""
    extra = (m + n) / 2 - 1

    def beyond(p: float) -> float:
        variance = p * (1 - p) * (1 + extra * (1 - p) / (2 - p) + extra * p / (1 + p)) / (m * n)
        return (wins - p) ** 2 - Z**2 * variance

    return _root(beyond, wins, 0.0), _root(beyond, wins, 1.0)


def _root(beyond: Callable[[float], float], inside: float, outside: float) -> float:
    """Return where an interval ends between a point inside and one at or beyond the end."""
    if beyond(outside) <= 0:
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if beyond(middle) <= 0 else (inside, middle)
    return outside


def wilson(won: float, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, Journal of the American Statistical Association 22, 1927)."""
    share, extra = won / of, Z**2 / of
    centre = (share + extra / 2) / (1 + extra)
    half = Z * math.sqrt(share * (1 - share) / of + extra / (4 * of)) / (1 + extra)
    return max(0.0, centre - half), min(1.0, centre + half)


def paired(differences: np.ndarray) -> Effect:
    """Return the effect of differences in pairs, left minus right; at least one."""
    count = len(differences)
    won = float((differences > 0).sum() + (differences == 0).sum() / 2)
    some = differences[representatives(count, count)]
    first, second = np.triu_indices(len(some))
    finite = np.clip(some, -1e300, 1e300)  # two infinite ones of different signs make 0
    averages = finite[first] / 2 + finite[second] / 2
    averages = np.select([averages > 4e299, averages < -4e299], [np.inf, -np.inf], averages)
    middle, interval = _middle(averages, math.sqrt((2 * count + 1) / (6 * count * (count + 1))))
    p, least = _signed_ranks(differences)
    return Effect(won / count, wilson(won, count), middle, interval, p, least)


def _middle(values: np.ndarray, error: float) -> tuple[float, Interval]:
    """Return the median of values, and its 95 % interval as that of order statistics. error: the standard error of the
    share of values below 0."""
    ordered = np.sort(values)
    last = len(ordered) - 1
    low, high = 0.5 - Z * error, 0.5 + Z * error
    bounds = [
        float(ordered[math.floor(low * last)]) if low > 0 else -math.inf,
        float(ordered[math.ceil(high * last)]) if high < 1 else math.inf,
    ]
    below, above = float(ordered[last // 2]), float(ordered[(last + 1) // 2])
    middle = below if below == above else (below + above) / 2 if math.isfinite(below) and math.isfinite(above) else 0.0
    return middle, (_finite(bounds[0]), _finite(bounds[1]))


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None


def _signed_ranks(differences: np.ndarray) -> tuple[float, float]:
    """Return the two-sided p of Wilcoxon's signed ranks, and the smallest that so many differences could have."""
    doubled = np.rint(2 * _mid_ranks(np.abs(differences))).astype(int)
    there = differences != 0
    doubled, positive = doubled[there], differences[there] > 0
    least = 2.0 ** (1 - len(differences))
    if not len(doubled):
        return 1.0, least
    total, seen = int(doubled.sum()), int(doubled[positive].sum())
    away = abs(2 * seen - total)
    if len(doubled) > _EXACT:
        return _two_sided(away / math.sqrt(float((doubled.astype(float) ** 2).sum())), math.inf), least
    ways = np.zeros(total + 1)
    ways[0] = 1.0
    for rank in doubled:
        ways[rank:] = (ways[rank:] + ways[:-rank]) / 2
        ways[:rank] /= 2
    sums = np.abs(2 * np.arange(total + 1) - total)
    return min(1.0, float(ways[sums >= away].sum())), least


def _mid_ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse])


def _two_sided(errors: float, freedom: float) -> float:
    from scipy.special import ndtr, stdtr  # scipy.stats takes a second to load

    tail = ndtr(-abs(errors)) if math.isinf(freedom) else stdtr(freedom, -abs(errors))
    return min(1.0, 2 * float(tail))


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, in the same order."""
    corrected = [0.0] * len(ps)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        corrected[index] = largest
    return corrected
