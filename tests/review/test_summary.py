"""What the end of a sweep says of its budget, and what to type for more."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.ledger.study.home import Home
from hpo.review.summary import more_trials, outcome_lines, summary_text
from hpo.spec.space import Categorical, Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target
from hpo.standing import Counts, Standing

X = Parameter("x", Range(0.0, 1.0))
FOUR = Parameter("x", Categorical((1, 2, 3, 4)))


def sweep(*parameters: Parameter, trials: int = 12, duplicates: str = "skip") -> Sweep:
    keys = {"space": Space(parameters), "budget": Limits(trials), "duplicates": duplicates}
    return Sweep("s", Path("my sweep.yaml"), "", Target("score", "maximize"), **keys)


def standing(trials: int = 12, done: int = 12, now: int = 12, **facts: object) -> Standing:
    counts = Counts(earlier=done - now, complete=done - 1, pruned=1, ended_here=now)
    return Standing("s", "score", "maximize", trials, counts, **facts)


def said(sweep: Sweep, standing: Standing) -> list[str]:
    return [line for line in outcome_lines(sweep, standing, Home(Path("h"))) if "budget" in line]


def test_a_budget_that_is_used_says_how_to_go_on():
    assert said(sweep(X), standing()) == ["the budget of 12 trials is used; extend=12 gives 12 more"]
    assert said(sweep(X, trials=1), standing(1, 1, 1)) == ["the budget of 1 trial is used; extend=1 gives 1 more"]
    lines = summary_text(sweep(X), standing(), Home(Path("h")), ["-o", "a=b c"]).splitlines()
    assert "the budget of 12 trials is used; --extend 12 gives 12 more" in lines
    (more,) = [line for line in lines if line.startswith("more ")]
    assert more.endswith("sweep 'my sweep.yaml' -o 'a=b c' --extend 12 --home h")


def test_it_says_that_nothing_was_trained():
    (line,) = said(sweep(X), standing(now=0))
    assert line == "the budget of 12 trials is used, so nothing was trained now; extend=12 gives 12 more"


@pytest.mark.parametrize(("done", "more"), [(3, 1), (4, 0)])
def test_a_space_that_ends_gives_no_more_than_it_has(done: int, more: int):
    assert more_trials(sweep(FOUR), standing(done, done, done)) == more
    (line,) = said(sweep(FOUR), standing(done, done, done))
    assert line.endswith("extend=1 gives 1 more" if more else "is used, and each configuration of the space was tried")
    assert more_trials(sweep(FOUR, duplicates="replicate"), standing(done, done, done)) == done


@pytest.mark.parametrize(
    "facts", [{"done": 11}, {"reason": "every configuration was tried"}, {"interrupted": 2}, {"error": "bad"}]
)
def test_a_sweep_that_ended_otherwise_says_nothing_of_it(facts: dict):
    assert said(sweep(X), standing(**facts)) == []
    assert more_trials(sweep(X), standing(**facts)) == 0
