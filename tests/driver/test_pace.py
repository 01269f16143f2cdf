"""The time that is left, as it is said under way, against what came: in simulated time."""

from __future__ import annotations

import dataclasses
import importlib
import random
import statistics
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from e2e.support import Place

from hpo.driver import Driver, pace
from hpo.driver.forecast import Lasting, Remaining, SeenAssignment, TimeLeft, seconds_left
from hpo.driver.lives import Lives
from hpo.engines.simulated import RandomFates, SimulatedClock, SimulatedEngine
from hpo.events import Reported, TrialSpec
from hpo.ledger.ledger import Ledger
from hpo.ledger.study.records import TrialRecord
from hpo.spec.space import Categorical, Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target, Traits
from hpo.standing import Activity, Standing
from hpo.stopping.base import Course
from hpo.stopping.hyperband import HyperbandKeys
from hpo.stopping.percentile import MedianKeys

SPACE = Space((Parameter("rate", Range(1e-5, 1e-1, log=True)), Parameter("kind", Categorical(("a", "b", "c")))))
RULES = ("none", "asha", "hyperband", "median", "percentile", "patience")


class Watcher:
    """Keeps what was said after a quarter of the trials."""

    def __init__(self) -> None:
        self.then: tuple[float, Activity] | None = None

    def note(self, text: str, warning: bool = False) -> None: ...

    def trial(self, record: TrialRecord, standing: Standing) -> None: ...

    def tick(self, standing: Standing) -> None:
        if self.then is None and standing.done * 4 >= standing.trials:
            self.then = standing.seconds, dataclasses.replace(standing.activity, busy=list(standing.activity.busy))


def sweep_of(epochs: bool, seconds: float | None = None) -> Sweep:
    return Sweep(
        name="simulated", source=Path("simulated.yaml"), text="", space=SPACE,
        metric=Target("val_accuracy", "maximize"), budget=Limits(60, 9, failures=60, seconds=seconds),
        objective="simulated", seed=5, traits=Traits(reports_each_epoch=epochs), method="random",
    )  # fmt: skip


def said(folder: Path, seconds: float | None = None, epochs: bool = True) -> tuple[Activity, float]:
    """Run a sweep; return what was said of it after a quarter, and the seconds that it took from there on."""
    sweep = sweep_of(epochs, seconds)
    clock, watcher = SimulatedClock(), Watcher()
    engine = SimulatedEngine(4, clock, RandomFates(seed=5, epoch_seconds=1.0))
    standing = Driver(sweep, Ledger(sweep, Place(folder).home, clock), engine, watcher, clock).run()
    assert watcher.then is not None
    return watcher.then[1], standing.seconds - watcher.then[0]


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [True, False], ids=["epochs", "steps that mean nothing"])
def test_after_a_quarter_it_is_right_within_a_third(tmp_path: Path, epochs: bool) -> None:
    activity, took = said(tmp_path, epochs=epochs)
    assert activity.left is not None and took * 2 / 3 <= activity.left <= took * 4 / 3, (activity.left, took)
    assert 0 < activity.working <= activity.workers == 4 and activity.phase == ""
    assert all(worker.step <= (worker.epochs or 0) and worker.trials >= 1 for worker in activity.busy)


@pytest.mark.slow
def test_the_sweep_s_limit_counts(tmp_path: Path) -> None:
    activity, took = said(tmp_path, seconds=60.0)
    assert activity.left is not None and abs(activity.left - took) <= 6  # that run are told at their next report
    assert activity.left_between is None


# Without records: sweeps of every kind, by lot.


@pytest.fixture(scope="module")
def played() -> ModuleType:
    """scripts/benchmarks/forecast.py."""
    return importlib.import_module("benchmarks.forecast")


PARTS = (0.15, 0.3, 0.45, 0.6, 0.75)  # of a sweep's time, after which it is asked how long it still takes


def test_what_is_said_holds_for_every_stopping_rule(played: ModuleType) -> None:
    """One number is right within a third, of two the truth is between them. Bounds leave room for other draws: of six,
    85 % and 90 % were the fewest that were right, and the larger of two numbers 5.4 times the smaller the most."""
    scenes = [played.draw(rule, seed, 80) for rule in RULES for seed in range(10)]
    quick = [dataclasses.replace(each, method="random") if each.method == "tpe" else each for each in scenes]
    said = [(each.rule, told) for each in quick for told in played.forecasts(*played.play(each), PARTS)]
    one = [(rule, told) for rule, told in said if told.between is None]
    two = [(rule, told) for rule, told in said if told.between is not None]
    assert all(told.left is not None for _, told in said)
    assert len(one) >= 40 and share(one) >= 0.8, len(one)
    assert len(two) >= 120 and share(two) >= 0.87, len(two)
    assert statistics.median(told.between[1] / max(told.between[0], 1e-9) for _, told in two) <= 6.5
    assert sum(rule == "none" for rule, _ in one) >= 8  # nothing is stopped there, so most is known
    for rule in RULES:
        assert sum(each == rule for each, _ in two) >= 10
        assert share([each for each in said if each[0] == rule]) >= 0.65, rule


def share(said: list[tuple[str, Any]]) -> float:
    """Return the share of what was said that was right."""
    return sum(told.right for _, told in said) / len(said)


# Without a driver.


def left(running: list[SeenAssignment], ended: list[SeenAssignment], trials: int, workers: int, size: int = 1) -> float:
    found = forecast(running, ended, trials, workers, size)
    assert found is not None
    return found.median


def forecast(
    running: list[SeenAssignment], ended: list[SeenAssignment], trials: int, workers: int, size: int = 1
) -> TimeLeft | None:
    parts = [(each.seconds / (each.whole or 1.0), not each.ended, 1.0) for each in [*ended, *running]]
    return seconds_left(Remaining(running, trials, workers, lambda left: size), ended, Lasting(parts))


def test_nothing_is_said_before_anything_is_known() -> None:
    assert forecast([SeenAssignment(3.0, 1, False)], [], 10, 2) is None


def test_nothing_is_said_while_nobody_works() -> None:
    """All nodes of a cluster may be gone for a while."""
    ended = [SeenAssignment(10.0, 1, True)] * 5
    assert forecast([], ended, 6, 0) is None
    assert left([], ended, 0, 0) == 0.0


def test_all_alike() -> None:
    ended = [SeenAssignment(10.0, 1, True)] * 5
    assert left([SeenAssignment(4.0, 1, False)] * 2, ended, 0, 2) == pytest.approx(6.0)
    assert left([SeenAssignment(4.0, 1, False)] * 2, ended, 6, 2) == pytest.approx(36.0)
    assert left([SeenAssignment(4.0, 1, False)] * 2, ended, 3, 9) == pytest.approx(10.0)  # some are idle
    assert left([], ended, 60_000, 3) == pytest.approx(200_000, rel=0.05)  # not dealt out one by one


def test_one_that_runs_is_known_to_last_longer() -> None:
    """Most are stopped after a second; what has lasted three is one of those that take ten."""
    ended = [SeenAssignment(1.0, 1, True, 10.0)] * 16 + [SeenAssignment(10.0, 1, True, 10.0)] * 4
    assert left([SeenAssignment(3.0, 1, False, 10.0)], ended, 0, 1) == pytest.approx(7.0)


@pytest.mark.parametrize(("growth", "expected"), [(0.0, 100.0), (1.0, 800.0)])
def test_cohorts_cost_what_they_have_cost(growth: float, expected: float) -> None:
    lot = random.Random(1)
    ended = [SeenAssignment(10.0 * size**growth * lot.uniform(0.95, 1.05), size, True) for size in (1, 2, 4, 8) * 4]
    assert left([], ended, 80, 1, size=8) == pytest.approx(expected, rel=0.1)


def test_a_clock_that_is_set_back_ends_no_sweep() -> None:
    spec = TrialSpec(0, {}, 1, epochs=9)
    taken = pace._Taken((spec,), 100.0, {0}, step=3, stepped=40.0)
    seen = taken.seen(now=41.0, ended=True, each_epoch=True)
    assert seen.whole is not None and seen.whole > 0


def test_how_sure_it_is_shows() -> None:
    """Many alike leave no doubt; of two kinds that take 1 and 100 seconds, whether the last one is long decides."""
    alike = forecast([], [SeenAssignment(10.0, 1, True, 10.0)] * 60, 20, 1)
    mixed = [SeenAssignment(seconds, 1, True, 100.0) for seconds in (1.0, 1.0, 100.0) * 10]
    doubtful = forecast([SeenAssignment(0.5, 1, False, 100.0)], mixed, 0, 1)
    assert alike is not None and alike.sure and doubtful is not None and not doubtful.sure
    assert doubtful.low < 2 and doubtful.high > 90


def test_trials_that_fail_are_run_again() -> None:
    ended = [SeenAssignment(10.0, 1, True)] * 50
    lasting = Lasting([(10.0, False, 1.0)] * 50)
    found = [seconds_left(Remaining([], 30, 1, lambda left: 1, failing), ended, lasting) for failing in (0.0, 0.5)]
    assert all(found) and [round(each.median / 100) for each in found if each] == pytest.approx([3, 6], abs=1)


def test_trials_are_judged_by_the_rule_as_it_stands() -> None:
    """The first trials go on whatever they reach; half of the same would be stopped now."""
    rule = MedianKeys(type="median", n_startup_trials=4).rule("study", 5)
    lives = Lives(rule, -1)
    for number in range(4):
        course = Course(number)
        lives.begin(number, 5, 0.0)
        for step in range(1, 6):
            course.values[step] = -float(number)
            rule.report(course, step, -float(number))
            lives.report(number, step, float(number), float(step))
        if number == 3:
            assert lives.awaited == 1 and [part for part, _, _ in lives.seen(5.0)] == [1.0] * 4
        rule.end(course, complete=True)
        lives.end(number, False, 5.0)
    assert lives.awaited == 0
    assert lives.seen(9.0) == [(0.2, False, 1.0), (0.2, False, 1.0), (1.0, False, 1.0), (1.0, False, 1.0)]


def test_a_trial_that_repeats_another_is_judged_in_its_bracket() -> None:
    """Brackets are dealt by the number of the trial that it is at bottom, which the driver's pace asks for."""
    rule: Any = HyperbandKeys(type="hyperband", min_iter=1, eta=3).rule("simulated", 9)
    brackets = [[number for number in range(200) if rule._bracket(number) == bracket] for bracket in range(3)]
    (strict, *others), (late, *_) = brackets[0], brackets[2]
    for number in others:  # they fill the first rung of the bracket that has it
        rule.report(course := Course(number, {1: -1.0}), 1, -1.0)
        rule.end(course, complete=False)
    moved = {kind: next(n for n in range(200, 400) if rule._bracket(n) == kind) for kind in (0, 2)}
    repeats = {strict: None, late: None, moved[2]: strict, moved[0]: late}
    standing = Standing("simulated", "val_accuracy", "maximize", 60)
    told = pace.Pace(sweep_of(True), standing, SimulatedClock(), rule, lambda number: repeats[number])
    told.begin(0, [TrialSpec(number, {}, 1, epochs=9) for number in repeats], 4)
    for number, origin in repeats.items():
        rule.report(Course(number, {1: 0.0}, origin), 1, 0.0)
    told.heard(0, [Reported(number, 1, {"val_accuracy": 0.0}, 0.0) for number in repeats])
    goes_on = [larger for _, larger, _ in told._lives.seen(2.0)]
    assert goes_on == [False, True, False, True]
