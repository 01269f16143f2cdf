"""The stopping rules against Optuna's pruners, on random courses, and what they promise beyond Optuna."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, PercentilePruner, SuccessiveHalvingPruner
from optuna.trial import TrialState, create_trial
from search.support import drawn

from hpo.stopping.asha import AshaRule
from hpo.stopping.base import Course, StoppingRule
from hpo.stopping.hyperband import HyperbandRule
from hpo.stopping.patience import PatienceRule
from hpo.stopping.percentile import MedianKeys, PercentileKeys, PercentileRule

# of NumPy, through Optuna's PercentilePruner, at a step with NaN only
pytestmark = pytest.mark.filterwarnings("ignore:All-NaN")

DIRECTIONS = ["minimize", "maximize"]
MAKERS: dict[str, Callable[[], StoppingRule]] = {
    "asha": lambda: AshaRule(1, 3),
    "hyperband": lambda: HyperbandRule("study", 1, 27, 3),
    "median": lambda: PercentileRule(MedianKeys(type="median", n_startup_trials=2)),
    "percentile": lambda: PercentileRule(PercentileKeys(type="percentile", n_startup_trials=2, percentile=30.0)),
    "patience": lambda: PatienceRule(2, 0.1),
}


@dataclass(frozen=True)
class Report:
    """An event of a made-up study: a trial reports a value, and goes on to its end or not."""

    trial: int
    step: int
    value: float
    last: bool


def reports(
    rng: random.Random, trials: int, steps: int, stride: int = 1, nans: float = 0.0, at_once: int = 5
) -> Generator[Report, bool, None]:
    """Yield the reports of trials, `at_once` of which run side by side. A trial whose report is answered by True (with
    `send`) has ended. Steps begin at 1 and go up by 1 to `stride`."""
    waiting, running = list(range(trials)), dict[int, int]()
    while waiting or running:
        while waiting and len(running) < at_once:
            running[waiting.pop(0)] = 1
        trial = rng.choice(list(running))
        step = running[trial]
        following = step + rng.randint(1, stride)
        stopped = yield Report(trial, step, drawn(rng, nans), following > steps)
        if stopped or following > steps:
            del running[trial]
        else:
            running[trial] = following


def decisions_side_by_side(
    rule: StoppingRule,
    pruner: BasePruner,
    events: Generator[Report, bool, None],
    direction: Any,
    rng: random.Random,
    fail: float = 0.0,
) -> list[bool]:
    """Play a study with a rule and, in Optuna, with a pruner; return their decisions, which must be the same.

    fail: the share of trials that fail at their end, instead of completing.
    """
    sign = -1 if direction == "maximize" else 1
    study = optuna.create_study(study_name="study", direction=direction, pruner=pruner)
    theirs: dict[int, optuna.Trial] = {}
    ours: dict[int, Course] = {}
    decisions: list[bool] = []
    event = next(events)
    while True:
        while event.trial not in ours:  # numbers are given in order
            theirs[len(theirs)] = study.ask()
            ours[len(ours)] = Course(len(ours))
        trial, course = theirs[event.trial], ours[event.trial]
        trial.report(event.value, event.step)
        course.values[event.step] = sign * event.value
        rule.report(course, event.step, course.values[event.step])
        stops = rule.stops(course)
        assert stops == trial.should_prune(), (len(decisions), event)
        decisions.append(stops)
        if stops:
            study.tell(trial, state=TrialState.PRUNED)
            rule.end(course, complete=False)
        elif event.last and rng.random() < fail:
            study.tell(trial, state=TrialState.FAIL)
            rule.withdraw(course)
        elif event.last:
            study.tell(trial, 0.0)
            rule.end(course, complete=True)
        try:
            event = events.send(stops)
        except StopIteration:
            return decisions


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"n_startup_trials": 0},
        {"n_warmup_steps": 3},
        {"interval_steps": 3},
        {"n_warmup_steps": 2, "interval_steps": 4},
        {"n_min_trials": 6},
        {"n_startup_trials": 1, "n_min_trials": 3, "interval_steps": 2},
    ],
    ids=str,
)
def test_percentiles_are_optunas(keys: dict[str, int], direction: str) -> None:
    """In whatever order trials report, with steps left out, NaN, and failures. The median is the 50th percentile."""
    rng = random.Random(str(keys))
    decided = []
    for percentile in (None, 0.0, 10.0, 25.0, 30.0, 50.0, 62.5, 90.0, 100.0):
        keys = {"n_startup_trials": 4, "n_warmup_steps": 0, "interval_steps": 1, "n_min_trials": 1} | keys
        pruner: BasePruner
        if percentile is None:
            section, pruner = MedianKeys(type="median", **keys), MedianPruner(**keys)
        else:
            section = PercentileKeys(type="percentile", percentile=percentile, **keys)
            pruner = PercentilePruner(percentile, **keys)
        events = reports(rng, 40, 10, stride=rng.choice((1, 2)), nans=rng.choice((0.0, 0.2, 0.8)))
        decided += decisions_side_by_side(PercentileRule(section), pruner, events, direction, rng, fail=0.2)
    assert 0.02 < sum(decided) / len(decided) < 0.9


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("percentile", [0.0, 10.0, 30.0, 45.0, 70.0, 99.0])
def test_a_value_on_the_percentile_itself(percentile: float, direction: Any) -> None:
    """The bound lies between two values, rounded as Optuna's is: to the last bit, but where the metric is maximized
    (Optuna takes the percentile from the other side there)."""
    rng = random.Random(percentile)
    keys: dict[str, int] = {"n_startup_trials": 1, "n_warmup_steps": 0, "interval_steps": 1}
    sign = -1 if direction == "maximize" else 1
    for count in range(1, 25):
        rule = PercentileRule(PercentileKeys(type="percentile", percentile=percentile, n_min_trials=1, **keys))
        study = optuna.create_study(direction=direction, pruner=PercentilePruner(percentile, **keys))
        values = [rng.randint(0, 10) / 10 for _ in range(count)]
        for value in values:
            study.add_trial(create_trial(value=0.0, intermediate_values={1: value}))
            rule.end(Course(len(study.trials), {1: sign * value}), complete=True)
        bound = float(np.percentile(values, percentile if sign == 1 else 100 - percentile))
        near = (bound - 1e-9, bound + 1e-9)
        exact = (math.nextafter(bound, -math.inf), bound, math.nextafter(bound, math.inf))
        for value in near if direction == "maximize" else (*near, *exact):
            trial = study.ask()
            trial.report(value, 1)
            course = Course(trial.number, {1: sign * value})
            rule.report(course, 1, sign * value)
            assert rule.stops(course) == trial.should_prune(), (values, value, bound)
            rule.end(course, complete=False)
            study.tell(trial, state=TrialState.FAIL)


# A stride with which no trial steps over two rungs at once, where Optuna differs.
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("first", "eta", "stride"), [(1, 2, 1), (1, 2, 2), (1, 3, 5), (2, 3, 4), (3, 2, 3), (4, 4, 8)])
def test_asha_is_optunas(first: int, eta: int, stride: int, direction: str) -> None:
    rng = random.Random(f"{first} {eta} {stride}")
    decided = []
    for nans in (0.0, 0.1):
        pruner = SuccessiveHalvingPruner(min_resource=first, reduction_factor=eta, min_early_stopping_rate=0)
        events = reports(rng, 120, 40, stride, nans)
        decided += decisions_side_by_side(AshaRule(first, eta), pruner, events, direction, rng)
    assert 100 < sum(decided) < 240  # of 240 trials


def test_a_step_over_several_rungs_stands_at_the_highest() -> None:
    """Optuna would count the value at each of them, and stop who is beaten at the lowest."""
    rule = AshaRule(1, 2)
    for number, value in enumerate((0.1, 0.2)):
        play_alone(rule, number, [(1, value)])
    assert play_alone(rule, 2, [(5, 0.9)]) == [False]  # alone at rung 4
    assert play_alone(rule, 3, [(5, 0.95)]) == [True]
    assert play_alone(rule, 4, [(2, 0.97)]) == [False]  # alone at rung 2: it has not got the two's values
    assert play_alone(rule, 5, [(1, 0.15)]) == [True]  # at rung 1, 0.1 and 0.2 were there, and no more


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("first", "most", "eta"), [(1, 9, 3), (1, 26, 3), (2, 40, 2), (3, 40, 4), (5, 4, 3)])
def test_hyperband_is_optunas(first: int, most: int, eta: int, direction: str) -> None:
    """Its brackets, each trial's bracket, and each decision."""
    rng = random.Random(f"{first} {most} {eta}")
    pruner = HyperbandPruner(min_resource=first, max_resource=most, reduction_factor=eta)
    events = reports(rng, 100, most, nans=0.05)
    decided = decisions_side_by_side(HyperbandRule("study", first, most, eta), pruner, events, direction, rng)
    assert any(decided) == (first <= most)


@pytest.mark.parametrize("exponent", range(1, 8))
def test_hyperband_has_every_bracket(exponent: int) -> None:
    """Optuna's logarithm loses the last one at 3 ** 5 steps. Without a rung, a trial is never stopped: the last
    bracket's first one is at the end."""
    most = 3**exponent
    rule = HyperbandRule("study", 1, most, 3)
    first_stops = set()
    for number in range(30_000):
        course = Course(number)
        for step in (3**rung for rung in range(exponent + 1)):
            rule.report(course, step, float(number))  # ever worse
            if rule.stops(course):
                first_stops.add(step)
                break
        rule.end(course, complete=False)
    assert first_stops == {3**rung for rung in range(exponent + 1)}


def test_hyperband_finds_out_how_long_trials_are() -> None:
    """Nothing stops until a trial is complete (step 26: the 27th); from then on it decides as if it had known."""
    rng = random.Random(0)
    for _ in range(20):
        known, unknown = HyperbandRule("study", 1, 27, 3), HyperbandRule("study", 1, None, 3)
        courses = [Course(number) for number in range(30)]
        ends = [rng.choice(("stays", "stops", "fails")) for _ in courses]
        for course, end in zip(courses, ends, strict=True):
            for step in range(1, rng.randint(1, 20)):
                course.values[step] = drawn(rng)
                for rule in (known, unknown):
                    rule.report(course, step, course.values[step])
            assert not unknown.stops(course)
            for rule in (known, unknown):
                if end == "stops":
                    rule.end(course, complete=False)
                elif end == "fails":
                    rule.withdraw(course)
        longest = Course(30, {26: 0.5})
        for rule in (known, unknown):
            rule.report(longest, 26, 0.5)
            rule.end(longest, complete=True)
        others = [course for course, end in zip(courses, ends, strict=True) if end == "stays"]
        for step in range(20, 28):
            for course in others:
                course.values[step] = drawn(rng)
                for rule in (known, unknown):
                    rule.report(course, step, course.values[step])
            decided = [[rule.stops(course) for course in others] for rule in (known, unknown)]
            assert decided[0] == decided[1]
            for course, stops in zip(tuple(others), decided[0], strict=True):
                if stops:
                    others.remove(course)
                    for rule in (known, unknown):
                        rule.end(course, complete=False)


@pytest.mark.parametrize("patience", [0, 1, 2, 5])
@pytest.mark.parametrize("min_delta", [0.0, 0.25])
def test_patience_by_its_definition(patience: int, min_delta: float) -> None:
    rng = random.Random(patience)
    stopped = 0
    for number in range(200):
        rule, course, seen = PatienceRule(patience, min_delta), Course(number), list[float]()
        for step in range(1, 12):
            seen.append(drawn(rng, nans=0.1))
            course.values[step] = seen[-1]
            rule.report(course, step, seen[-1])
            before = min((value for value in seen[: -max(1, patience)] if value == value), default=math.inf)
            now = min((value for value in seen if value == value), default=math.inf)
            stops = len(seen) > max(1, patience) and now >= before - min_delta
            assert rule.stops(course) == stops
            stopped += stops
    assert stopped > 100


def play_alone(rule: StoppingRule, number: int, values: list[tuple[int, float]]) -> list[bool]:
    """Have a trial report, decide on each, and leave it running."""
    course, decided = Course(number), []
    for step, value in values:
        course.values[step] = value
        rule.report(course, step, value)
        decided.append(rule.stops(course))
    return decided


def play_cohorts(kind: str, seed: int, shuffle: bool, ghosts: bool) -> list[set[int]]:
    """Train cohorts, whose members report together; return who was stopped at each step.

    shuffle: members report, and are decided on, in another order. ghosts: others report with them, and fail before
    anything is decided.
    """
    rng, order, rule = random.Random(seed), random.Random(1), MAKERS[kind]()
    stopped = []
    for first in range(0, 48, 12):
        cohort = [Course(number) for number in range(first, first + 12)]
        for step in range(1, 13):
            for course in cohort:
                course.values[step] = drawn(rng, nans=0.05)
            failing = [Course(500 + course.number) for course in cohort] if ghosts else []
            for ghost in failing:
                for past in range(1, step + 1):
                    ghost.values[past] = order.gauss(0.5, 0.5)
                    rule.report(ghost, past, ghost.values[past])
            for course in order.sample(cohort, len(cohort)) if shuffle else cohort:
                rule.report(course, step, course.values[step])
            for ghost in failing:
                rule.withdraw(ghost)
            asked = order.sample(cohort, len(cohort)) if shuffle else cohort
            stopped.append({course.number for course in asked if rule.stops(course)})
            for course in cohort:
                if course.number in stopped[-1] or step == 12:
                    rule.end(course, complete=course.number not in stopped[-1])
            cohort = [course for course in cohort if course.number not in stopped[-1]]
    return stopped


@pytest.mark.parametrize("kind", MAKERS)
def test_the_order_in_a_cohort_does_not_matter(kind: str) -> None:
    """Members that report together are decided alike, wherever they stand."""
    for seed in range(10):
        stopped = play_cohorts(kind, seed, shuffle=False, ghosts=False)
        assert play_cohorts(kind, seed, shuffle=True, ghosts=False) == stopped
        assert any(stopped)


@pytest.mark.parametrize("kind", MAKERS)
def test_who_fails_counts_no_more(kind: str) -> None:
    for seed in range(10):
        stopped = play_cohorts(kind, seed, shuffle=False, ghosts=False)
        assert play_cohorts(kind, seed, shuffle=False, ghosts=True) == stopped


@pytest.mark.parametrize("eta", [2, 3, 4])
def test_of_a_cohort_the_best_go_on(eta: int) -> None:
    """The best 1/eta of all that came to the rung so far."""
    rng, rule, seen = random.Random(eta), AshaRule(1, eta), list[float]()
    for size in (1, 2, 3, 7, 20, 50):
        cohort = [Course(len(seen) + index, {1: rng.random()}) for index in range(size)]
        for course in cohort:
            rule.report(course, 1, course.values[1])
        seen += [course.values[1] for course in cohort]
        going = {course.number for course in cohort if not rule.stops(course)}
        best = sorted(range(len(seen)), key=seen.__getitem__)[: max(1, len(seen) // eta)]
        assert going == {course.number for course in cohort} & set(best)
