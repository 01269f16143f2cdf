"""The statistics of a comparison, on noise and on planted differences, in seeded simulations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from hpo.review.comparison.blocks import PairedTrials
from hpo.review.comparison.chance import Effect, holm, newcombe, paired, unpaired, wilson
from hpo.review.comparison.differences import _Tested


def compared(left: np.ndarray, right: np.ndarray) -> Effect:
    both = np.concatenate([left, right])
    effect = unpaired(both[:, None] - both[None, :], np.zeros(len(left), int), np.zeros(len(right), int))
    assert effect is not None
    return effect


def smallest(groups: list[np.ndarray]) -> float:
    return min(holm([compared(left, right).p for left, right in itertools.combinations(groups, 2)]))


@pytest.mark.parametrize("kind", ["lognormal", "ties"])
def test_on_noise_few_comparisons_show_anything(kind: str) -> None:
    """docs/decision.md has larger runs of the same."""
    draw = np.random.default_rng(1)
    shown = 0
    for _ in range(60):
        groups = [
            draw.lognormal(sigma=1.5, size=size) if kind == "lognormal" else draw.binomial(20, 0.9, size) / 20
            for size in (6, 9, 16)
        ]
        shown += smallest(groups) <= 0.05
    assert shown <= 60 * 0.05 + 2 * math.sqrt(60 * 0.05 * 0.95)


def test_other_spreads_are_no_difference() -> None:
    draw = np.random.default_rng(2)
    shown = [compared(draw.normal(size=10), 5 * draw.normal(size=30)).p <= 0.05 for _ in range(80)]
    assert sum(shown) <= 80 * 0.05 + 2 * math.sqrt(80 * 0.05 * 0.95)


def test_a_planted_difference_is_found_with_its_size() -> None:
    draw = np.random.default_rng(3)
    sizes, inside, power = [], 0, 0
    for _ in range(100):
        effect = compared(draw.normal(1.5, 1, 20), draw.normal(0, 1, 16))
        sizes.append(effect.shift)
        low, high = effect.shift_interval
        assert low is not None and high is not None
        inside += low <= 1.5 <= high
        power += effect.p <= 0.05
        assert effect.wins_interval[0] <= effect.wins <= effect.wins_interval[1]
    assert abs(np.mean(sizes) - 1.5) < 0.1 and inside >= 88 and power >= 95


def test_large_samples_agree_with_scipy() -> None:
    draw = np.random.default_rng(4)
    left, right = draw.normal(0.4, 1, 40), draw.normal(0, 2, 60)
    expected = stats.brunnermunzel(left, right)
    assert compared(left, right).p == pytest.approx(float(expected.pvalue), rel=1e-9)
    assert compared(left, right).wins == pytest.approx(float(stats.mannwhitneyu(left, right).statistic) / 2400)


def test_pairs_agree_with_scipy_ties_included() -> None:
    draw = np.random.default_rng(5)
    differences = draw.normal(0.4, 1, 15)
    assert paired(differences).p == pytest.approx(float(stats.wilcoxon(differences).pvalue), rel=1e-9)
    tied = np.array([1.0, 1.0, 2.0, -1.0, 3.0, 0.0, 2.0])
    signs = np.array(list(itertools.product([-1, 1], repeat=6)))
    ranks = stats.rankdata(np.abs(tied))[tied != 0]
    seen = abs((ranks * np.sign(tied[tied != 0])).sum())
    assert paired(tied).p == pytest.approx((np.abs(signs @ ranks) >= seen - 1e-9).mean())


def test_pairing_beats_no_pairing() -> None:
    """What both have in common, the other parameters say, varies more than what the choice does."""
    draw = np.random.default_rng(6)
    in_pairs, alone = 0, 0
    for _ in range(50):
        common = draw.normal(0, 3, 12)
        left, right = common + 1 + draw.normal(0, 0.5, 12), common + draw.normal(0, 0.5, 12)
        in_pairs += paired(left - right).p <= 0.05
        alone += compared(left, right).p <= 0.05
    assert in_pairs >= 45 > 15 >= alone


def test_parts_of_a_sweep_are_compared_by_themselves() -> None:
    """A sampler that learns tried the one early, when all was bad, and the other late: no choice is better."""
    draw = np.random.default_rng(7)
    together, in_parts = 0, 0
    for _ in range(60):
        late = np.repeat([0, 1], 30)
        is_left = draw.random(60) < np.where(late, 0.8, 0.2)
        values = 3 * late + draw.normal(size=60)
        both = np.concatenate([values[is_left], values[~is_left]])
        better, strata = both[:, None] - both[None, :], (late[is_left], late[~is_left])
        together += compared(values[is_left], values[~is_left]).p <= 0.05
        effect = unpaired(better, *strata)
        in_parts += effect is not None and effect.p <= 0.05
    assert together > 50 and in_parts <= 60 * 0.05 + 2 * math.sqrt(60 * 0.05 * 0.95)


def test_diverged_trials_are_the_last_rank_and_no_number() -> None:
    effect = paired(np.array([np.inf, np.inf, 0.5, 0.4, 0.3, 0.2, -np.inf, 0.0]))
    assert 0.5 < effect.wins < 1 and effect.shift_interval[1] is None and math.isfinite(effect.p)


def test_too_few_could_show_nothing() -> None:
    assert paired(np.arange(1.0, 6.0)).least == 0.0625
    assert compared(np.arange(3.0), np.arange(3.0) + 10).least == pytest.approx(0.1)
    assert unpaired(np.zeros((3, 3)), np.zeros(1, int), np.zeros(2, int)) is None


def test_intervals_end_within_their_bounds() -> None:
    assert newcombe(1.0, 5, 5)[1] == 1.0 and 0.5 < newcombe(1.0, 5, 5)[0] < 1.0
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)  # Newcombe (1998), table I's method 3


def test_holm() -> None:
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.6, 0.5]) == pytest.approx([1.0, 1.0])


def test_of_pairs_the_better_one_is_whom_the_test_is_for() -> None:
    """It goes by how large differences are: 21 small wins are less than 19 large losses."""
    draw = np.random.default_rng(1)
    effect = paired(np.concatenate([draw.uniform(0.005, 0.015, 21), -draw.uniform(0.1, 0.28, 19)]))
    assert effect.wins > 0.5 and effect.shift < 0 and effect.p < 0.05
    found = _Tested(("A", "B"), (40, 40), effect, PairedTrials("configuration", np.zeros(40), (40, 40))).told(effect.p)
    assert (found.left, found.finding) == ("B", "better") and found.shift is not None and found.shift > 0
