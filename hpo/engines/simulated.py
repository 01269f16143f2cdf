"""An engine without workers: trials take simulated time, and nothing is trained.

It shows the driver, the planner, the searcher and both records as many workers and as many trials as one likes, faults
included, within the time that they themselves need (tests/driver/test_simulated.py, scripts/benchmark scale). The
driver, the ledger and this engine share one `SimulatedClock`; only the engine moves it.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hpo.engines.base import Done, Message, Note, TrialEvents, failed_with_worker
from hpo.events import (
    Assignment,
    Decision,
    Diverged,
    Event,
    Failed,
    FailureKind,
    Finished,
    Paused,
    Reported,
    Response,
    Stopped,
    TrialSpec,
)

_RESOLUTION = 0.01  # seconds: what happens within it is heard of at once


class SimulatedClock:
    """Seconds since the Unix epoch that pass only when told to."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Fate:
    """How one run of a trial goes."""

    epoch_seconds: float
    metrics: Callable[[int], Mapping[str, float]]  # after an epoch, from 1
    end: Literal["finishes", "diverges", "fails", "dies", "hangs"] = "finishes"
    at: int = 0  # the epoch in which it diverges, fails, takes its worker with it, or is never heard of again


@dataclass
class _InCohort:
    """A trial of an assignment, not ended."""

    spec: TrialSpec
    fate: Fate
    ordered: Decision = Decision.CONTINUE


@dataclass
class _SimulatedWorker:
    name: str
    assignment: Assignment | None = None
    members: dict[int, _InCohort] = field(default_factory=dict)
    epoch: int = 0
    waits: bool = False  # for the driver's reply
    down: bool = False  # it died, and its successor is not there yet
    turn: int = 0  # what was planned for an earlier one does not happen any more


class SimulatedEngine:
    """Runs assignments in simulated time (hpo.engines.base.Engine).

    The same clock, fates and calls give the same messages. The members of a cohort go through their epochs together;
    a worker that dies fails all of them, and is replaced after `restart_seconds`.
    """

    def __init__(
        self,
        workers: int,
        clock: SimulatedClock,
        fate: Callable[[TrialSpec, int], Fate],
        restart_seconds: float = 30.0,
    ) -> None:
        """fate: how a trial's run goes; its second argument counts the runs of that trial, from 1."""
        self._clock = clock
        self._fate = fate
        self._restart = restart_seconds
        self._workers = [_SimulatedWorker(f"worker-{index}") for index in range(workers)]
        self._free: list[_SimulatedWorker] = []
        self._busy: dict[int, _SimulatedWorker] = {}  # by assignment
        self._worker_of: dict[int, _SimulatedWorker] = {}  # by trial that runs
        self._runs: dict[int, int] = {}  # runs so far of trials that did not end with their first
        self._agenda: list[tuple[float, int, int, _SimulatedWorker]] = []  # when; in which order; whose turn
        self._order = itertools.count()
        self._news: list[Message] = []
        self.events = 0  # that were reported to the driver

    @property
    def workers(self) -> int:
        return len(self._workers)

    def start(self) -> None:
        self._free = list(reversed(self._workers))

    def idle(self) -> int:
        return len(self._free)

    def submit(self, assignment: Assignment) -> None:
        if not self._free:
            raise RuntimeError("there is no idle worker")
        worker = self._free.pop()
        worker.assignment, worker.epoch = assignment, 0
        worker.members = {}
        for spec in assignment.trials:
            run = self._runs[spec.number] = self._runs.get(spec.number, 0) + 1
            worker.members[spec.number] = _InCohort(spec, self._fate(spec, run))
            self._worker_of[spec.number] = worker
        self._busy[assignment.id] = worker
        self._go_on(worker)

    def poll(self, timeout: float) -> list[Message]:
        deadline = self._clock.now + timeout
        if not self._news and self._agenda:
            until = min(deadline, self._agenda[0][0]) + _RESOLUTION
            while self._agenda and self._agenda[0][0] <= until:
                moment, _, turn, worker = heapq.heappop(self._agenda)
                self._clock.now = max(self._clock.now, min(moment, deadline))
                if turn == worker.turn:
                    self._happen(worker)
        if not self._news:
            self._clock.now = max(self._clock.now, deadline)
        news, self._news = self._news, []
        return news

    def reply(self, assignment: int, decisions: Mapping[int, Response]) -> None:
        worker = self._busy.get(assignment)
        if worker is None or not worker.waits:
            return
        worker.waits = False
        self._obey(worker, decisions)

    def stop(self, numbers: Collection[int]) -> None:
        self._order_all(numbers, Decision.STOP)

    def pause(self, numbers: Collection[int]) -> None:
        self._order_all(numbers, Decision.PAUSE)

    def kill(self, assignment: int, reasons: Mapping[int, str]) -> bool:
        if (worker := self._busy.get(assignment)) is not None:
            self._die(worker, "killed", reasons)
        return True

    def close(self, at_once: bool = False) -> None:
        self._agenda.clear()
        self._free = []

    def _order_all(self, numbers: Collection[int], decision: Decision) -> None:
        for number in numbers:
            worker = self._worker_of.get(number)
            if worker is not None and worker.members[number].ordered is not Decision.STOP:
                worker.members[number].ordered = decision

    def _plan(self, worker: _SimulatedWorker, seconds: float) -> None:
        worker.turn += 1
        heapq.heappush(self._agenda, (self._clock.now + seconds, next(self._order), worker.turn, worker))

    def _go_on(self, worker: _SimulatedWorker) -> None:
        """Begin the next epoch of those that are left, or end the assignment."""
        if worker.members:
            worker.epoch += 1
            self._plan(worker, max(member.fate.epoch_seconds for member in worker.members.values()))
        else:
            self._finish(worker)

    def _finish(self, worker: _SimulatedWorker) -> None:
        assert worker.assignment is not None
        self._news.append(Done(worker.assignment.id))
        del self._busy[worker.assignment.id]
        worker.assignment = None
        self._free.append(worker)

    def _happen(self, worker: _SimulatedWorker) -> None:
        """Have an epoch end, or a new worker be there."""
        if worker.down:
            worker.down = False
            self._free.append(worker)
            return
        assert worker.assignment is not None
        epoch, members = worker.epoch, worker.members.values()
        ends = {member.fate.end for member in members if member.fate.at == epoch}
        if "dies" in ends:
            self._die(worker, "killed by SIGKILL", {})
            return
        if "hangs" in ends:
            return  # whoever hangs holds up its cohort, until the driver kills the worker
        events: list[Event] = []
        for member in list(members):
            number, fate = member.spec.number, member.fate
            if fate.end == "diverges" and fate.at == epoch:
                events.append(Diverged(number, epoch, self._end(worker, member)))
            elif fate.end == "fails" and fate.at == epoch:
                error, info = f"RuntimeError: as planned, in epoch {epoch}", self._end(worker, member)
                events.append(Failed(number, error, "Traceback: none\n", info=info))
            else:
                events.append(Reported(number, epoch, fate.metrics(epoch), self._clock.now))
        waits = epoch in worker.assignment.decision_steps and any(isinstance(event, Reported) for event in events)
        self._tell(worker, events, waits)
        if waits:
            worker.waits = True
        else:
            self._obey(worker, {})

    def _obey(self, worker: _SimulatedWorker, decisions: Mapping[int, Response]) -> None:
        """End those that are done or were told to, then go on."""
        ends: list[Event] = []
        for number, member in list(worker.members.items()):
            decision = decisions.get(number, Decision.CONTINUE)
            decision = member.ordered if decision is Decision.CONTINUE else decision
            if decision is Decision.STOP:
                ends.append(Stopped(number, self._end(worker, member)))
            elif worker.epoch >= (member.spec.epochs or 1):
                ends.append(Finished(number, info=self._end(worker, member)))
            elif decision is Decision.PAUSE:
                ends.append(Paused(number, self._end(worker, member)))
        if ends:
            self._tell(worker, ends, waiting=False)
        self._go_on(worker)

    def _end(self, worker: _SimulatedWorker, member: _InCohort) -> dict[str, Any]:
        """Take a member out; return what a worker says of where it ran."""
        self._forget(worker, member.spec.number)
        self._runs.pop(member.spec.number, None)
        seconds = round(worker.epoch * member.fate.epoch_seconds, 4)
        return {"train_seconds": seconds, "worker": worker.name, "pid": 4711, "host": "simulated"}

    def _forget(self, worker: _SimulatedWorker, number: int) -> None:
        del worker.members[number], self._worker_of[number]

    def _die(self, worker: _SimulatedWorker, cause: str, reasons: Mapping[int, str]) -> None:
        assert worker.assignment is not None
        info = {"worker": worker.name}
        lost = failed_with_worker(worker.members, f"WorkerDied: {cause}", FailureKind.DIED, reasons, info)
        for number in list(worker.members):
            self._forget(worker, number)
        self._tell(worker, lost, waiting=False)
        self._news.append(Done(worker.assignment.id))
        self._news.append(Note(f"{worker.name} died ({cause}) and was replaced", warning=True))
        del self._busy[worker.assignment.id]
        worker.assignment, worker.waits, worker.down = None, False, True
        self._plan(worker, self._restart)

    def _tell(self, worker: _SimulatedWorker, events: Sequence[Event], waiting: bool) -> None:
        assert worker.assignment is not None
        self.events += len(events)
        self._news.append(TrialEvents(worker.assignment.id, tuple(events), waiting))


@dataclass(frozen=True)
class RandomFates:
    """Fates by lot: learning curves of which some diverge, and runs of which some fail, die or hang.

    A trial's fate depends on `seed`, its number and its run only. The metrics are `val_accuracy`, which rises with the
    epochs to a height that the parameters' numbers give, and `train_loss` and `val_loss` besides.
    """

    seed: int = 0
    epoch_seconds: float = 10.0  # the median; half of all lie within a factor of 1.4
    diverging: float = 0.03
    failing: float = 0.01
    dying: float = 0.002
    hanging: float = 0.0

    def __call__(self, spec: TrialSpec, run: int) -> Fate:
        lot = random.Random(f"{self.seed}:{spec.number}:{run}")
        seconds = self.epoch_seconds * lot.lognormvariate(0, 0.5)
        drawn, at = lot.random(), lot.randint(1, spec.epochs or 1)
        end: Literal["finishes", "diverges", "fails", "dies", "hangs"] = "finishes"
        chances = {"diverges": self.diverging, "fails": self.failing, "dies": self.dying, "hangs": self.hanging}
        for name, chance in chances.items():
            if 0 <= drawn < chance:
                end = name  # type: ignore[assignment]
            drawn -= chance
        noise = lot.gauss(0, 0.01)
        height = 0.95 - 0.5 * _distance(spec.params) + noise

        def metrics(epoch: int) -> dict[str, float]:
            accuracy = height * (1 - math.exp(-epoch / 4)) + 0.002 * math.sin(epoch * 37 + spec.number)
            return {"train_loss": 1.2 - accuracy, "val_loss": 1.25 - accuracy, "val_accuracy": accuracy}

        return Fate(seconds, metrics, end, at if end != "finishes" else 0)


def _distance(params: Mapping[str, Any]) -> float:
    """Return how far the numbers of a configuration are from 0.3, from 0 to about 1; others count by their names."""
    parts = [
        min(1.0, abs(value - 0.3)) if isinstance(value, float) else (sum(map(ord, str(value))) % 7) / 7
        for name, value in sorted(params.items())
    ]
    return sum(parts) / max(1, len(parts))
