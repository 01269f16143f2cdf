"""What every search method promises. A new method is under test as soon as it is in METHODS."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, get_args

import pytest
from grids import grid_of
from optuna.distributions import json_to_distribution
from optuna.trial import TrialState

from hpo.events import Decision
from hpo.search.distributions import decode_params, distribution, searched_params
from hpo.search.searcher import Searcher
from hpo.spec.census import size_of
from hpo.spec.conditions import clause_holds
from hpo.spec.methods import ALIASES, METHODS, STARTUP_TRIALS, MethodName
from hpo.spec.schema import json_schema
from hpo.spec.space import Categorical, Constant, Parameter, Range, Space
from hpo.spec.sweep import Traits
from hpo.stopping.asha import AshaKeys
from hpo.stopping.base import StoppingKeys
from hpo.stopping.patience import PatienceKeys
from hpo.stopping.percentile import MedianKeys

from .support import history_of, play, space_of, started, sweep_of, typed

DOCS = Path(__file__).parents[2] / "docs" / "sweep-files.md"
SEARCHING = sorted(METHODS.keys() - {"grid"})
TRIALS = {"gp": STARTUP_TRIALS + 2, "cmaes": 40}  # beyond what is drawn at random; a GP's fit is slow

CHOICES: tuple[Any, ...] = (True, 1, 2.5, None, "1", "a", [1], [1, 2.0], {"k": [None]}, "null")
MIXED = space_of(
    Parameter("kind", Categorical(("a", "b", "c"))),
    Parameter("any", Categorical(CHOICES)),
    Parameter("rate", Range(1e-5, 1e-1, log=True)),
    Parameter("share", Range(0.0, 0.9), {"kind": ["a", "b"]}),
    Parameter("deeper", Range(1, 5, integer=True), {"share": {">": 0.3}}),
    Parameter("count", Range(0, 10, integer=True, step=4)),
    Parameter("step", Range(0.0, 1.0, step=0.3)),
    Parameter("width", Range(16, 250, log=True, integer=True, step=8)),
    Parameter("units", Range(1, 100, log=True, integer=True)),
    Parameter("fixed", Constant([64, 32])),
    Parameter("sometimes", Constant("on"), {"kind": "c"}),
    forbid=({"kind": "a", "rate": {">": 1e-3}}, {"any": [True, "a"], "kind": "b"}),
)
SMALL = space_of(
    Parameter("x", Range(-5.0, 5.0)),
    Parameter("y", Range(0, 9, integer=True)),
    Parameter("z", Categorical(("a", "b"))),
)


def score(params: dict[str, Any]) -> float:
    """Best at x = 1, y = 7, z = b."""
    return -((params["x"] - 1) ** 2) - 0.2 * (params["y"] - 7) ** 2 - 3 * (params["z"] == "a")


def check(space: Space, params: dict[str, Any]) -> None:
    for parameter in space.parameters:
        assert (parameter.name in params) == clause_holds(parameter.when, params), params
        if parameter.name not in params:
            continue
        value = params[parameter.name]
        assert parameter.domain.holds(value)
        if isinstance(parameter.domain, Range):
            assert type(value) is (int if parameter.domain.integer else float)
            if parameter.domain.step:
                assert value in (parameter.domain.choices() or ())  # no rounding noise
        else:
            assert typed(value) in map(typed, parameter.domain.choices() or ())
    assert params.keys() <= set(space.names())
    assert space.allowed(params)


def test_every_method_is_a_word_of_the_grammar() -> None:
    assert {*METHODS, *ALIASES} == set(get_args(MethodName)) == set(json_schema()["properties"]["method"]["enum"])
    for name in (*METHODS, *ALIASES):
        assert f"`{name}`" in DOCS.read_text(encoding="utf-8")


@pytest.mark.parametrize("method", SEARCHING)
def test_proposals_lie_in_the_space(method: str) -> None:
    trials = TRIALS.get(method, 60)
    found = play(Searcher(sweep_of(MIXED, method)), trials, lambda params: params["rate"])
    assert len(found) == trials
    for params in found:
        check(MIXED, params)
    assert len({typed(params) for params in found}) > trials * 0.9
    assert {params["kind"] for params in found} == {"a", "b", "c"}


@pytest.mark.parametrize("method", SEARCHING)
def test_searching_is_better_than_nothing(method: str) -> None:
    trials = TRIALS.get(method, 60)
    found = play(Searcher(sweep_of(SMALL, method, seed=1)), trials, score)
    for params in found:
        check(SMALL, params)
    if method in ("tpe", "gp", "cmaes"):  # they learn: what comes after the random start is better than it
        late = found[STARTUP_TRIALS:]
        mean = sum(map(score, late)) / len(late)
        assert mean > sum(map(score, found[:STARTUP_TRIALS])) / STARTUP_TRIALS


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_tpe_goes_where_the_goal_is(goal: str) -> None:
    found = play(Searcher(sweep_of(SMALL, "tpe", seed=1, goal=goal)), 60, score)
    means = [sum(map(score, part)) / len(part) for part in (found[:20], found[40:])]
    assert (means[1] > means[0]) is (goal == "maximize")


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("values", [[1], [1, 2]])
def test_hardly_anything_to_search(method: str, values: list[int]) -> None:
    space = space_of(Parameter("a", Categorical(tuple(values))), Parameter("b", Constant(7)))
    found = play(Searcher(sweep_of(space, method)), 4)
    assert all(params["b"] == 7 for params in found)
    assert sorted(params["a"] for params in found) == values  # each once
    again = play(Searcher(sweep_of(space, method, duplicates="replicate")), 4)
    assert len(again) == (len(values) if method == "grid" else 4)


@pytest.mark.parametrize("method", SEARCHING)
def test_the_same_seed_proposes_the_same(method: str) -> None:
    trials = TRIALS.get(method, 25)
    one, two, other = (
        [typed(params) for params in play(Searcher(sweep_of(SMALL, method, seed)), trials, score)] for seed in (5, 5, 6)
    )
    assert one == two
    assert one != other


@pytest.mark.parametrize("method", SEARCHING)
def test_a_continuation_goes_on_and_does_not_repeat(method: str) -> None:
    first = play(Searcher(sweep_of(SMALL, method)), 6, score)
    history = history_of(SMALL, first, score)
    again = play(Searcher(sweep_of(SMALL, method), history), 6, score)
    assert not {typed(params) for params in first} & {typed(params) for params in again}
    assert again == play(Searcher(sweep_of(SMALL, method), history), 6, score)


@pytest.mark.parametrize("method", ["tpe", "gp"])
def test_a_continuation_learns_from_its_history(method: str) -> None:
    """With opposite histories, the next proposals go opposite ways."""
    space = space_of(Parameter("x", Range(0.0, 1.0)))
    tried = [{"x": index / 19} for index in range(20)]
    means = []
    for sign in (1, -1):
        history = history_of(space, tried, lambda params, sign=sign: sign * params["x"])  # type: ignore[misc]
        searcher = Searcher(sweep_of(space, method, duplicates="replicate"), history)
        found = play(searcher, 3, lambda params, sign=sign: sign * params["x"])  # type: ignore[misc]
        means.append(sum(params["x"] for params in found) / 3)
    assert means[0] > 0.6 and means[1] < 0.4


@pytest.mark.parametrize("method", SEARCHING)
def test_workers_that_are_busy_do_not_get_the_same(method: str) -> None:
    searcher = Searcher(sweep_of(SMALL, method))
    play(searcher, STARTUP_TRIALS if method == "gp" else 15, score)
    proposals = [searcher.propose() for _ in range(2 if method == "gp" else 6)]
    assert len({typed(proposal.params) for proposal in proposals if proposal}) == len(proposals)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_baselines_come_first_and_once(method: str) -> None:
    space = space_of(
        Parameter("a", Categorical((True, 1, [1, 2], "x"))),
        Parameter("b", Range(0, 9, integer=True), {"a": "x"}),
        Parameter("c", Constant(5)),
    )
    baselines = [{"a": "x", "b": 3, "c": 5}, {"a": [1, 2], "c": 5}, {"a": 1, "c": 5}]
    sweep = sweep_of(space, method, baselines=baselines, rule=MedianKeys(type="median", n_startup_trials=0))
    found = play(Searcher(sweep), 5)
    assert list(map(typed, found[:3])) == list(map(typed, baselines))
    # what was tried before is not tried again
    resumed = play(Searcher(sweep, history_of(space, baselines[:2])), 3)
    assert typed(resumed[0]) == typed(baselines[2])
    assert method != "grid" or typed(baselines[2]) not in map(typed, resumed[1:])


def test_a_baseline_in_whole_numbers_is_the_same_as_one_in_others() -> None:
    """The study has it with floats: live and after a resume it was tried."""
    space = space_of(Parameter("x", Range(0.0, 1.0, step=0.5)))
    live = Searcher(sweep_of(space, baselines=[{"x": 1}]))
    assert sorted(params["x"] for params in play(live, 5)) == [0.0, 0.5, 1]
    resumed = Searcher(sweep_of(space, baselines=[{"x": 1}]), history_of(space, [{"x": 1.0}]))
    assert sorted(params["x"] for params in play(resumed, 5)) == [0.0, 0.5]


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_baselines_are_never_pruned(goal: str) -> None:
    baseline = {"x": 0.0, "y": 0, "z": "a"}
    rule = AshaKeys(type="asha", min_iter=1, eta=3)
    sweep = sweep_of(SMALL, goal=goal, rule=rule, epochs=9)
    good, bad = (1.0, 0.0) if goal == "maximize" else (0.0, 1.0)
    decisions = {}
    for baselines in ([], [baseline]):
        searcher = Searcher(sweep_of(SMALL, goal=goal, rule=rule, epochs=9, baselines=baselines), [])
        proposals = [started(searcher, number) for number in range(8)]
        for proposal in proposals[1:]:
            searcher.report(proposal.key, 1, good, decide=True)
        decisions[len(baselines)] = searcher.report(proposals[0].key, 1, bad, decide=True)
    assert decisions == {0: Decision.STOP, 1: Decision.CONTINUE}
    assert sweep.metric.goal == goal


@pytest.mark.parametrize(("step", "decision"), [(3, Decision.STOP), (4, Decision.CONTINUE)])
def test_at_its_last_epoch_no_trial_is_stopped(step: int, decision: Decision) -> None:
    """It is complete then. A function counts steps as it likes: what its last one is, only it knows."""
    for each_epoch, expected in ((True, decision), (False, Decision.STOP)):
        sweep = sweep_of(SMALL, rule=PatienceKeys(type="patience", patience=step - 1), epochs=4)
        searcher = Searcher(dataclasses.replace(sweep, traits=Traits(reports_each_epoch=each_epoch)))
        key = started(searcher, 0).key
        decisions = [searcher.report(key, number, 0.5, decide=True) for number in range(1, step + 1)]
        assert decisions == [Decision.CONTINUE] * (step - 1) + [expected]


@pytest.mark.parametrize("method", ["tpe", "gp", "nsga2", "cmaes"])
@pytest.mark.parametrize("rule", [PatienceKeys(type="patience", patience=2), AshaKeys(type="asha", min_iter=2)])
def test_what_patience_alone_stopped_is_complete_to_the_sampler(method: str, rule: StoppingKeys) -> None:
    """With its value, live and after a resume; not what a rule between trials stopped, a limit cut off, or diverged."""
    space = space_of(*SMALL.parameters[:1])
    sweep = sweep_of(space, method, rule=rule)
    whole = rule.type == "patience"
    searcher = Searcher(sweep)
    for number, by_rule in enumerate((True, False)):
        key = started(searcher, number).key
        for step, value in enumerate((0.9, 0.5), start=1):
            searcher.report(key, step, value)
        searcher.finish(key, TrialState.PRUNED, 0.9, by_rule)
    record = []
    for value, attributes in ((0.9, {}), (None, {"diverged": 2}), (0.9, {"stopped_by": "budget.seconds"})):
        (trial,) = history_of(space, [{"x": 0.25}])
        trial.state, trial.value, trial.user_attrs = TrialState.PRUNED, 0.9, {"outcome": {"value": value}, **attributes}
        trial.intermediate_values = {1: 0.9, 2: 0.5}
        record.append(trial)
    for known in (searcher, Searcher(sweep, record)):
        trials = known._copy._study.get_trials(deepcopy=False)
        assert [trial.value for trial in trials if trial.state == TrialState.COMPLETE] == [0.9] * whole
    assert record[0].state == TrialState.PRUNED  # the record itself is not written to


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_configuration_that_is_put_first(method: str) -> None:
    params = {"x": 0.5, "y": 3, "z": "b"}
    space = SMALL
    if method == "grid":
        space, params = space_of(*SMALL.parameters[1:]), {"y": 3, "z": "b"}
    searcher = Searcher(sweep_of(space, method))
    searcher.enqueue(params)
    assert play(searcher, 1, lambda _: 0.0) == [params]


GRID = space_of(
    Parameter("a", Categorical((True, 1, None, [1], "x"))),
    Parameter("b", Range(0.0, 1.0, step=0.3), {"a": ["x", 1]}),
    Parameter("c", Constant("c")),
    Parameter("d", Range(1, 3, integer=True)),
    forbid=({"a": "x", "d": 2},),
)


@pytest.mark.parametrize("tried", [0, 1, 10, 21, 27, 29])
def test_the_grid_is_visited_once(tried: int) -> None:
    """All of it in order, whatever was tried before; then nothing more."""
    grid = grid_of(GRID)
    assert len(grid) == 3 * 3 + 4 * 3 + 4 * 2 == size_of(GRID)
    history = history_of(GRID, grid[:tried])
    searcher = Searcher(sweep_of(GRID, "grid"), history)
    found = play(searcher, 100)
    assert list(map(typed, found)) == list(map(typed, grid[tried:]))
    assert searcher.propose() is None
    assert searcher.propose() is None


def test_the_grid_goes_around_its_baselines() -> None:
    grid = grid_of(GRID)
    found = play(Searcher(sweep_of(GRID, "grid", baselines=[grid[7]])), 100)
    assert list(map(typed, found)) == list(map(typed, [grid[7], *grid[:7], *grid[8:]]))


def test_failed_and_pruned_configurations_of_a_grid_are_tried_ones() -> None:
    searcher = Searcher(sweep_of(GRID, "grid"))
    for number, state in enumerate((TrialState.FAIL, TrialState.PRUNED)):
        searcher.finish(started(searcher, number).key, state)
    assert len(play(searcher, 100)) == 27


@pytest.mark.parametrize("method", ["random", "gp", "cmaes", "qmc", "tpe", "nsga2"])
def test_probabilities_weigh_random_draws(method: str) -> None:
    """All that is drawn at random, which is the start of every method."""
    space = space_of(Parameter("a", Categorical(("x", "y", "z"), (0.8, 0.2, 0.0))), Parameter("r", Range(0.0, 1.0)))
    drawn = []
    for seed in range(40 if method == "random" else 6):
        drawn += [params["a"] for params in play(Searcher(sweep_of(space, method, seed)), 8)]
    assert "z" not in drawn
    assert abs(drawn.count("x") / len(drawn) - 0.8) < 4 * math.sqrt(0.16 / len(drawn))


def test_without_probabilities_draws_are_even() -> None:
    space = space_of(Parameter("a", Categorical((True, 1, "x", [1]))))
    drawn = [typed(params["a"]) for params in play(Searcher(sweep_of(space, "random", duplicates="replicate")), 400)]
    for value in ("True", "1", "'x'", "[1]"):
        assert 60 < drawn.count(value) < 140


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_what_is_hard_to_hit_is_found(method: str) -> None:
    names = ("a", "b", "c", "d")
    space = space_of(
        *(Parameter(name, Range(0, 29, integer=True)) for name in names),
        forbid=[{name: {"<": 29}} for name in names[1:]] + [{"a": {">": 1}}],
    )
    found = play(Searcher(sweep_of(space, method)), 6)
    assert {typed(params) for params in found} == {
        typed(dict(zip(names, (a, 29, 29, 29), strict=True))) for a in (0, 1)
    }


def test_configurations_survive_the_study() -> None:
    """Through Optuna's storage, whose numbers are floats and whose choices are JSON, and back, with their types."""
    for params in play(Searcher(sweep_of(MIXED, seed=3)), 60):
        values, distributions = searched_params(MIXED, params)
        assert "fixed" not in values and "sometimes" not in values
        stored = {}
        for name, value in values.items():
            kept = json_to_distribution(json.dumps(json.loads(_json(distributions[name]))))
            assert kept == distributions[name]
            stored[name] = kept.to_external_repr(float(kept.to_internal_repr(value)))
        assert typed(decode_params(MIXED, stored)) == typed(params)


def _json(kept: Any) -> str:
    from optuna.distributions import distribution_to_json

    return distribution_to_json(kept)


def test_choices_are_told_apart_by_the_study() -> None:
    kept = distribution(MIXED["any"])
    codes = [kept.to_internal_repr(searched_params(MIXED, {"any": value})[0]["any"]) for value in CHOICES]  # type: ignore[union-attr]
    assert codes == list(range(len(CHOICES)))
    assert distribution(MIXED["fixed"]) is None


def test_a_step_that_comes_again_is_taken_once() -> None:
    """A trial that is run again after its worker died repeats its reports."""
    searcher = Searcher(sweep_of(SMALL, rule=MedianKeys(type="median", n_startup_trials=1)))
    proposal = started(searcher, 0)
    for value in (1.0, 5.0):
        assert searcher.report(proposal.key, 1, value, decide=True) is Decision.CONTINUE
    searcher.finish(proposal.key, TrialState.PRUNED)
