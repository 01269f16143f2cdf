"""What has happened in an actor and was not told yet: one thread adds to it, another one takes it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from hpo.engines.ray.messages import ActorUpdate, Fact


class PendingUpdate:
    """Gathers facts until the engine asks for them. For use by several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._facts: list[Fact] = []
        self._idle = False
        self._told_idle = False  # what the last update said
        self._ended = False

    def add(self, facts: Sequence[Fact], idle: bool | None = None) -> None:
        """Add facts. idle: whether the worker can take an assignment; None: as before."""
        with self._changed:
            self._facts += facts
            if idle is not None:
                self._idle = idle
            if facts or self._idle != self._told_idle:
                self._changed.notify_all()

    def end(self) -> None:
        """Say that nothing more will happen."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def take(self, timeout: float) -> ActorUpdate:
        """Return all that has happened since the last call; wait up to `timeout` seconds for something."""
        with self._changed:
            self._changed.wait_for(lambda: self._facts or self._idle != self._told_idle or self._ended, timeout)
            facts, self._facts, self._told_idle = self._facts, [], self._idle
            return ActorUpdate(tuple(facts), self._idle, self._ended)
