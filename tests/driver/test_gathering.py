"""What workers tell is taken in together where nobody waits for it, and at once where somebody does."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hpo.driver.gathering import Gathering
from hpo.engines.base import Artifact, Done, Message, Note, TrialEvents
from hpo.events import AskedParameter, Event, Failed, Finished, ReferenceMeasured, Reported, Returned, Stopped, Unread


def report(number: int = 0, step: int = 1) -> Reported:
    return Reported(number, step, {"score": 1.0}, 0.0)


class Scripted:
    """An engine that tells at given moments of a clock of its own; each poll goes on to the next moment."""

    def __init__(self, *script: tuple[float, Sequence[Message]]) -> None:
        self.now = 0.0
        self._script = list(script)

    def clock(self) -> float:
        return self.now

    def poll(self, timeout: float) -> list[Message]:
        assert timeout >= 0
        if not self._script or self._script[0][0] > self.now + timeout:
            self.now += timeout
            return []
        moment, messages = self._script.pop(0)
        self.now = max(self.now, moment)
        return list(messages)


def gathered(*script: tuple[float, Sequence[Message]]) -> tuple[list[Message], float]:
    """Return what the first poll gives, and when."""
    engine = Scripted(*script)
    return Gathering(engine, engine.clock).poll(0.2), round(engine.now, 6)  # type: ignore[arg-type]


def told(*events: Event, waiting: bool = False, by: int = 0) -> TrialEvents:
    return TrialEvents(by, events, waiting)


def test_reports_wait_a_tenth_of_a_second_for_others() -> None:
    first, second, late = told(report(step=1)), told(report(1), by=1), told(report(step=3))
    assert gathered((0.05, [first]), (0.1, [second]), (0.16, [late])) == ([first, second], 0.15)


def test_silence_lasts_as_long_as_is_asked_for() -> None:
    assert gathered() == ([], 0.2)
    assert gathered((0.3, [told(report())])) == ([], 0.2)


@pytest.mark.parametrize(
    "urgent",
    [
        told(report(), waiting=True),
        told(AskedParameter(0, "x", {}), waiting=True),
        told(report(), Finished(0, 1.0)),
        told(Failed(0, "on purpose")),
        told(Stopped(0)),
        told(Returned(0, 1)),
        Done(0),
        ReferenceMeasured("rows"),
        Unread("Task"),
    ],
    ids=lambda message: type(message).__name__,
)
@pytest.mark.parametrize("first", [True, False])
def test_what_somebody_waits_for_is_told_at_once(urgent: Message, first: bool) -> None:
    before, after = (0.01, [told(report())]), (0.03, [told(report(step=2))])
    if first:
        assert gathered((0.02, [urgent]), after) == ([urgent], 0.02)
    else:
        assert gathered(before, (0.02, [urgent]), after) == ([*before[1], urgent], 0.02)


def test_notes_and_files_can_wait() -> None:
    note, file, last = Note("look"), Artifact(0, "output.log", "/tmp/output.log"), told(report())
    assert gathered((0.0, [note]), (0.05, [file]), (0.09, [last])) == ([note, file, last], 0.1)


def test_a_clock_that_is_set_back_ends_the_waiting() -> None:
    engine = Scripted((10.0, [told(report())]))
    engine.now = 10.0
    moments = iter([10.0, 3.0])
    gathering = Gathering(engine, lambda: next(moments))  # type: ignore[arg-type]
    assert len(gathering.poll(0.2)) == 1
