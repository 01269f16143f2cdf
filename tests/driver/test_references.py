"""References never hold a sweep up and never break it: real records, and workers in simulated time."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from e2e.support import Place

from hpo.driver import Driver
from hpo.engines.base import Done, EngineError, Message
from hpo.engines.simulated import Fate, SimulatedClock, SimulatedEngine
from hpo.events import Assignment, ReferenceMeasured, ReferenceOrder
from hpo.ledger.ledger import Ledger
from hpo.ledger.references import ReferenceBook
from hpo.ledger.study.book import StudyBook
from hpo.ledger.study.home import open_storage
from hpo.ledger.study.records import TrialRecord
from hpo.ledger.study.references import ReferenceRecord, References
from hpo.review.doctor import diagnose
from hpo.spec.space import Constant, Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target, Traits
from hpo.standing import Standing

Ending = Literal["finishes", "diverges"]
ALL = ("constant", "linear", "random_forest", "gradient_boosting")


@dataclass
class Heard:
    notes: list[str] = field(default_factory=list)

    def note(self, text: str, warning: bool = False) -> None:
        self.notes.append(text)

    def trial(self, record: TrialRecord, standing: Standing) -> None: ...

    def tick(self, standing: Standing) -> None: ...


class Measuring(SimulatedEngine):
    """Answers an order of references after so many simulated seconds; None: never."""

    def __init__(
        self, clock: SimulatedClock, after: float | None = 0.0, end: Literal["finishes", "diverges"] = "finishes"
    ) -> None:
        fate = Fate(1.0, lambda epoch: {"val_accuracy": 0.5 + epoch / 100, "val_loss": 1 / epoch}, end, 1)
        super().__init__(2, clock, lambda spec, run: fate)
        self._now = clock
        self._after = after
        self.orders: list[tuple[ReferenceOrder, int]] = []  # each with how many trials were running
        self._due: float | None = None
        self.missing: dict[str, str] = {}
        self.data = "ab"
        self.fault: Exception | None = None
        self.interrupt_when_idle = False  # Ctrl-C when trials have ended and none is running

    def submit(self, assignment: Assignment) -> None:
        if assignment.references is None:
            super().submit(assignment)
            return
        self.orders.append((assignment.references, len(self._worker_of)))
        self._due = None if self._after is None else self._now() + self._after

    def poll(self, timeout: float) -> list[Message]:
        if self.orders and self.fault:
            raise self.fault
        messages = super().poll(timeout)
        if self.interrupt_when_idle and messages and not self._worker_of:
            signal.raise_signal(signal.SIGINT)
            self.interrupt_when_idle = False
        if self._due is not None and self._now() >= self._due:
            names, self._due = self.orders[-1][0].names, None
            told = [self._told(name) for name in names] or [ReferenceMeasured(self.data, "binary")]
            return [*messages, *told, Done(-1)]
        return messages

    def _told(self, name: str) -> ReferenceMeasured:
        if name in self.missing:
            return ReferenceMeasured(self.data, "binary", name, missing=self.missing[name])
        return ReferenceMeasured(self.data, "binary", name, {"val_accuracy": 0.4})


def sweep_of(trials: int = 4, references: Any = "auto", **keys: Any) -> Sweep:
    space = Space((Parameter("rate", Range(1e-5, 1e-1, log=True)), Parameter("loss", Constant("bce"))))
    return Sweep(
        name="beside", source=Path("beside.yaml"), text="", metric=Target("val_accuracy", "maximize"), space=space,
        budget=Limits(trials, 3, failures=trials), method="random", objective="simulated", seed=5,
        traits=Traits(reports_each_epoch=True, has_references=True), references=references, **keys,
    )  # fmt: skip


Run = Callable[..., tuple[Standing, Measuring, list[str], float]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(sweep: Sweep, change: Callable[[Measuring], None] = lambda engine: None, **engine: Any) -> Any:
        place, clock, heard = Place(tmp_path), SimulatedClock(), Heard()
        measuring = Measuring(clock, **engine)
        change(measuring)
        standing = Driver(sweep, Ledger(sweep, place.home, clock), measuring, heard, clock).run()
        assert diagnose(place.home, "beside", fix=False).before.counts == {}
        return standing, measuring, heard.notes, standing.seconds

    return run


def names(standing: Standing) -> list[str]:
    return list(standing.references.models) if standing.references is not None else []


def test_they_come_when_nothing_is_left_to_hand_out(run: Run) -> None:
    standing, engine, notes, _ = run(sweep_of())
    ((order, running),) = engine.orders
    assert (order.names, order.patient, order.loss_params) == (ALL, False, None)
    assert running <= 1  # the worker was idle
    assert names(standing) == list(ALL)
    assert (standing.done, standing.error, standing.reason, notes) == (4, "", "", [])


def test_unasked_they_are_waited_for_a_few_seconds(run: Run) -> None:
    standing, _, notes, seconds = run(sweep_of(), after=None)
    assert (standing.done, standing.error, names(standing)) == (4, "", [])
    (note,) = notes
    assert "not ready 5 s after the last trial (references: [constant, linear, random_forest," in note
    assert seconds < 6 + 5 + 1  # two rounds of three epochs, and the five


def test_those_asked_for_by_name_are_waited_for(run: Run) -> None:
    standing, engine, notes, _ = run(sweep_of(references=["random_forest"]), after=600.0)
    assert engine.orders[0][0].patient
    assert (names(standing), notes) == (["random_forest"], [])


def test_what_fails_is_a_note(run: Run) -> None:
    def fail(engine: Measuring) -> None:
        engine.missing = {"linear": "ValueError: no luck"}

    standing, _, notes, _ = run(sweep_of(), fail)
    assert names(standing) == ["constant", "random_forest", "gradient_boosting"]
    assert (standing.error, notes) == ("", ["no reference linear: ValueError: no luck"])


def test_an_engine_that_breaks_meanwhile_breaks_nothing(run: Run) -> None:
    def break_it(engine: Measuring) -> None:
        engine.fault = EngineError("workers die while they start")

    standing, _, notes, _ = run(sweep_of(2), break_it)
    assert (standing.done, standing.error, names(standing)) == (2, "", [])
    assert "the references could not be measured: workers die while they start" in notes


def test_an_interrupted_sweep_measures_none(run: Run) -> None:
    def interrupt(engine: Measuring) -> None:
        engine.interrupt_when_idle = True

    standing, engine, notes, _ = run(sweep_of(), interrupt)
    assert (standing.interrupted, engine.orders, standing.references) == (signal.SIGINT, [], None)
    assert 0 < standing.done < 4 and notes == []


def test_nothing_is_measured_where_nothing_finished(run: Run) -> None:
    standing, engine, _, _ = run(sweep_of(), end="diverges")
    assert (standing.best, engine.orders, standing.references) == (None, [], None)


def test_a_study_that_goes_on_only_looks_at_the_data(run: Run) -> None:
    first, _, _, _ = run(sweep_of(2))
    second, engine, notes, _ = run(sweep_of(4))
    assert [order.names for order, _ in engine.orders] == [()]
    assert second.references == first.references and notes == []
    third, engine, notes, _ = run(sweep_of(6), lambda engine: setattr(engine, "data", "cd"))
    assert third.references == first.references
    assert notes[0].startswith("the data is not what it was when this study began")
    fourth, engine, _, _ = run(sweep_of(6))  # nothing to do: no worker is started
    assert (fourth.references, engine.orders) == (first.references, [])


def test_the_trials_loss_goes_along_where_it_is_the_metric(run: Run) -> None:
    sweep = replace(sweep_of(), metric=Target("val_loss", "minimize"))
    _, engine, notes, _ = run(sweep)
    assert engine.orders[0][0].loss_params == {"loss": "bce"}
    assert notes == ["the references have no val_loss that could be compared with the trials' of this loss"]


def test_several_drivers_record_them_once(tmp_path: Path) -> None:
    place, sweep = Place(tmp_path), sweep_of()
    storage = open_storage(place.home)
    first = StudyBook(sweep, place.home, storage)
    first.create({"identity": sweep.identity(), "sweep": sweep.config()})
    second = StudyBook(sweep, place.home, storage)
    mine = References("ab", "binary", {"linear": ReferenceRecord({"val_accuracy": 0.5}, 1.0)})
    theirs = References(
        "ab",
        "binary",
        {n: ReferenceRecord({"val_accuracy": 0.6}, 2.0) for n in ("random_forest", "constant", "linear")},
    )
    assert ReferenceBook(first).add(mine) == mine
    both = ReferenceBook(second).add(theirs)
    assert list(both.models) == ["constant", "linear", "random_forest"]
    assert both.models["linear"] == mine.models["linear"]  # what is recorded is not changed
    assert ReferenceBook(first).known(fresh=True) == both
    assert ReferenceBook(first).add(References("cd", "binary", theirs.models)) == both
