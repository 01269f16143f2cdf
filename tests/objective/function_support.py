"""Functions as objectives, run in tests as a worker runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hpo.events import (
    Assignment,
    Decision,
    Event,
    Failed,
    FailureKind,
    Reported,
    TrialSpec,
)
from hpo.objective.function import FunctionObjective, Trial


class RecordingChannel:
    """Keeps what it is told; stops trials that report at `stop_at`."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.events: list[Event] = []
        self.stop_at = stop_at

    def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
        self.events += events
        return {
            event.number: Decision.STOP if event.step == self.stop_at else Decision.CONTINUE
            for event in events
            if isinstance(event, Reported)
        }

    def attach(self, number: int, name: str, path: str) -> None:
        raise AssertionError("functions attach nothing")

    @property
    def reports(self) -> list[tuple[int, Mapping[str, float]]]:
        return [(event.step, event.metrics) for event in self.events if isinstance(event, Reported)]

    @property
    def end(self) -> Event:
        """The one event that ends the trial, which is the last."""
        endings = [event for event in self.events if not isinstance(event, Reported)]
        assert endings == self.events[-1:]
        return endings[0]


def run(function: Callable[[Trial], Any], stop_at: int | None = None, **params: Any) -> RecordingChannel:
    channel = RecordingChannel(stop_at)
    spec = TrialSpec(7, params, seed=123, epochs=4)
    FunctionObjective(function, "score", {"csv": "a.csv"}).run(Assignment(1, (spec,)), channel)
    return channel


def ending(function: Callable[[Trial], Any], **params: Any) -> Event:
    return run(function, **params).end


def failure(function: Callable[[Trial], Any]) -> str:
    event = ending(function)
    assert isinstance(event, Failed) and event.number == 7
    assert event.error in " ".join(event.traceback.split()) or "..." in event.error
    assert event.kind is FailureKind.ERROR
    return event.error
