from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from hpo.driver.tally import Tally
from hpo.ledger.study.records import Outcome, TrialRecord
from hpo.spec.space import Categorical, Parameter, Space
from hpo.spec.sweep import Limits, Sweep, Target
from hpo.standing import MOST_LEADERS


def made_sweep(goal: str) -> Sweep:
    return Sweep(
        "s", Path("s.yaml"), "", Target("score", goal), Space((Parameter("x", Categorical((True, 1, 2))),)), Limits(9),
        objective="m", baselines=({"x": 1},),
    )  # fmt: skip


def ended(number: int, value: float, x: object) -> TrialRecord:
    return TrialRecord(number, {"x": x}, 0, outcome=Outcome("complete", value=value))


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_the_standing_is_the_same_in_whatever_order_trials_end(goal: str) -> None:
    """Live it is the order of their ends, after a resume that of their numbers: the best is the first of equals (as for
    `hpo best`), and the baseline is the first trial of its configuration, in which `true` is not 1."""
    records = [ended(0, 0.5, True), ended(1, 0.5, 1), ended(2, 0.5, 1), ended(3, 0.25, 2)]
    best = 0 if goal == "maximize" else 3
    for order in itertools.permutations(records):
        tally = Tally(made_sweep(goal))
        improved = [tally.take(record) for record in order]
        assert improved[0] and sum(improved) <= 2  # an equal value is no improvement
        assert (tally.standing.best, tally.standing.baseline) == (records[best], records[1])
        numbers = [0, 1, 2, 3] if goal == "maximize" else [3, 0, 1, 2]
        assert [record.number for record in tally.standing.leaders.top] == numbers
        assert len(tally.standing.leaders.course) == sum(improved)


def test_only_so_many_leaders_are_kept() -> None:
    tally = Tally(made_sweep("maximize"))
    for number in range(MOST_LEADERS + 3):
        tally.take(ended(number, number / 100, 2))
    assert [record.number for record in tally.standing.leaders.top] == list(range(MOST_LEADERS + 2, 2, -1))
    assert [number for number, *_ in tally.summary(1.0)["top"]] == list(range(MOST_LEADERS + 2, 2, -1))
