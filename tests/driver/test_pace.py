"""The time that is left, as it was said after a quarter of a sweep, against what it was: in simulated time."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest
from e2e.support import Place

from hpo.driver import Driver, pace
from hpo.driver.forecast import Remaining, SeenAssignment, seconds_left
from hpo.engines.simulated import RandomFates, SimulatedClock, SimulatedEngine
from hpo.events import TrialSpec
from hpo.ledger.ledger import Ledger
from hpo.ledger.study.records import TrialRecord
from hpo.spec.space import Categorical, Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target, Traits
from hpo.standing import Activity, Standing
from hpo.stopping.asha import AshaKeys

pytestmark = pytest.mark.slow
SPACE = Space((Parameter("rate", Range(1e-5, 1e-1, log=True)), Parameter("kind", Categorical(("a", "b", "c")))))
FATES = RandomFates(seed=5, epoch_seconds=1.0)
STOPS = {"early_terminate": AshaKeys(type="asha")}


class Watcher:
    """Keeps what was said after a quarter of the trials."""

    def __init__(self) -> None:
        self.then: tuple[float, Activity] | None = None

    def note(self, text: str, warning: bool = False) -> None: ...

    def trial(self, record: TrialRecord, standing: Standing) -> None: ...

    def tick(self, standing: Standing) -> None:
        if self.then is None and standing.done * 4 >= standing.trials:
            self.then = standing.seconds, dataclasses.replace(standing.activity, busy=list(standing.activity.busy))


def said(
    folder: Path, trials: int, workers: int, cohort: Any = None, fates: RandomFates | None = None, epochs: bool = True,
    **keys: Any,
) -> tuple[Activity, float]:  # fmt: skip
    """Run a sweep; return what was said of it after a quarter, and the seconds that it took from there on."""
    traits = Traits(reports_each_epoch=epochs, shape_parameters=("kind",) if cohort else None)
    sweep = Sweep(
        name="simulated", source=Path("simulated.yaml"), text="", space=SPACE,
        metric=Target("val_accuracy", "maximize"), budget=Limits(trials, 9, failures=trials, **keys.pop("budget", {})),
        objective="simulated", seed=5, traits=traits, **({"method": "random"} | keys),
    )  # fmt: skip
    if cohort:
        sweep = dataclasses.replace(sweep, engine=sweep.engine.model_copy(update={"cohort": cohort}))
    clock, watcher = SimulatedClock(), Watcher()
    engine = SimulatedEngine(workers, clock, fates or FATES)
    standing = Driver(sweep, Ledger(sweep, Place(folder).home, clock), engine, watcher, clock).run()
    assert watcher.then is not None
    return watcher.then[1], standing.seconds - watcher.then[0]


@pytest.mark.parametrize(
    ("trials", "workers", "keys"),
    [
        pytest.param(60, 4, {}, id="alone"),
        pytest.param(60, 4, {"epochs": False}, id="steps that mean nothing"),
        pytest.param(80, 4, STOPS, id="early termination"),
        pytest.param(120, 2, {"cohort": 8}, id="cohorts"),
        pytest.param(160, 2, {"cohort": "auto", "method": "tpe"}, id="cohorts that grow"),
        pytest.param(120, 2, {"cohort": 8, **STOPS}, id="cohorts and early termination"),
        pytest.param(60, 50, {}, id="more workers than trials left"),
        pytest.param(60, 4, {"fates": dataclasses.replace(FATES, failing=0.3, dying=0.05)}, id="failures"),
    ],
)
def test_after_a_quarter_it_is_right_within_a_third(tmp_path: Path, trials: int, workers: int, keys: Any) -> None:
    activity, took = said(tmp_path, trials, workers, **keys)
    assert activity.left is not None and took * 2 / 3 <= activity.left <= took * 4 / 3, (activity.left, took)
    assert 0 < activity.working <= activity.workers == workers and activity.phase == ""
    assert all(worker.step <= (worker.epochs or 0) and worker.trials >= 1 for worker in activity.busy)


def test_the_sweep_s_limit_counts(tmp_path: Path) -> None:
    activity, took = said(tmp_path, 60, 4, budget={"seconds": 60.0})
    assert activity.left is not None and abs(activity.left - took) <= 6  # that run are told at their next report


# Without a driver.


def left(running: list[SeenAssignment], ended: list[SeenAssignment], trials: int, workers: int, size: int = 1) -> float:
    found = seconds_left(Remaining(running, trials, workers, lambda left: size), ended)
    assert found is not None
    return found


def test_nothing_is_said_before_anything_is_known() -> None:
    assert seconds_left(Remaining([SeenAssignment(3.0, 1, False)], 10, 2, lambda left: 1), []) is None


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
