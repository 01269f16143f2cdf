"""CMA-ES and NSGA-II go on where a sweep was, though the study keeps nothing of their own."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState

from hpo.search.samplers import bound_of, make_sampler
from hpo.search.searcher import Searcher
from hpo.search.working_copy import WorkingCopy
from hpo.spec.space import Categorical, Parameter, Range, Space
from hpo.spec.sweep import Target

from .support import history_of, play, space_of, sweep_of

FLAT = space_of(Parameter("x", Range(-5.0, 5.0)), Parameter("y", Range(-5.0, 5.0)))
MIXED = space_of(
    *FLAT.parameters,
    Parameter("kind", Categorical(("a", "b"))),
    Parameter("deep", Range(0.0, 1.0), {"kind": "a"}),
    Parameter("count", Range(1, 64, log=True, integer=True)),
)


def score(params: dict[str, Any]) -> float:
    """Best at x = 3, y = -2."""
    return -((params["x"] - 3) ** 2) - (params["y"] + 2) ** 2


def mean(found: list[dict[str, Any]]) -> float:
    return sum(map(score, found)) / len(found)


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
@pytest.mark.parametrize("space", [FLAT, MIXED], ids=["flat", "mixed"])
@pytest.mark.parametrize("method", ["cmaes", "nsga2"])
def test_what_was_learnt_is_not_lost(method: str, space: Space, goal: str) -> None:
    """The next proposals are better than those of a sweep that begins, and about as good as if it had not ended."""
    sign = 1 if goal == "maximize" else -1
    sweep = sweep_of(space, method, goal=goal)
    live = Searcher(sweep)
    first = play(live, 200, lambda params: sign * score(params))
    resumed = Searcher(sweep, history_of(space, first, lambda params: sign * score(params)))
    after = [mean(play(searcher, 50, lambda params: sign * score(params))) for searcher in (resumed, live)]
    assert after[0] > mean(first[:50]) + 5
    assert after[0] > after[1] - 6


def test_few_trials_are_no_distribution() -> None:
    few = history_of(FLAT, [{"x": 1.0, "y": number / 10} for number in range(10)], score)
    assert len(play(Searcher(sweep_of(FLAT, "cmaes"), few), 20, score)) == 20


def test_a_parameter_that_is_not_always_there_does_not_matter() -> None:
    """Trials with it, trials without, and one that runs without it while all that ended have it."""
    tried = [{"x": 1.0, "y": 0.0, "kind": "a", "deep": number / 40, "count": 1 + number} for number in range(40)]
    searcher = Searcher(sweep_of(MIXED, "cmaes"), history_of(MIXED, tried, score))
    searcher.enqueue({"x": 0.0, "y": 0.0, "kind": "b", "count": 9})
    assert searcher.propose() is not None
    assert len(play(searcher, 30, score)) == 30


def test_the_first_population_is_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = make_sampler("nsga2", FLAT, 0)
    seen: list[FrozenTrial] = []
    child = sampler._child_generation_strategy  # type: ignore[attr-defined]

    def see(study: Any, search_space: Any, parents: list[FrozenTrial]) -> Any:
        seen.extend(parents)
        return child(study, search_space, parents)

    monkeypatch.setattr(sampler, "_child_generation_strategy", see)
    copy = WorkingCopy(FLAT, Target("score", "minimize"), sampler, bound_of("nsga2"), 0)
    record = history_of(FLAT, [{"x": number / 20, "y": 0.0} for number in range(80)], lambda params: params["x"])
    copy.add(record)
    copy.ask()
    assert sorted(trial.number for trial in seen) == list(range(50))
    assert all(not trial.system_attrs for trial in record)  # the record itself is not written to
    assert all(trial.state == TrialState.COMPLETE for trial in seen)


def test_a_repetition_of_a_repetition_repeats_the_first() -> None:
    """Hyperband deals it to the first one's bracket."""
    searcher = Searcher(sweep_of(FLAT, "random"))
    for number, repeats in ((0, None), (1, 0), (2, 1)):
        proposal = searcher.propose()
        assert proposal is not None
        searcher.begin(proposal.key, number, repeats)
    assert [searcher.repeats(number) for number in range(3)] == [None, 0, 0]
