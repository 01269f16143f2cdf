"""Two drivers that share a study in PostgreSQL, one of them in simulated time."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from e2e.support import Place
from postgresql import postgresql

from hpo.driver import Driver
from hpo.engines.simulated import RandomFates, SimulatedClock, SimulatedEngine
from hpo.ledger.ledger import Ledger
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import Outcome, TrialRecord
from hpo.spec.space import Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target, Traits
from hpo.standing import Standing

pytestmark = pytest.mark.slow
TICKS = 2000  # of the driver's loop, far more than it needs


class LostRace:
    """Once the driver has ended a trial, it holds a proposal that lost a race for the last place in the budget, and the
    other driver leaves without its trial's end."""

    def __init__(self, first: Ledger) -> None:
        self.first = first
        self.driver: Driver | None = None
        self.ticks = 0
        self.happened = False

    def note(self, text: str, warning: bool = False) -> None: ...

    def trial(self, record: TrialRecord, standing: Standing) -> None: ...

    def tick(self, standing: Standing) -> None:
        assert self.driver is not None
        self.ticks += 1
        assert self.ticks < TICKS, "the driver waits for ever"
        if standing.done == 1 and not self.happened:
            self.happened = True
            assert self.driver._study is not None
            proposal = self.driver._study.trials._searcher.propose()
            assert proposal is not None
            self.driver._study.trials._backlog.hold(proposal)
            self.first.leave(lambda: False)
            self.first.close("", {}, lambda: False)


def test_what_repeats_an_interrupted_trial_goes_before_what_lost_a_race(tmp_path: Path) -> None:
    with postgresql() as url:
        space = Space((Parameter("x", Range(0.0, 1.0)),))
        sweep = Sweep(
            name="s", source=Path("s.yaml"), text="", metric=Target("val_accuracy", "maximize"), space=space,
            budget=Limits(2, 3), method="random", objective="simulated", traits=Traits(reports_each_epoch=True),
        )  # fmt: skip
        home, clock = Home(tmp_path, storage=url), SimulatedClock()
        first = Ledger(sweep, home, clock, join=True)
        first.start()
        left = first.begin({"x": 0.25})
        assert isinstance(left, TrialRecord)
        watcher = LostRace(first)
        second, fates = Ledger(sweep, home, clock, join=True), RandomFates(diverging=0.0, failing=0.0, dying=0.0)
        watcher.driver = Driver(sweep, second, SimulatedEngine(1, clock, fates), watcher, clock)
        try:
            standing = watcher.driver.run()
            assert (standing.done, standing.counts.complete) == (2, 2)
            trials = second._book.trials()
            assert (trials[0].state.name, trials[0].params["x"]) == ("FAIL", 0.25)
            (again,) = [trial for trial in trials if trial.user_attrs.get("retry_of") == left.number]
            assert (again.state.name, again.params["x"]) == ("COMPLETE", 0.25)
        finally:
            for ledger in (first, second):
                ledger.membership._ownership._storage.engine.dispose()  # type: ignore[attr-defined]


def test_who_leaves_with_an_mlflow_that_hangs_disturbs_no_more_what_the_last_writes(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with postgresql() as url:
        space = Space((Parameter("x", Range(0.0, 1.0)),))
        sweep = Sweep("s", Path("s.yaml"), "", Target("score", "maximize"), space, Limits(2), objective="m")
        home = replace(place.home, storage=url)
        first, second = (Ledger(sweep, home, join=True) for _ in range(2))
        first.start()
        second.warm_up()
        writer = second._mirror._process
        os.kill(writer.pid, signal.SIGSTOP)
        second.start()
        for ledger, x in ((first, 0.25), (second, 0.75)):
            record = ledger.begin({"x": x})
            assert isinstance(record, TrialRecord)
            ledger.end(record.number, Outcome("complete", value=x))
        last, (notice,) = second.leave(lambda: True)
        assert not last
        assert "MLflow is behind" in notice.text
        assert len(first.news().ended) == 1
        assert first.leave(lambda: False) == (True, [])
        first.close("FINISHED", {"outcome": "done", "trials_complete": 2}, lambda: False)
        if psutil.pid_exists(writer.pid):
            os.kill(writer.pid, signal.SIGCONT)
            psutil.Process(writer.pid).wait(10)
        second.close("", {}, lambda: True)
        for ledger in (first, second):
            ledger.membership._ownership._storage.engine.dispose()  # type: ignore[attr-defined]
        doctor = place.run("doctor", "s", "--storage", url)
        assert doctor.returncode == 0, doctor.stdout + doctor.stderr
        assert "2 trials" in doctor.stdout
