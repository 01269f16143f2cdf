"""By how much one trial is better than another, however they ended."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from hpo.review.comparison.courses import Ended, TrialCourse, advantages, ranked, thinned


def course(state: Ended, values: Sequence[float], value: float | None = None, first: int = 1) -> TrialCourse:
    steps = range(first, first + len(values))
    return TrialCourse(0, 0, 0, {}, 0, state, value, value, 1.0, list(steps), values, [float(step) for step in steps])


EARLY = course("stopped", [5.0])
LATER = course("stopped", [4.0, 9.0, 9.5])
WHOLE = course("complete", [3.0, 8.0, 10.0, 2.0], 2.0)
OTHER = course("complete", [9.0, 9.0, 9.0], 1.0)  # returned another value than it reported last
GONE = course("diverged", [20.0, 20.0])
LATE = course("complete", [7.0], 7.0, first=4)
SILENT = course("complete", [], 6.0)


@pytest.mark.parametrize(
    ("left", "right", "better"),
    [
        (EARLY, LATER, 1.0),  # after step 1, which both reached
        (EARLY, WHOLE, 2.0),
        (LATER, WHOLE, -0.5),  # after step 3
        (WHOLE, OTHER, 1.0),  # what they came to
        (GONE, EARLY, -math.inf),
        (GONE, GONE, 0.0),
        (LATER, LATE, 0.0),  # nothing in common
        (EARLY, SILENT, 0.0),
        (SILENT, WHOLE, 4.0),
    ],
)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_who_is_better(left: TrialCourse, right: TrialCourse, better: float, sign: float) -> None:
    arrays = ranked([left, right, EARLY, LATER], sign)
    found = advantages(arrays, arrays)
    expected = better if math.isinf(better) else sign * better  # to diverge is worse whatever the goal
    assert (found[0, 1], found[1, 0]) == (expected, -expected)


def test_many_steps_are_thinned_and_none_is_compared_beyond_its_end() -> None:
    assert list(thinned(range(1000), 3)) == [0, 500, 999] and thinned([1, 2], 3) == [1, 2]
    stopped = [course("stopped", [float(-number)] * number) for number in range(1, 401)]
    found = advantages(ranked(stopped, 1.0), ranked(stopped, 1.0))
    assert (found[:-1].diagonal(1) >= 0).all()  # of one that goes on longer no later value counts
