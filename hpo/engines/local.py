"""The local engine: worker processes on this machine, or one thread in this process."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from hpo.engines.base import Artifact, Done, EngineError, Message, Note, TrialEvents, failed_with_worker
from hpo.engines.devices import cores, oom_kills, visible_gpus
from hpo.engines.early import WORKER_MODULE
from hpo.engines.worker import (
    NO_MEMORY,
    Attached,
    Broken,
    Idle,
    Ready,
    Reply,
    Sent,
    TrialOrder,
    WorkerSetup,
    run_worker,
    thread_variables,
)
from hpo.events import Assignment, Decision, FailureKind, ReferenceMeasured, Response, is_last
from hpo.forking import SERVER_DIED, ChildProcess, ForkServer
from hpo.output import trim
from hpo.spec.grammar import LocalEngineKeys
from hpo.spec.named import Named

_DEATHS_AT_START = 3  # workers in a row that die before they are ready: no use in starting more
_SECONDS_BETWEEN_TRIMS = 2.0
_SECONDS_BETWEEN_LOOKS = 0.2  # at whether a silent worker is alive
_GRACE = 5.0  # seconds that a worker has to end by itself


@dataclass
class _WorkerHandle:
    """The driver's side of one worker."""

    setup: WorkerSetup
    connection: Connection
    process: ChildProcess | threading.Thread
    ready: bool = False
    assignment: Assignment | None = None
    unfinished: set[int] = field(default_factory=set)
    killed: bool = False  # by the driver's order
    kill_reasons: Mapping[int, str] = field(default_factory=dict)  # by trial

    @property
    def child(self) -> ChildProcess | None:
        """Its process; None: it is a thread of this one."""
        return None if isinstance(self.process, threading.Thread) else self.process

    def waitables(self) -> list[Connection | int]:
        """Return what becomes readable when there is news; a process's end is news too."""
        return [self.connection, *([self.child.sentinel] if self.child is not None else [])]

    @property
    def dead(self) -> bool:
        return self.child is not None and not self.child.is_alive()

    def end_group(self) -> None:
        """Kill whatever the worker's process started and left behind."""
        if self.child is not None and (pid := self.child.pid) is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


def plan_workers(keys: LocalEngineKeys, trials: int) -> list[str | None]:
    """Return one entry a worker: the GPU that it uses, None for the CPU. [] means one worker in this process.

    Default: one a core, or `workers_per_gpu` a visible GPU; never more workers than trials.
    """
    gpus = visible_gpus()
    devices: list[str | None] = [*gpus] * keys.workers_per_gpu if gpus else [None] * cores()
    if keys.workers != "auto":
        devices = list(itertools.islice(itertools.cycle(devices), keys.workers))
    return devices[: max(1, trials)] if devices else []


class LocalEngine:
    """Runs assignments in processes of this machine (hpo.engines.base.Engine)."""

    def __init__(
        self,
        objective: Named,
        devices: Sequence[str | None],
        logs: Path,
        memory_gb: float | None = None,
        *,
        first: int = 0,
        threads: int = 1,
        server: ForkServer | None = None,
        libraries: Sequence[str] = (),
    ) -> None:
        """devices: the GPU of each worker, None for the CPU (`plan_workers`); logs: the folder for what workers print.

        first: the number in the name of the first worker; threads: with which each trains; libraries: the modules of
        slow libraries that workers need, loaded once for all of them; server: what workers are to be forks of, if that
        has begun; it is told of both, unless it was before.
        """
        self._objective = objective
        self._logs = logs
        self._memory = None if memory_gb is None else int(memory_gb * 2**30)
        self._first = first
        self._threads = threads
        self._server = server or ForkServer((WORKER_MODULE,), {})
        self._server.prepare(libraries, thread_variables(threads))
        self._server.log = logs / "workers.log"
        self._kills = oom_kills()
        self._trimmed = time.monotonic()
        self._looked = time.monotonic()
        self._in_process = not devices
        self._devices = list(devices) or [None]
        self._workers: list[_WorkerHandle] = []
        self._deaths_at_start = 0
        self._told_notes = False  # of the objective: each worker has the same

    @property
    def workers(self) -> int:
        return len(self._devices)

    def start(self) -> None:
        if not self._in_process:
            self._logs.mkdir(parents=True, exist_ok=True)
        self._workers = [self._spawn(index) for index in range(len(self._devices))]

    def _spawn(self, index: int) -> _WorkerHandle:
        name = f"worker-{self._first + index}"
        log = None if self._in_process else self._logs / f"{name}.log"
        memory = None if self._in_process else self._memory
        setup = WorkerSetup(
            self._objective, name, self._devices[index], log, memory, self._threads, own_process=not self._in_process
        )
        ours, theirs = multiprocessing.Pipe()
        process: ChildProcess | threading.Thread
        if self._in_process:
            process = threading.Thread(target=run_worker, args=(theirs, setup), name=name, daemon=True)
            process.start()
        else:
            process = self._server.start_process(run_worker, theirs, (setup,), name)
            theirs.close()  # so that the end of the process is the end of the pipe
        return _WorkerHandle(setup, ours, process)

    def idle(self) -> int:
        return sum(worker.ready and worker.assignment is None for worker in self._workers)

    def submit(self, assignment: Assignment) -> None:
        for worker in self._workers:
            if worker.ready and worker.assignment is None:
                worker.assignment = assignment
                worker.unfinished = {trial.number for trial in assignment.trials}
                self._send(worker, assignment)
                return
        raise RuntimeError("there is no idle worker")

    def waitables(self) -> list[Connection | int]:
        """Return what multiprocessing.connection.wait can wait for: one of it is ready when `poll` has something."""
        return [thing for worker in self._workers for thing in worker.waitables()]

    def poll(self, timeout: float) -> list[Message]:
        if time.monotonic() - self._trimmed > _SECONDS_BETWEEN_TRIMS:
            self._trimmed = time.monotonic()
            self._trim_logs()
        news = wait(self.waitables(), timeout)
        messages: list[Message] = []
        # A process that the objective started may hold a dead worker's end of the pipes, so that they say nothing.
        if look := time.monotonic() - self._looked > _SECONDS_BETWEEN_LOOKS:
            self._looked = time.monotonic()
        for index, worker in enumerate(self._workers):
            if (look and worker.dead) or any(thing in news for thing in worker.waitables()):
                messages += self._receive(index, worker)
        return messages

    def _receive(self, index: int, worker: _WorkerHandle) -> list[Message]:
        """Take one message of a worker, or all that it left if it has died."""
        messages: list[Message] = []
        try:
            dead = worker.dead
            if dead:
                worker.end_group()  # first: with another writer alive, half a message would be waited for
            while worker.connection.poll():
                messages += self._translate(worker, worker.connection.recv())
                if not dead:
                    return messages
            if not dead:
                return messages
        except (EOFError, OSError):
            pass  # its end of the pipe is gone, so it is too
        return [*messages, *self._replace(index, worker)]

    def _translate(self, worker: _WorkerHandle, message: object) -> list[Message]:
        if isinstance(message, Ready):
            worker.ready, self._deaths_at_start = True, 0
            if self._told_notes:
                return []
            self._told_notes = True
            self._objective = replace(self._objective, space=None)  # workers that come later need not look again
            unread = [message.unread] if message.unread is not None else []
            return [*(Note(note) for note in message.notes), *unread]
        if isinstance(message, Broken):
            raise EngineError(message.traceback or message.error)
        if isinstance(message, Attached):
            return [Artifact(message.number, message.name, message.path)]
        if isinstance(message, ReferenceMeasured):
            return [message]
        assert worker.assignment is not None
        if isinstance(message, Sent):
            worker.unfinished -= {event.number for event in message.events if is_last(event)}
            return [TrialEvents(worker.assignment.id, message.events, message.waiting)]
        assert isinstance(message, Idle), message
        done = Done(worker.assignment.id)
        worker.assignment = None
        return [done]

    def _replace(self, index: int, worker: _WorkerHandle) -> list[Message]:
        """Start a new worker in the place of a dead one; report the trials that were lost with it."""
        worker.connection.close()
        cause = _cause_of_death(worker.process)
        if not worker.ready:
            self._deaths_at_start += 1
            if self._deaths_at_start >= _DEATHS_AT_START:
                raise EngineError(f"workers die while they start: {cause}; see {worker.setup.log}")
        kind = FailureKind.DIED
        if (kills := oom_kills()) != self._kills:
            self._kills, kind = kills, FailureKind.OUT_OF_MEMORY
            cause += "; the system killed a process for want of memory"
        elif worker.child is not None and worker.child.exitcode == NO_MEMORY:
            kind, cause = FailureKind.OUT_OF_MEMORY, "its memory was spent (engine.memory_gb)"
        messages: list[Message] = []
        if worker.assignment is not None:
            info = {"worker": worker.setup.name}
            lost = failed_with_worker(worker.unfinished, f"WorkerDied: {cause}", kind, worker.kill_reasons, info)
            messages += [TrialEvents(worker.assignment.id, lost), Done(worker.assignment.id)]
        what = "was killed, since a trial took too long," if worker.killed else f"died ({cause})"
        messages.append(Note(f"{worker.setup.name} {what} and was replaced", warning=True))
        self._workers[index] = self._spawn(index)
        return messages

    def reply(self, assignment: int, decisions: Mapping[int, Response]) -> None:
        for worker in self._workers:
            if worker.assignment is not None and worker.assignment.id == assignment:
                self._send(worker, Reply(decisions))

    def stop(self, numbers: Collection[int]) -> None:
        self._order(Decision.STOP, numbers)

    def pause(self, numbers: Collection[int]) -> None:
        self._order(Decision.PAUSE, numbers)

    def _order(self, decision: Decision, numbers: Collection[int]) -> None:
        for worker in self._workers:
            if mine := worker.unfinished & set(numbers):
                self._send(worker, TrialOrder(decision, frozenset(mine)))

    def kill(self, assignment: int, reasons: Mapping[int, str]) -> bool:
        for worker in self._workers:
            if worker.assignment is not None and worker.assignment.id == assignment:
                if worker.child is None:
                    return False
                worker.kill_reasons, worker.killed = dict(reasons), True
                worker.child.kill()  # the next poll sees it, and replaces it
        return True

    def _send(self, worker: _WorkerHandle, message: object) -> None:
        with contextlib.suppress(OSError):  # it has died: the next poll sees that, and reports its trials as lost
            worker.connection.send(message)

    def close(self, at_once: bool = False) -> None:
        for worker in self._workers:
            if not at_once or worker.child is None:
                self._send(worker, None)
            elif worker.child.pid is not None:
                worker.child.terminate()
        if at_once:
            self._server.close(at_once)  # it may be loading still, with nobody to end yet
        deadline = time.monotonic() + _GRACE
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.child is not None and worker.child.is_alive():
                worker.child.kill()
                worker.child.join()
            worker.end_group()
            worker.connection.close()
        self._server.close(at_once=not self._workers)  # nobody waits for what it loads
        self._trim_logs()
        self._workers = []

    def _trim_logs(self) -> None:
        for worker in self._workers:
            if worker.setup.log is not None:
                trim(worker.setup.log)


def _cause_of_death(process: ChildProcess | threading.Thread) -> str:
    if isinstance(process, threading.Thread):
        return "its thread ended"
    process.join(_GRACE)
    code = process.exitcode
    if code is None:
        return "it closed its pipe"
    if code == SERVER_DIED:
        return "the process that starts workers died"
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (", perhaps out of memory" if name == "SIGKILL" else "")
    return f"exit code {code}"
