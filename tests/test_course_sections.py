"""What sections of the course's page work out themselves: margins of rows, shares, the steps by hand."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reproduction.claims import Verdict, against, mean
from reproduction.records import Records
from reproduction.shares import Share, less_by_seed, more, more_often
from reproduction.studies.by_hand import FORWARD_NUMPY
from reproduction.studies.perceptron import geometry, margin_of
from reproduction.writing import Writer


@pytest.mark.parametrize(
    ("signed", "margin"),
    [
        ([[2.0, 0.0], [0.0, 2.0]], math.sqrt(2)),  # the plane halfway between
        ([[3.0, 4.0]], 5.0),
        ([[1.0, 0.0], [-1.0, 0.0]], 0.0),  # two rows that no plane has on one side
        ([[1.0, 0.5], [-1.0, 0.5], [0.0, 3.0]], 0.5),
    ],
)
def test_the_largest_margin(signed: list[list[float]], margin: float) -> None:
    assert margin_of(np.array(signed)) == pytest.approx(margin)


def test_rows_of_the_objective_have_the_gap_that_it_says() -> None:
    """The plane that makes `separable` keeps rows 0.1 away, so the largest margin of any plane is no smaller; the 1
    behind each row counts in R."""
    made = geometry({"source": "separable", "rows": 100, "scale": False})
    assert made.rows == 60 and made.radius == pytest.approx(math.sqrt(2), abs=1e-3)
    assert 0.1 <= made.margin < 0.5 and made.bound == pytest.approx((made.radius / made.margin) ** 2)
    assert geometry({"source": "xor", "rows": 100, "scale": False}).bound == math.inf


def test_which_share_is_larger() -> None:
    assert more(Share(10, 10), Share(0, 10)) is Verdict.HOLDS and more(Share(0, 10), Share(10, 10)) is Verdict.FAILS
    assert more(Share(6, 10), Share(4, 10)) is Verdict.UNKNOWN and more(Share(0, 0), Share(10, 10)) is Verdict.UNKNOWN


def test_pairs_that_differ() -> None:
    often, never = pd.Series([True] * 8), pd.Series([False] * 8)
    assert more_often(often, never)[0] is Verdict.HOLDS and more_often(never, often)[0] is Verdict.FAILS
    assert more_often(often[:5], never)[0] is Verdict.UNKNOWN  # 5 of 5: p is 0.06
    assert more_often(never, never) == (Verdict.UNKNOWN, "of 8 pairs none differ")


above = partial(against, bound=0.0, below=False)


def test_differences_in_pairs() -> None:
    left, right = pd.Series({1: 3.0, 2: 4.5, 3: 5.5, 9: 0.0}), pd.Series({1: 1.0, 2: 2.0, 3: 3.0, 8: 9.0})
    difference = less_by_seed(left, right)
    assert difference.count == 3 and difference.value == pytest.approx(7 / 3)
    assert above(difference) is Verdict.HOLDS and above(less_by_seed(right, left)) is Verdict.FAILS
    assert above(mean([1.0, -1.0])) is above(mean([])) is above(mean([1.0])) is Verdict.UNKNOWN


def test_the_section_by_hand(tmp_path: Path) -> None:
    page = Writer(Records(tmp_path), tmp_path)
    (claim,) = FORWARD_NUMPY.write(page)
    assert claim.verdict is Verdict.HOLDS and "nan" not in "".join(page.blocks)
