"""The work of an actor: what the engine orders is done by the local engine, and what that tells is told to it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from multiprocessing.connection import Connection, wait
from pathlib import Path

from hpo.engines.base import Artifact, Done, Message, TrialEvents, failed_with_worker
from hpo.engines.local import LocalEngine
from hpo.engines.ray.checkpoints import LocalCheckpoints
from hpo.engines.ray.messages import (
    ArtifactContent,
    CloseCommand,
    Command,
    Fact,
    KillCommand,
    ReplyCommand,
    SubmitCommand,
)
from hpo.engines.ray.updates import PendingUpdate
from hpo.engines.worker import TrialOrder
from hpo.events import Assignment, Decision, FailureKind

_SECONDS_BETWEEN_LOOKS = 1.0  # at a running trial's checkpoint
_POLLS_AT_ONCE = 100  # of the worker, before the engine is told and heard


class CommandLoop:
    """Obeys the engine's commands, and adds what follows to what the engine is told next."""

    def __init__(
        self, engine: LocalEngine, commands: Connection, update: PendingUpdate, checkpoints: LocalCheckpoints
    ) -> None:
        """engine: started, with one worker; commands: where they are received."""
        self._engine = engine
        self._commands = commands
        self._update = update
        self._checkpoints = checkpoints
        self._waiting: Assignment | None = None  # for the worker, which is just being replaced
        self._held: list[TrialOrder] = []  # for its trials, until it begins

    def run(self) -> bool:
        """Serve until told to close. Returns whether that must be at once."""
        while True:
            pause = _SECONDS_BETWEEN_LOOKS if self._checkpoints else None
            news = wait([self._commands, *self._engine.waitables()], pause)
            if self._commands in news:
                command: Command = self._commands.recv()
                if isinstance(command, CloseCommand):
                    return command.at_once
                self._obey(command)
            if self._waiting is not None and self._engine.idle():
                self._engine.submit(self._waiting)
                self._waiting = None
                while self._held:
                    self._obey(self._held.pop(0))
            messages: list[Message] = []
            for _ in range(_POLLS_AT_ONCE if len(news) > (self._commands in news) else 0):
                if not (more := self._engine.poll(0)):
                    break
                messages += more
            changed = self._checkpoints.changed()  # before the message that its trial is paused or finished
            idle = self._engine.idle() > 0 and self._waiting is None
            self._update.add([*changed, *(self._packed(message) for message in messages)], idle)

    def _obey(self, command: Command) -> None:
        engine = self._engine
        if isinstance(command, SubmitCommand):
            assignment = self._checkpoints.redirect(command.assignment, command.checkpoints)
            if engine.idle():
                engine.submit(assignment)
            else:
                self._waiting = assignment
        elif isinstance(command, ReplyCommand):
            engine.reply(command.assignment, command.decisions)
        elif isinstance(command, TrialOrder) and self._waiting is not None:
            self._held.append(command)
        elif isinstance(command, TrialOrder):
            (engine.stop if command.decision is Decision.STOP else engine.pause)(command.numbers)
        elif isinstance(command, KillCommand):
            if self._waiting is not None and self._waiting.id == command.assignment:
                self._update.add(_never_ran(self._waiting, command.reasons))
                self._waiting, self._held = None, []
            engine.kill(command.assignment, command.reasons)

    def _packed(self, message: Message) -> Fact:
        """Return a message as it can leave this machine."""
        if isinstance(message, Artifact):
            path = Path(message.path)
            content = path.read_bytes()
            shutil.rmtree(path.parent, ignore_errors=True)  # its temporary folder
            return ArtifactContent(message.number, message.name, content)
        if isinstance(message, Done):
            self._checkpoints.remove()
        return message


def _never_ran(assignment: Assignment, reasons: Mapping[int, str]) -> list[Message]:
    """Return how the trials end that are killed while they wait for a new worker."""
    numbers = [trial.number for trial in assignment.trials]
    error = "WorkerDied: it was killed before it began"
    failed = failed_with_worker(numbers, error, FailureKind.DIED, reasons, info={})
    return [TrialEvents(assignment.id, failed), Done(assignment.id)]
