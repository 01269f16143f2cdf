"""The interface of an engine, and what it tells the driver."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hpo.events import Assignment, Event, Failed, FailureKind, ReferenceMeasured, Response, Unread


class EngineError(Exception):
    """The engine can't run anything any more: its workers don't start."""


@dataclass(frozen=True)
class TrialEvents:
    """Events of one assignment. `waiting`: its worker stands still until the driver calls `reply`."""

    assignment: int
    events: Sequence[Event]
    waiting: bool = False


@dataclass(frozen=True)
class Done:
    """An assignment ended, every trial of it with a final event; its worker is idle again."""

    assignment: int


@dataclass(frozen=True)
class Note:
    """Something the user should know, such as what was done to the data, or that a worker died."""

    text: str
    warning: bool = False
    lasting: bool = False  # said again at the end of the sweep


@dataclass(frozen=True)
class Artifact:
    """A file that belongs to a trial, such as a program's output."""

    number: int
    name: str
    path: str


Message = TrialEvents | Done | Note | Artifact | ReferenceMeasured | Unread


class Engine(Protocol):
    """Runs assignments on workers. Called from the driver's thread only; keeps nothing that can't be lost.

    The engine owns its workers: it replaces those that die and reports the trials that died with them as
    Failed, of the kind DIED (or OUT_OF_MEMORY, where the system says so). It decides nothing about trials.
    """

    @property
    def workers(self) -> int:
        """How many assignments run at a time when nothing is wrong."""
        ...

    def start(self) -> None:
        """Start the workers; returns before they are ready."""
        ...

    def idle(self) -> int:
        """Return how many more assignments can be submitted now."""
        ...

    def submit(self, assignment: Assignment) -> None:
        """Hand an assignment to an idle worker. Raises RuntimeError if there is none."""
        ...

    def poll(self, timeout: float) -> list[Message]:
        """Return what has happened since, in each worker's order; wait up to `timeout` seconds for something.

        Raises EngineError if workers can't be started.
        """
        ...

    def reply(self, assignment: int, decisions: Mapping[int, Response]) -> None:
        """Answer a TrialEvents that waits. decisions: what each of its trials is told."""
        ...

    def stop(self, numbers: Collection[int]) -> None:
        """Have running trials stop at their next report, without having asked."""
        ...

    def pause(self, numbers: Collection[int]) -> None:
        """Have running trials end with Paused at their next report, if they can and if it saves much."""
        ...

    def kill(self, assignment: int, reasons: Mapping[int, str]) -> bool:
        """Kill the worker that has an assignment, and replace it. Returns whether that is possible here.

        Its trials end as Failed: those in `reasons` of the kind TIMEOUT, with that text; the others, which only were in
        the same cohort, of the kind DIED.
        """
        ...

    def close(self, at_once: bool = False) -> None:
        """End the workers; with `at_once` even in the middle of a trial. Safe to call twice."""
        ...


def failed_with_worker(
    numbers: Collection[int], error: str, kind: FailureKind, reasons: Mapping[int, str], info: Mapping[str, Any]
) -> list[Failed]:
    """Return how the trials of a worker that is gone end, in the order of their numbers.

    Those that the worker was killed for (`reasons`, as in Engine.kill) are TIMEOUT with that text, the others `kind`.
    """
    return [
        Failed(number, reasons[number], kind=FailureKind.TIMEOUT, info=info)
        if number in reasons
        else Failed(number, error, kind=kind, info=info)
        for number in sorted(numbers)
    ]
