"""Chance is told from an effect, and what can't be told is not taken for none."""

from __future__ import annotations

import numpy as np

from hpo.decision.refine.chance import LEAST_POWER, cell_counts, chance_of, chance_of_prior, power_of
from hpo.decision.refine.evidence import BLOCKS, Sighting
from hpo.spec.space import Categorical, Range

UNIT = Range(0.0, 1.0)


def sightings(values: np.ndarray, good: np.ndarray) -> list[Sighting]:
    return [
        Sighting(float(value), bool(is_good), index * BLOCKS // len(values))
        for index, (value, is_good) in enumerate(zip(values, good, strict=True))
    ]


def test_chance_alone_is_seldom_taken_for_an_effect() -> None:
    generator = np.random.default_rng(1)
    found = []
    for _ in range(60):
        good = generator.permutation(200) < 30
        found.append(chance_of(cell_counts(UNIT, sightings(generator.random(200), good))))
    assert 0.3 < np.mean(found) < 0.7
    assert np.mean(np.array(found) < 0.05) <= 0.1


def test_an_effect_is_found() -> None:
    values = np.random.default_rng(2).random(200)
    good = np.zeros(200, dtype=bool)
    good[np.argsort(values)[::2][:30]] = True  # among the lower ones
    counts = cell_counts(UNIT, sightings(values, good))
    assert chance_of(counts) < 0.001 and chance_of_prior(counts) < 0.001


def test_what_drifts_along_with_time_is_no_effect() -> None:
    """The sampler moves to high values as the sweep gets better for other reasons: within each part all is even."""
    generator = np.random.default_rng(3)
    parts = [generator.uniform(0.2 * part, 0.2 * part + 0.4, 50) for part in range(4)]
    good = np.concatenate([generator.permutation(50) < share for share in (0, 5, 10, 25)])
    values = np.concatenate(parts)
    counts = cell_counts(UNIT, sightings(values, good))
    assert chance_of(counts) > 0.05
    shuffled = generator.permutation(200)  # the same trials, as if there were no time
    assert chance_of(cell_counts(UNIT, sightings(values[shuffled], good[shuffled]))) < 0.01


def test_power_takes_trials_everywhere() -> None:
    generator = np.random.default_rng(4)
    good = generator.permutation(300) < 45
    assert power_of(cell_counts(UNIT, sightings(generator.random(300), good))) > LEAST_POWER
    few = generator.permutation(30) < 10
    assert power_of(cell_counts(UNIT, sightings(generator.random(30), few))) < LEAST_POWER
    one_sided = generator.random(300) * 0.49  # the upper half was never tried
    assert power_of(cell_counts(UNIT, sightings(one_sided, good))) < LEAST_POWER


def test_the_same_trials_give_the_same_answer() -> None:
    generator = np.random.default_rng(6)
    domain = Categorical(("a", "b", "c"))
    seen = [Sighting("abc"[generator.integers(3)], index % 4 == 0, index * BLOCKS // 80) for index in range(80)]
    counts = cell_counts(domain, seen)
    assert (chance_of(counts), power_of(counts)) == (chance_of(counts), power_of(counts))
    assert counts.seen.sum() == 80 and counts.good.sum() == 20
