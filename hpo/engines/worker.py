"""The inside of a worker: it builds the objective, trains what it is given, and answers through one pipe."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.events import (
    Answer,
    AskedParameter,
    Assignment,
    Decision,
    Diverged,
    Event,
    Failed,
    FailureKind,
    Finished,
    Paused,
    ReferenceMeasured,
    Reported,
    Response,
    Stopped,
    Unread,
    is_last,
)
from hpo.forking import lifelines
from hpo.lazy import keep_imports, when_loaded
from hpo.objective.build import build
from hpo.objective.failures import failed, one_line
from hpo.output import log_to
from hpo.spec.faults import UserError
from hpo.spec.named import Named
from hpo.training.device import settle_process

if TYPE_CHECKING:
    from hpo.objective.base import Objective


NO_MEMORY = 71  # the exit code of a worker whose memory is spent


@dataclass(frozen=True)
class WorkerSetup:
    """How one worker is made. Picklable."""

    objective: Named
    name: str
    gpu: str | None = None  # CUDA_VISIBLE_DEVICES; None: leave it as it is
    log: Path | None = None  # standard output and error go here; None: they stay where they are
    memory: int | None = None  # bytes that it may allocate; None: as many as there are
    threads: int = 1
    own_process: bool = True


# What goes through the pipe, besides assignments and None (the order to end).
@dataclass(frozen=True)
class Ready:
    notes: tuple[str, ...]
    unread: Unread | None = None  # None: nothing is known to be so, or nobody asked


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
    decisions: Mapping[int, Response]


@dataclass(frozen=True)
class TrialOrder:
    """What running trials are to do at their next report, without having asked: STOP or PAUSE."""

    decision: Decision
    numbers: frozenset[int]


class DriverGone(BaseException):
    """The pipe is closed: nobody wants the result. A BaseException, so that no objective swallows it."""


class PipeChannel:
    """A running assignment's line to the driver (hpo.events.Channel)."""

    def __init__(self, connection: Connection, assignment: Assignment, info: Mapping[str, Any]) -> None:
        self._connection = connection
        self._steps = assignment.decision_steps
        self._info = info
        self._ordered: dict[int, Decision] = {}
        self._pid = os.getpid()
        self._begun = dict.fromkeys((trial.number for trial in assignment.trials), time.time())
        self.unfinished = {trial.number for trial in assignment.trials}
        self.lacked_memory = False  # whether a trial has failed for want of it

    def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
        events = [self._completed(event) for event in events]
        self.unfinished -= {event.number for event in events if is_last(event)}
        reported = [event for event in events if isinstance(event, Reported)]
        self.lacked_memory |= any(
            isinstance(event, Failed) and event.kind is FailureKind.OUT_OF_MEMORY for event in events
        )
        responses = self._tell(events, any(event.step in self._steps for event in reported))
        decisions = {number: each for number, each in responses.items() if isinstance(each, Decision)}
        for event in reported:
            decision = decisions.setdefault(event.number, Decision.CONTINUE)
            if decision is Decision.CONTINUE and event.number in self._ordered:
                decisions[event.number] = self._ordered[event.number]
        return decisions

    def ask(self, asked: AskedParameter) -> Answer:
        answer = self._tell([asked], waiting=True).get(asked.number)
        assert isinstance(answer, Answer), answer
        return answer

    def attach(self, number: int, name: str, path: str) -> None:
        self._connection.send(Attached(number, name, path))

    def refer(self, measured: ReferenceMeasured) -> None:
        self._connection.send(measured)

    def _tell(self, events: Sequence[Event], waiting: bool) -> dict[int, Response]:
        if os.getpid() != self._pid:
            os._exit(0)  # a child that the objective forked and that came back from it: the pipe is its parent's
        try:
            self._connection.send(Sent(tuple(events), waiting))
            return self._receive(waiting)
        except (EOFError, OSError):
            raise DriverGone from None

    def _receive(self, waiting: bool) -> dict[int, Response]:
        """Take what the driver sent: orders at any time, and the reply if one is due."""
        while waiting or self._connection.poll():
            message = self._connection.recv()
            if isinstance(message, TrialOrder):
                orders = dict.fromkeys(message.numbers, message.decision)
                stops = {number for number, order in self._ordered.items() if order is Decision.STOP}
                self._ordered |= {number: order for number, order in orders.items() if number not in stops}
            elif isinstance(message, Reply):
                return dict(message.decisions)
            else:
                raise DriverGone  # told to end in the middle of an assignment
        return {}

    def _completed(self, event: Event) -> Event:
        """Add where it ran and how long it took to a final event."""
        if isinstance(event, Finished | Stopped | Diverged | Failed | Paused):
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
        when_loaded("torch", "settle", lambda: settle_process(setup.threads))
        notes = objective.prepare()
        unread = objective.unread(setup.objective) if setup.objective.space is not None else None
    except UserError as error:
        connection.send(Broken(str(error)))
        return
    except Exception as error:
        connection.send(Broken(one_line(error), traceback.format_exc()))
        return
    if setup.own_process:
        keep_imports()
    try:
        connection.send(Ready(tuple(notes), unread))
        while (assignment := _next_assignment(connection)) is not None:
            lacked_memory = _run(assignment, objective, connection, _where(setup), setup.own_process)
            if lacked_memory and setup.own_process and setup.memory is not None:
                # What spent it may be there still, in a variable of the module's: the next trial gets a new process.
                _flush()
                os._exit(NO_MEMORY)
            _open_log_again(setup)
            connection.send(Idle())
    except (EOFError, OSError, DriverGone):
        return  # the driver is gone or wants no more; it has all that counts


def _next_assignment(connection: Connection) -> Assignment | None:
    while True:
        message = connection.recv()
        if message is None or isinstance(message, Assignment):
            return message  # a TrialOrder that came too late is dropped: its trial has ended


def _run(
    assignment: Assignment, objective: Objective, connection: Connection, info: Mapping[str, Any], own_process: bool
) -> bool:
    """Run an assignment; return whether a trial of it failed for want of memory."""
    channel = PipeChannel(connection, assignment, info)
    failure = Failed(0, "the objective ended without a result for this trial")
    try:
        objective.run(assignment, channel)
    except DriverGone:
        raise
    except BaseException as error:  # asyncio's CancelledError, say: it fails its trial, not the worker
        if own_process and isinstance(error, MemoryError):
            os._exit(NO_MEMORY)  # there was not even enough to tell what happened
        failure = failed(0, error)
    channel.exchange([replace(failure, number=number) for number in sorted(channel.unfinished)])
    return channel.lacked_memory


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(ValueError, OSError):  # the objective may have closed it
            stream.flush()


def _open_log_again(setup: WorkerSetup) -> None:
    """Make up for an objective that closed its output. (What else it changed is put back by hpo.objective.)"""
    if setup.log is not None and (sys.stdout.closed or sys.stderr.closed or not (_is_open(1) and _is_open(2))):
        log_to(setup.log)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _where(setup: WorkerSetup) -> dict[str, Any]:
    info: dict[str, Any] = {"worker": setup.name, "pid": os.getpid(), "host": os.uname().nodename}
    if setup.gpu is not None:
        info["gpu"] = setup.gpu
    return info


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment variables that numerical libraries read once, when they are loaded, as far as the user has
    not set them. A small model trains slower with two threads, and a worker has one core unless it is given more."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {name: os.environ.get(name, str(threads)) for name in names}


def _enter_process(setup: WorkerSetup) -> None:
    """Set up this process as a worker's: output to the log, few threads, Ctrl-C ignored; it ends when the driver's
    process does, with all that it started."""
    os.setpgid(0, 0)  # what it starts ends with it: the engine kills the group
    # The driver decides what Ctrl-C means. A handler that does nothing, since SIG_IGN is what a program would inherit.
    signal.signal(signal.SIGINT, _be_deaf)
    if setup.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = setup.gpu
    os.environ.update(thread_variables(setup.threads))
    if setup.log is not None:
        log_to(setup.log)
    if setup.memory is not None:
        # Data, not address space: Torch and CUDA reserve far more addresses than they use.
        resource.setrlimit(resource.RLIMIT_DATA, (setup.memory, setup.memory))
    if watched := lifelines():
        threading.Thread(target=_die_with, args=(watched,), daemon=True).start()


def _be_deaf(number: int, frame: object) -> None:
    pass


def _die_with(lifelines: list[int | Connection]) -> None:
    """End this process, and those that it started, when the driver's has ended, even in the middle of a long step."""
    wait(lifelines)
    os.killpg(0, signal.SIGKILL)
