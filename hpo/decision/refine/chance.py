"""What chance alone would do: whether a parameter's values have to do with being a good trial.

The measure is the Pearson divergence between the values of the good trials and those of all, in cells of the
parameter's domain; it is what PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023) estimates with kernels. What chance
makes of it comes from permutations: which trials are good is drawn anew, within each part of the sweep by itself, since
a sampler that learns changes what it proposes and how good that is at the same time.

That no effect is seen is no evidence that there is none. So the power is worked out, too: how often an effect of a
given size would have been seen in such a study. All draws are seeded: the same trials give the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.decision.refine.evidence import BLOCKS, Sighting
from hpo.decision.refine.positions import MOST_CELLS, cell_of, cells
from hpo.spec.space import Categorical, Range

ODDS = 4.0  # of an effect that matters: values of one half are good so many times as often as others
COARSE = 4  # cells of a range: with fewer of them an effect is seen with fewer trials
LEAST_POWER = 0.8  # with which an effect that matters would have been seen
UNSUSPICIOUS = 0.3  # the probability from which on what is seen is what chance does
SIGNIFICANT = 0.05
_PERMUTATIONS = 2000
_PLANTED = 400  # studies with a planted effect
_SEED = 20230410

Counts = np.ndarray  # [blocks, cells]


@dataclass(frozen=True)
class CellCounts:
    """The trials in each cell of a parameter's domain.

    prior: the share of the domain in each cell [cells]. seen, good: trials in each part of the sweep and each cell
    [blocks, cells]; seen has the good ones, too. ordered: neighbouring cells hold neighbouring values.
    """

    prior: np.ndarray
    seen: Counts
    good: Counts
    ordered: bool = True


def cell_counts(domain: Range | Categorical, sightings: Sequence[Sighting], most: int = MOST_CELLS) -> CellCounts:
    """Count sightings by part of the sweep and cell. Each choice is one; a range has at most `most`."""
    if isinstance(domain, Categorical):
        prior = list(domain.probabilities or [1 / len(domain.values)] * len(domain.values))
        places = [domain.place_of(sighting.value) or 0 for sighting in sightings]
    else:
        prior = cells(domain, most)
        places = [cell_of(domain, sighting.value, most) for sighting in sightings]
    seen = np.zeros((BLOCKS, len(prior)), dtype=np.int64)
    good = np.zeros_like(seen)
    for sighting, place in zip(sightings, places, strict=True):
        seen[sighting.block, place] += 1
        good[sighting.block, place] += sighting.good
    return CellCounts(np.asarray(prior), seen, good, ordered=not isinstance(domain, Categorical))


def divergence(good: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the Pearson divergence of counts [..., cells] from shares [cells]; cells without a share don't count."""
    kept = shares > 0
    part = good[..., kept] / np.maximum(good.sum(axis=-1, keepdims=True), 1)
    return np.asarray(((part / shares[kept] - 1) ** 2 * shares[kept]).sum(axis=-1))


def chance_of(counts: CellCounts) -> float:
    """Return the probability that chance makes the values of good trials differ as much from those of all."""
    return _tail(_null(counts), float(divergence(counts.good.sum(axis=0), _shares(counts))))


def chance_of_prior(counts: CellCounts) -> float:
    """Return the probability that as many good trials, drawn evenly from the domain, would be as uneven."""
    good = counts.good.sum(axis=0)
    prior = counts.prior / counts.prior.sum()
    drawn = _generator().multinomial(int(good.sum()), prior, size=_PERMUTATIONS)
    return _tail(divergence(drawn, prior), float(divergence(good, prior)))


def power_of(counts: CellCounts) -> float:
    """Return how often an effect that matters would have been seen (p < SIGNIFICANT), at the worst.

    Effects: the values of one half of a range, of its middle half, or one of several choices, are good ODDS times as
    often as the others.
    """
    critical = float(np.quantile(_null(counts), 1 - SIGNIFICANT))
    shares = _shares(counts)
    found = [
        float((divergence(_planted(counts, favoured), shares) > critical + 1e-12).mean())
        for favoured in _effects(len(counts.prior), counts.ordered)
    ]
    return min(found, default=0.0)


def _effects(size: int, ordered: bool) -> list[np.ndarray]:
    """Return which cells an effect favours."""
    places = np.arange(size)
    if not ordered:
        return [places == place for place in places]
    middle = [(places >= size // 4) & (places < size - size // 4)] if size >= 3 else []
    return [places < size // 2, places >= size - size // 2, *middle]


def _shares(counts: CellCounts) -> np.ndarray:
    seen = counts.seen.sum(axis=0)
    return np.asarray(seen / max(int(seen.sum()), 1))


def _null(counts: CellCounts) -> np.ndarray:
    """Return the divergence of permutations [_PERMUTATIONS]."""
    generator, total = _generator(), np.zeros((_PERMUTATIONS, counts.seen.shape[1]), dtype=np.int64)
    for seen, good in zip(counts.seen, counts.good, strict=True):
        total += generator.multivariate_hypergeometric(seen, int(good.sum()), size=_PERMUTATIONS)
    return divergence(total, _shares(counts))


def _planted(counts: CellCounts, favoured: np.ndarray) -> np.ndarray:
    """Return the good trials in each cell [_PLANTED, cells], where those of favoured cells are drawn ODDS times as
    often."""
    generator, size = _generator(), counts.seen.shape[1]
    total = np.zeros((_PLANTED, size), dtype=np.int64)
    rows = np.arange(_PLANTED)[:, None]
    for seen, good in zip(counts.seen, counts.good, strict=True):
        if not (number := int(good.sum())):
            continue
        places = np.repeat(np.arange(size), seen)
        # The largest of weights' logarithms plus Gumbel noise are a weighted draw without replacement.
        keys = np.log(np.where(favoured, ODDS, 1.0))[places] + generator.gumbel(size=(_PLANTED, len(places)))
        drawn = np.argpartition(keys, len(places) - number, axis=1)[:, len(places) - number :]
        np.add.at(total, (rows, places[drawn]), 1)
    return total


def _tail(drawn: np.ndarray, observed: float) -> float:
    return float((1 + (drawn >= observed - 1e-12).sum()) / (1 + len(drawn)))


def _generator() -> Any:
    return np.random.default_rng(_SEED)
