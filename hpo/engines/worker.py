"""The inside of a worker: it builds the objective, trains what it is given, and answers through one pipe."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.events import Assignment, Decision, Diverged, Event, Failed, Finished, Reported, Stopped
from hpo.objective.build import build
from hpo.objective.function import one_line
from hpo.output import log_to
from hpo.spec.faults import UserError
from hpo.spec.load import Named
from hpo.training.device import settle_process

if TYPE_CHECKING:
    from hpo.objective.base import Objective


@dataclass(frozen=True)
class WorkerSetup:
    """How one worker is made. Picklable."""

    objective: Named
    name: str
    gpu: str | None = None  # CUDA_VISIBLE_DEVICES; None: leave it as it is
    log: Path | None = None  # standard output and error go here; None: they stay where they are
    own_process: bool = True


# What goes through the pipe, besides assignments and None (the order to end).
@dataclass(frozen=True)
class Ready:
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Broken:
    """The objective can't be built or its data not loaded: no trial can run."""

    error: str
    traceback: str = ""


@dataclass(frozen=True)
class Sent:
    events: tuple[Event, ...]
    waiting: bool


@dataclass(frozen=True)
class Attached:
    number: int
    name: str
    path: str


@dataclass(frozen=True)
class Idle:
    """The assignment is over."""


@dataclass(frozen=True)
class Reply:
    decisions: Mapping[int, Decision]


@dataclass(frozen=True)
class Cancel:
    numbers: frozenset[int]


class DriverGone(BaseException):
    """The pipe is closed: nobody wants the result. A BaseException, so that no objective swallows it."""


class PipeChannel:
    """A running assignment's line to the driver (hpo.events.Channel)."""

    def __init__(self, connection: Connection, assignment: Assignment, info: Mapping[str, Any]) -> None:
        self._connection = connection
        self._steps = assignment.decision_steps
        self._info = info
        self._cancelled: set[int] = set()
        self._begun = dict.fromkeys((trial.number for trial in assignment.trials), time.time())
        self.unfinished = {trial.number for trial in assignment.trials}

    def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
        events = [self._completed(event) for event in events]
        self.unfinished -= {event.number for event in events if not isinstance(event, Reported)}
        reported = [event for event in events if isinstance(event, Reported)]
        waiting = any(event.step in self._steps for event in reported)
        try:
            self._connection.send(Sent(tuple(events), waiting))
            decisions = self._receive(waiting)
        except (EOFError, OSError):
            raise DriverGone from None
        for event in reported:
            decisions.setdefault(event.number, Decision.CONTINUE)
            if event.number in self._cancelled:
                decisions[event.number] = Decision.STOP
        return decisions

    def attach(self, number: int, name: str, path: str) -> None:
        self._connection.send(Attached(number, name, path))

    def _receive(self, waiting: bool) -> dict[int, Decision]:
        """Take what the driver sent: cancellations at any time, and the reply if one is due."""
        while waiting or self._connection.poll():
            message = self._connection.recv()
            if isinstance(message, Cancel):
                self._cancelled |= message.numbers
            elif isinstance(message, Reply):
                return dict(message.decisions)
            else:
                raise DriverGone  # told to end in the middle of an assignment
        return {}

    def _completed(self, event: Event) -> Event:
        """Add where it ran and how long it took to a final event."""
        if isinstance(event, Finished | Stopped | Diverged | Failed):
            seconds = round(time.time() - self._begun[event.number], 4)
            return replace(event, info={"train_seconds": seconds, **self._info, **event.info})
        return event


def run_worker(connection: Connection, setup: WorkerSetup) -> None:
    """Serve assignments until told to end, or until the driver is gone."""
    if setup.own_process:
        _enter_process(setup)
    # Nothing that imports numpy or Torch may come before this: the number of threads is read once.
    try:
        objective = build(setup.objective)
        _settle()
        notes = objective.prepare()
    except UserError as error:
        connection.send(Broken(str(error)))
        return
    except Exception as error:
        connection.send(Broken(one_line(error), traceback.format_exc()))
        return
    try:
        connection.send(Ready(tuple(notes)))
        while (assignment := _next_assignment(connection)) is not None:
            _run(assignment, objective, connection, _where(setup))
            connection.send(Idle())
    except (EOFError, OSError, DriverGone):
        return  # the driver is gone or wants no more; it has all that counts


def _next_assignment(connection: Connection) -> Assignment | None:
    while True:
        message = connection.recv()
        if message is None or isinstance(message, Assignment):
            return message  # a Cancel that came too late is dropped: its trial has ended


def _run(assignment: Assignment, objective: Objective, connection: Connection, info: Mapping[str, Any]) -> None:
    channel = PipeChannel(connection, assignment, info)
    try:
        objective.run(assignment, channel)
        error, trace = "the objective ended without a result for this trial", ""
    except Exception as raised:
        error, trace = one_line(raised), traceback.format_exc()
    channel.exchange([Failed(number, error, trace) for number in sorted(channel.unfinished)])


def _where(setup: WorkerSetup) -> dict[str, Any]:
    info: dict[str, Any] = {"worker": setup.name, "pid": os.getpid(), "host": os.uname().nodename}
    if setup.gpu is not None:
        info["gpu"] = setup.gpu
    return info


def _enter_process(setup: WorkerSetup) -> None:
    """Make this process a good child: quiet, single-threaded, deaf to Ctrl-C, gone when the driver is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C means
    if setup.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = setup.gpu
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # a small model trains slower with two threads, and a worker has one core
    if setup.log is not None:
        log_to(setup.log)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()


def _die_with(sentinel: int) -> None:
    """End this process when the driver's has ended, even in the middle of a long step."""
    wait([sentinel])
    os._exit(1)


def _settle() -> None:
    if "torch" in sys.modules:
        with contextlib.suppress(AttributeError):  # a lazy module that nobody has used yet loads here
            settle_process()
