"""The driver's side of one actor."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from hpo.engines.base import Done, Message, TrialEvents, failed_with_worker
from hpo.engines.ray.checkpoints import read_checkpoints
from hpo.engines.ray.copies import SentContent
from hpo.engines.ray.messages import (
    COLLECT,
    COMMANDS,
    ActorUpdate,
    Command,
    KillCommand,
    Location,
    ReplyCommand,
    SubmitCommand,
)
from hpo.engines.worker import TrialOrder
from hpo.events import Assignment, Decision, Event, FailureKind, Response, TrialSpec, is_last

_COLLECT_SECONDS = 5.0  # after which an actor answers even if nothing has happened


class ActorHandle:
    """Knows what an actor was given and what it last said. One call is pending at it, which returns its next update."""

    def __init__(self, number: int, actor: Any) -> None:
        """number: of its worker; actor: as Ray returns it."""
        self.number = number
        self.actor = actor
        self.location: Location | None = None  # None: it has not started
        self.idle = False
        self.last_heard = time.monotonic()
        self.assignment: Assignment | None = None
        self.unfinished: set[int] = set()  # trials of the assignment without a final event
        self.killed = False  # its worker, by the driver's order
        self._kill_reasons: Mapping[int, str] = {}
        self.pending: Any = None  # the reference that its next update comes by
        self.request_update()

    @property
    def started(self) -> bool:
        """Whether it has a place on some node and has said so."""
        return self.location is not None

    @property
    def node(self) -> str:
        """The id of its node; "" as long as that is not known."""
        return self.location.node if self.location is not None else ""

    @property
    def where(self) -> str:
        """Where it runs, to be put behind something in a message; "" as long as that is not known."""
        return f" on {self.location.host} ({self.location.address})" if self.location is not None else ""

    @property
    def worker(self) -> str:
        """The name of its worker."""
        return f"worker-{self.number}"

    def request_update(self) -> None:
        """Ask for what happens next."""
        self.pending = self.actor.collect.options(concurrency_group=COLLECT).remote(_COLLECT_SECONDS)

    def receive(self) -> ActorUpdate:
        """Return the update that has come, and ask for the next one. Raises RayError if the actor is gone."""
        import ray

        update: ActorUpdate = ray.get(self.pending)
        self.last_heard = time.monotonic()
        if not update.ended:
            self.request_update()
        return update

    def has_answered(self) -> bool:
        """Whether its next update is there, or on its way from its node."""
        import ray

        return bool(ray.wait([self.pending], timeout=0, fetch_local=False)[0])

    def send(self, command: Command) -> None:
        """Hand over a command. If the actor is gone, its next update says so."""
        self.actor.order.options(concurrency_group=COMMANDS).remote(command)

    def send_data(self, contents: Mapping[str, SentContent]) -> None:
        """Hand over the data that its machine lacks."""
        self.actor.take_data.options(concurrency_group=COMMANDS).remote(contents)

    def submit(self, assignment: Assignment) -> None:
        """Give it an assignment."""
        self.assignment, self.idle, self.killed, self._kill_reasons = assignment, False, False, {}
        self.unfinished = {trial.number for trial in assignment.trials}
        self.send(SubmitCommand(assignment, read_checkpoints(assignment)))

    def runs(self, assignment: int) -> bool:
        """Whether it has that assignment."""
        return self.assignment is not None and self.assignment.id == assignment

    def reply(self, assignment: int, decisions: Mapping[int, Response]) -> None:
        """Answer the reports at which its assignment waits."""
        self.send(ReplyCommand(assignment, decisions))

    def tell(self, decision: Decision, numbers: Iterable[int]) -> None:
        """Tell those of the trials that run here to stop or to pause."""
        if mine := self.unfinished & set(numbers):
            self.send(TrialOrder(decision, frozenset(mine)))

    def kill_worker(self, assignment: int, reasons: Mapping[int, str]) -> None:
        """Have its worker process killed and replaced (hpo.engines.base.Engine.kill)."""
        self.killed, self._kill_reasons = True, dict(reasons)
        self.send(KillCommand(assignment, reasons))

    def end_trials(self, events: Iterable[Event]) -> list[Event]:
        """Take in events of its trials; return the final ones."""
        final: list[Event] = [event for event in events if is_last(event)]
        self.unfinished -= {event.number for event in final}
        return final

    def end_assignment(self) -> None:
        """Take in that its assignment is over."""
        self.assignment, self.unfinished, self._kill_reasons = None, set(), {}

    def unfinished_trial(self, number: int) -> TrialSpec | None:
        """Return a trial that runs here; None if it does not, or not any more."""
        trials = self.assignment.trials if self.assignment is not None else ()
        return next((trial for trial in trials if trial.number == number and number in self.unfinished), None)

    def lost_messages(self, cause: str, kind: FailureKind) -> list[Message]:
        """Return what the driver is told of its assignment when it is gone."""
        if self.assignment is None:
            return []
        info = {"worker": self.worker, **({"host": self.location.host} if self.location is not None else {})}
        error = f"WorkerLost: {cause}{self.where}"
        failed = failed_with_worker(self.unfinished, error, kind, self._kill_reasons, info)
        return [TrialEvents(self.assignment.id, failed), Done(self.assignment.id)]
