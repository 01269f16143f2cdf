"""The verdict's arithmetic: right on average, by simulation; the same as other methods; right where nothing varies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpo.decision.confirm.verdict import (
    LEVEL,
    Spread,
    judge,
    resampled,
    share_padded,
    spread_of_resamples,
    spread_of_rows,
    spread_of_seeds,
)

Generator = np.random.Generator


def effects(
    draw: Generator, seeds: int, rows: int, of_seeds: float, of_rows: float, of_pairs: float, mean: float = 0.0
) -> np.ndarray:
    """Draw differences [seeds, rows] from two crossed random effects. of_...: their standard deviations."""
    return (
        mean
        + of_seeds * draw.standard_normal((seeds, 1))
        + of_rows * draw.standard_normal((1, rows))
        + of_pairs * draw.standard_normal((seeds, rows))
    )


def verdict_on(differences: np.ndarray) -> str:
    return judge(float(differences.mean()), spread_of_rows(differences)).verdict


@pytest.mark.parametrize(
    ("seeds", "rows", "deviations"),
    [
        (5, 200, (0.0, 1.0, 1.0)),  # rows only
        (5, 200, (0.1, 1.0, 1.0)),  # both
        (5, 200, (1.0, 1.0, 1.0)),  # seeds, above all
        (5, 200, (0.0, 0.0, 1.0)),  # pairs only
        (3, 50, (0.3, 1.0, 1.0)),
        (2, 200, (0.1, 1.0, 1.0)),
        (20, 30, (0.2, 1.0, 1.0)),
    ],
)
def test_a_difference_that_is_not_there_is_shown_in_at_most_five_per_cent(
    seeds: int, rows: int, deviations: tuple[float, float, float]
) -> None:
    draw = np.random.default_rng(1)
    times = 1000
    shown = sum(verdict_on(effects(draw, seeds, rows, *deviations)) != "not shown" for _ in range(times))
    assert shown / times < 0.05 + 3 * math.sqrt(0.05 * 0.95 / times)


def test_a_difference_of_a_coin_of_twenty_rows_is_not_shown_too_often() -> None:
    """Accuracy on few rows: no normal distribution, and often no row differs at all."""
    draw, times, wrong = np.random.default_rng(2), 1000, 0
    for _ in range(times):
        right = draw.random((2, 3, 20)) < 0.9
        padded = share_padded(right[0].astype(float) - right[1])
        wrong += judge(float(padded.mean()), spread_of_rows(padded)).verdict != "not shown"
    assert wrong / times <= 0.05


def test_a_real_difference_is_shown_the_right_way_round() -> None:
    draw = np.random.default_rng(3)
    found = effects(draw, 5, 400, 0.02, 0.5, 0.5, mean=0.2)
    assert (verdict_on(found), verdict_on(-found)) == ("better", "worse")


def test_the_variance_is_that_of_the_difference() -> None:
    draw = np.random.default_rng(4)
    found = [effects(draw, 4, 60, 0.3, 1.0, 1.5) for _ in range(800)]
    estimated = np.mean([spread_of_rows(each).total for each in found])
    exact = 0.3**2 / 4 + 1 / 60 + 1.5**2 / 240
    assert estimated == pytest.approx(exact, rel=0.05)
    assert np.var([each.mean() for each in found]) == pytest.approx(exact, rel=0.15)


def test_the_bootstrap_of_rows_says_what_the_analysis_of_variance_says() -> None:
    found = effects(np.random.default_rng(5), 5, 300, 0.1, 1.0, 1.0)
    exact = spread_of_rows(found)
    drawn = resampled(lambda rows: found[:, rows].mean(2).T, 300, 4000, 100)
    other = spread_of_resamples(found.mean(1), drawn, 300)
    assert other.by_seeds == exact.by_seeds
    assert other.by_rows == pytest.approx(exact.by_rows, rel=0.1)
    assert other.total == pytest.approx(exact.total, rel=0.1)


def test_the_pigeonhole_bootstrap_agrees() -> None:
    """Owen (Annals of Applied Statistics 1, 2007, 386-411): draw seeds and rows, each with replacement. Of a mean its
    variance is known to hold the pairs' part three times, and (n - 1) / n of the others."""
    seeds, rows = 8, 200
    found = effects(np.random.default_rng(6), seeds, rows, 0.15, 1.0, 1.0)
    spread, draw = spread_of_rows(found), np.random.default_rng(7)
    means = [
        found[np.ix_(draw.integers(seeds, size=seeds), draw.integers(rows, size=rows))].mean() for _ in range(4000)
    ]
    of_seeds, of_rows = spread.by_seeds - spread.of_pairs, spread.by_rows - spread.of_pairs
    expected = of_seeds * (seeds - 1) / seeds + of_rows * (rows - 1) / rows + spread.of_pairs * 3
    assert np.var(means) == pytest.approx(expected, rel=0.12)


def test_nothing_varies() -> None:
    same = judge(0.0, spread_of_rows(np.zeros((3, 50))))
    assert (same.verdict, same.interval, same.more_rows, same.more_seeds) == ("not shown", (0.0, 0.0), None, None)
    constant = judge(0.5, spread_of_rows(np.full((3, 50), 0.5)))
    assert (constant.verdict, constant.interval) == ("better", (0.5, 0.5))


def test_models_that_say_the_same_have_an_interval_all_the_same() -> None:
    padded = share_padded(np.zeros((5, 100)))
    judged = judge(0.0, spread_of_rows(padded), centre=float(padded.mean()))
    assert judged.verdict == "not shown"
    assert judged.interval[1] == pytest.approx(1.98 / 102, rel=0.02) and judged.interval[0] == -judged.interval[1]


def test_rows_that_would_do_show_it_in_four_of_five_cases() -> None:
    draw = np.random.default_rng(8)
    spread = Spread(by_seeds=0.5**2 / 100 / 5, by_rows=0.5**2 / 100, of_pairs=0.5**2 / 500, seeds=5, rows=100)
    judged = judge(0.05, spread)
    assert judged.verdict == "not shown" and judged.more_rows and judged.more_seeds is None
    wanted = judged.more_rows
    shown = sum(verdict_on(effects(draw, 5, wanted, 0.0, 0.5, 0.5, mean=0.05)) == "better" for _ in range(300))
    assert 0.7 < shown / 300 < 0.95


def test_where_seeds_spread_too_much_more_of_them_are_asked_for() -> None:
    judged = judge(0.1, spread_of_rows(effects(np.random.default_rng(9), 3, 200, 0.5, 0.1, 0.1, mean=0.1)))
    assert judged.verdict == "not shown" and judged.difference > 0
    assert judged.more_seeds is not None and judged.more_seeds > 3


@pytest.mark.parametrize("level", [LEVEL, 1 - 0.05 / 3])
@pytest.mark.parametrize("errors", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_seeds_that_are_asked_for_are_the_fewest_that_show_it_in_four_of_five_cases(
    seeds: int, errors: float, level: float
) -> None:
    """A difference of so many standard errors. With two or three seeds the interval is wide by its few degrees of
    freedom, so hardly more of them are asked for, but never fewer."""
    from scipy import stats

    judged = judge(errors, Spread(by_seeds=1.0, by_rows=0.0, of_pairs=0.0, seeds=seeds, rows=None), level)
    if judged.verdict != "not shown":
        assert (seeds, errors) == (5, 3.0) and level == LEVEL
        return

    def do(number: int) -> bool:
        reach = stats.t.ppf((1 + level) / 2, number - 1) + stats.norm.ppf(0.8)
        return bool(reach * math.sqrt(seeds / number) <= errors)

    fewest = next(number for number in range(seeds + 1, 10_000) if do(number))
    assert judged.more_rows is None and judged.more_seeds is not None
    assert fewest <= judged.more_seeds <= 1.1 * fewest  # it is rounded up to two digits


@pytest.mark.parametrize(("by_rows", "difference"), [(1e-5, 0.05), (1e-3, 0.01), (1e-5, 0.01)])
def test_never_fewer_rows_or_seeds_are_asked_for_than_there_are(by_rows: float, difference: float) -> None:
    judged = judge(difference, Spread(by_seeds=1e-3, by_rows=by_rows, of_pairs=1e-6, seeds=5, rows=200))
    assert judged.verdict == "not shown" and judged.more_seeds is not None and judged.more_seeds > 5
    assert judged.more_rows is None or judged.more_rows > 200


def test_a_difference_that_is_next_to_nothing_asks_for_nothing_that_could_be_had() -> None:
    judged = judge(1e-12, Spread(by_seeds=1.0, by_rows=0.0, of_pairs=0.0, seeds=5, rows=None))
    assert (judged.verdict, judged.more_rows, judged.more_seeds) == ("not shown", None, None)


def test_without_rows_it_is_a_paired_t_interval() -> None:
    from scipy import stats

    values = np.array([0.1, 0.3, 0.2, 0.25])
    judged = judge(float(values.mean()), spread_of_seeds(values))
    exact = stats.ttest_1samp(values, 0).confidence_interval(LEVEL)
    assert judged.interval == pytest.approx((exact.low, exact.high))
    wider = judge(float(values.mean()), spread_of_seeds(values), level=1 - 0.05 / 3)
    assert wider.interval[0] < judged.interval[0]


def test_draws_that_lack_a_class_are_left_out() -> None:
    drawn = np.random.default_rng(10).normal(0, 1, (200, 3))
    whole = spread_of_resamples(np.array([1.0, 2.0, 3.0]), drawn, 50)
    holed = np.concatenate([drawn, np.full((5, 3), np.nan)])
    assert spread_of_resamples(np.array([1.0, 2.0, 3.0]), holed, 50) == whole
