"""The time that is left, as it is said under way, against what came: in simulated time."""

from __future__ import annotations

import dataclasses
import importlib
import random
from pathlib import Path
from types import ModuleType

import pytest
from e2e.support import Place

from hpo.driver import Driver, pace
from hpo.driver.forecast import Lasting, Remaining, SeenAssignment, TimeLeft, seconds_left
from hpo.driver.lives import Lives
from hpo.engines.simulated import RandomFates, SimulatedClock, SimulatedEngine
from hpo.events import TrialSpec
from hpo.ledger.ledger import Ledger
from hpo.ledger.study.records import TrialRecord
from hpo.spec.space import Categorical, Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target, Traits
from hpo.standing import Activity, Standing
from hpo.stopping.base import Course
from hpo.stopping.percentile import MedianKeys

SCRIPTS = Path(__file__).parents[2] / "scripts"
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


def said(folder: Path, seconds: float | None = None, epochs: bool = True) -> tuple[Activity, float]:
    """Run a sweep; return what was said of it after a quarter, and the seconds that it took from there on."""
    sweep = Sweep(
        name="simulated", source=Path("simulated.yaml"), text="", space=SPACE,
        metric=Target("val_accuracy", "maximize"), budget=Limits(60, 9, failures=60, seconds=seconds),
        objective="simulated", seed=5, traits=Traits(reports_each_epoch=epochs), method="random",
    )  # fmt: skip
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
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        return importlib.import_module("benchmarks.forecast")


@pytest.mark.parametrize("rule", RULES)
def test_what_is_said_holds_for_every_stopping_rule(played: ModuleType, rule: str) -> None:
    """One number is right within a third, of two the truth is between them."""
    said = [played.forecasts(*played.play(played.draw(rule, seed, 80)))[0] for seed in range(10)]
    one = [each for each in said if each.between is None]
    two = [each for each in said if each.between is not None]
    assert all(each.left is not None for each in said)
    assert sum(each.right for each in one) >= 0.9 * len(one) - 1, one
    assert sum(each.right for each in two) >= 0.7 * len(two) - 1, two


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
