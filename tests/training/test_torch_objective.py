from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from hpo.events import Assignment, Decision, Event, Failed, Finished, Reported, Stopped, TrialSpec
from hpo.objective.base import Objective
from hpo.objective.torch_task import TorchObjective, failed
from hpo.training.task import Splits, TorchTask

from .tiny import splits_of, task_of


class Recorder:
    """A channel that keeps the events, stops the trials in `stop` and breaks after `breaks_after` events."""

    def __init__(self, stop: frozenset[int] = frozenset(), breaks_after: int | None = None) -> None:
        self.events: list[Event] = []
        self.stop = stop
        self.breaks_after = breaks_after

    def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
        if len(self.events) == self.breaks_after:
            raise ConnectionError("the driver is gone")
        self.events += events
        return {event.number: Decision.STOP for event in events if event.number in self.stop}

    def attach(self, number: int, name: str, path: str) -> None:
        raise NotImplementedError


def objective() -> tuple[TorchObjective, list[Mapping[str, Any]]]:
    loads: list[Mapping[str, Any]] = []

    def splits(self: TorchTask, data: Mapping[str, Any]) -> Splits:
        loads.append(data)
        kept = splits_of("binary")
        return Splits(kept.train, kept.validation, kept.validation, notes=("two rows were dropped",))

    return TorchObjective(task_of("binary", splits=splits), {"source": "here"}), loads


def assignment(*params: Mapping[str, Any]) -> Assignment:
    return Assignment(0, tuple(TrialSpec(number, given, number, 2) for number, given in enumerate(params)))


def test_is_an_objective() -> None:
    bound: Objective = objective()[0]
    assert bound.contract is not None and "learning_rate" in bound.contract.parameters
    assert bound.check_data() == []


def test_loads_once_and_tells_what_was_done() -> None:
    bound, loads = objective()
    assert bound.prepare() == ["two rows were dropped"] == bound.prepare()
    bound.run(assignment({}, {}), Recorder())
    assert loads == [{"source": "here"}]


def test_every_trial_ends_once() -> None:
    channel = Recorder(stop=frozenset({1}))
    objective()[0].run(assignment({}, {}, {}), channel)
    kinds = [(event.number, type(event)) for event in channel.events]
    report, end = Reported, Finished
    assert kinds == [(0, report), (0, report), (0, end), (1, report), (1, Stopped), (2, report), (2, report), (2, end)]


def test_one_that_raises_fails_alone() -> None:
    channel = Recorder()
    objective()[0].run(assignment({"optimizer": "adam", "momentum": 0.9}, {}), channel)
    first = channel.events[0]
    assert isinstance(first, Failed) and first.error.startswith("ValueError: optimizer 'adam' takes")
    assert "\n" not in first.error and "Traceback" in first.traceback and not first.lost
    assert channel.events[-1] == Finished(1)


def test_an_error_is_one_short_line() -> None:
    assert failed(3, ValueError("long\n" * 500)).error == "ValueError: " + ("long " * 500)[:485] + "..."
    assert failed(3, KeyError()).error == "KeyError"


def test_a_broken_channel_ends_the_assignment() -> None:
    with pytest.raises(ConnectionError):
        objective()[0].run(assignment({}, {}), Recorder(breaks_after=1))
