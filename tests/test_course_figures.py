"""How docs/course.md tells a difference from noise, and what it reads off learning curves (scripts/reproduction)."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from reproduction.claims import Verdict, against, first_of, geometric, mean
from reproduction.curves import by_layer, first_steps
from reproduction.paired import pairs
from reproduction.studies.momentum import _diverged
from reproduction.studies.optimizers import gaps_of, noise_of

SEEDS = range(8)


def figures(**values: float) -> dict[str, pd.Series]:
    """A figure for each choice, which differs between seeds by a little."""
    return {name: pd.Series([value + seed / 100 for seed in SEEDS], index=SEEDS) for name, value in values.items()}


def test_a_pair_that_differs() -> None:
    (pair,) = pairs(figures(slow=20.0, fast=5.0), [("fast", "slow")])
    assert (pair.smaller, pair.larger) == (Verdict.HOLDS, Verdict.FAILS)
    assert pair.words("epochs").startswith("fast minus slow: -15 epochs (")


def test_equal_figures_show_nothing() -> None:
    (pair,) = pairs(figures(one=5.0, other=5.0), [("one", "other")])
    assert (pair.smaller, pair.larger) == (Verdict.UNKNOWN, Verdict.UNKNOWN)


def test_what_never_comes_is_later_than_all() -> None:
    (pair,) = pairs({"late": pd.Series(math.inf, index=SEEDS), **figures(soon=5.0)}, [("late", "soon")])
    assert pair.larger == Verdict.HOLDS
    assert pair.words("epochs").startswith("late mostly never comes there, soon does")


def test_two_that_never_come_are_equal() -> None:
    told = figures(one=1.0, other=2.0)
    for values in told.values():
        values[:2] = 9.0
    (equal,) = pairs(told, [("one", "other")])
    (never,) = pairs({name: values.replace(9.0, math.inf) for name, values in told.items()}, [("one", "other")])
    assert never == equal and equal.smaller == Verdict.HOLDS


@pytest.mark.parametrize("names", [("one", "other"), ("one", "absent")])
def test_few_pairs_show_nothing(names: tuple[str, str]) -> None:
    few = {name: values.iloc[:5] for name, values in figures(one=20.0, other=5.0).items()}
    (pair,) = pairs(few, [names])
    assert pair.larger == Verdict.UNKNOWN and "too few" in pair.words("epochs")


def test_p_is_corrected_for_all_that_are_compared_together() -> None:
    told = figures(a=1.0, **{f"b{place}": 2.0 for place in range(10)})
    (alone,) = pairs(told, [("a", "b0")])
    together = pairs(told, [("a", f"b{place}") for place in range(10)])
    assert alone.smaller == Verdict.HOLDS and alone.p < 0.01
    assert together[0].p == pytest.approx(10 * alone.p) and together[0].smaller == Verdict.UNKNOWN


def test_a_bound_is_met_by_the_whole_interval() -> None:
    found = mean([1.0, 1.1, 0.9])
    assert against(found, 2.0) == Verdict.HOLDS and against(found, 2.0, below=False) == Verdict.FAILS
    assert against(found, 0.5) == Verdict.FAILS and against(found, 1.05) == Verdict.UNKNOWN
    assert against(mean([1.0]), 2.0) == Verdict.UNKNOWN


def test_a_geometric_mean() -> None:
    assert geometric([0.001, 0.1, 0.0]).value == pytest.approx(0.01)
    assert str(geometric([])) == "-"


def test_one_better_choice_refutes_the_best() -> None:
    holds, fails, unknown = Verdict.HOLDS, Verdict.FAILS, Verdict.UNKNOWN
    assert first_of([holds, holds]) == holds and first_of([holds, unknown]) == Verdict.PARTLY
    assert first_of([holds, fails]) == fails and first_of([unknown]) == first_of([]) == unknown


def test_noise_pooled_over_groups() -> None:
    groups = {"a": [0.70, 0.72], "b": [0.60, 0.62], "c": [0.70]}
    noise = noise_of(groups)
    assert noise.freedom == 2 and noise.spread == pytest.approx(0.02 / math.sqrt(2))
    near, far = gaps_of(groups, noise, [("a", "c"), ("a", "b")])
    assert near.sign == 0 and far.value == pytest.approx(0.1)
    assert far.half == pytest.approx(6.2053 * noise.spread, rel=1e-3)  # Student's t at 1 - 0.025 / 2, 2 degrees
    assert far.sign == 1 and gaps_of(groups, noise, [("b", "a"), ("c", "a")])[0].sign == -1
    (alone,) = gaps_of({"a": [0.9], "b": [0.1]}, noise_of({"a": [0.9], "b": [0.1]}), [("a", "b")])
    assert alone.sign == 0


def test_first_steps_at_a_value() -> None:
    curves = pd.DataFrame({"number": [3, 3, 3, 5, 5], "step": [1, 2, 3, 1, 2], "acc": [0.7, 0.9, 0.95, 0.5, 0.6]})
    found = first_steps(curves, pd.DataFrame({"number": [3, 5]}), "acc", 0.9)
    assert found.to_dict() == {3: 2.0, 5: math.inf}


def test_layers_come_in_the_order_of_the_network() -> None:
    names = ("10", "9", "1.branch.0", "1.shortcut")
    curves = pd.DataFrame({f"health/{name}/gradient_norm": [float(place)] for place, name in enumerate(names)})
    curves["health/2/gradient_norm"] = math.nan  # of another model of the study
    curves["health/model/zero_weights"] = 0.5
    assert [layer[0] for layer in by_layer(curves, "gradient_norm")] == [2.0, 1.0, 0.0]


def test_what_diverged_and_what_is_only_slow() -> None:
    losses = {0: [0.694, 0.692, 0.690], 1: [0.55, 0.31, 0.70], 2: [0.55, 0.31, 0.12], 3: [5e3, 40.0, 3.0], 4: [0.7]}
    rows = [(number, loss) for number, course in losses.items() for loss in course]
    curves = pd.DataFrame(rows, columns=["number", "train_loss"])
    states = ["complete"] * 4 + ["pruned"]
    trials = pd.DataFrame({"number": list(losses), "state": states})
    assert _diverged(trials, curves) == [False, True, False, True, True]
