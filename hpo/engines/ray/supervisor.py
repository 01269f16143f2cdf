"""What happens to actors and nodes: they come, are lost, don't answer or do badly."""

from __future__ import annotations

import time
from collections.abc import Sequence

from hpo.engines.base import EngineError, Note
from hpo.engines.ray.cluster import Node
from hpo.engines.ray.compat import NODE_DIED
from hpo.engines.ray.handle import ActorHandle
from hpo.engines.ray.messages import ActorSetup
from hpo.engines.ray.nodes import ClusterNodes
from hpo.engines.ray.outbox import Outbox
from hpo.engines.ray.pool import ActorPool
from hpo.engines.ray.starts import StartFailures
from hpo.events import FailureKind

_SILENT_SECONDS = 30.0  # without an answer, after which an actor counts as lost
_AWAY = 2.0  # seconds between two checks: by then the driver itself stood still
_PATIENCE = 15.0  # seconds without any actor until the user is told what is waited for


class Supervisor:
    """Keeps as many actors as are wanted, and gives up those that are lost, whose trials it reports."""

    def __init__(self, pool: ActorPool, nodes: ClusterNodes, outbox: Outbox, most: int | None, trials: int) -> None:
        """most: actors; None: as many as there is room for. trials: the most that can run at a time."""
        self._pool = pool
        self._nodes = nodes
        self._outbox = outbox
        self._most = most
        self._trials = max(1, trials)
        self._starts = StartFailures()
        self._excused: dict[str, set[ActorHandle]] = {}  # nodes where trials could not run, with the actors of then
        self._checked = time.monotonic()  # when it last looked for silent actors
        self._had_actors = time.monotonic()  # when there last were any, or it was said that there are none

    @property
    def wanted(self) -> int:
        """How many actors there should be now."""
        return min(self._nodes.room if self._most is None else self._most, self._trials)

    def start(self, setup: ActorSetup) -> None:
        """Start the first actors."""
        self._checked = self._had_actors = time.monotonic()
        self._fill(setup)

    def follow_cluster(self, setup: ActorSetup) -> None:
        """Give up actors whose node is gone; start and end actors as there is room. setup: for new ones."""
        if not self._nodes.is_due():
            return
        nodes = self._nodes.look()
        alive = {node.id for node in nodes}
        for actor in list(self._pool.actors):
            if actor.started and actor.node not in alive:
                self.lose(actor, "its node is gone", FailureKind.LOST)
        self._fill(setup)
        now = time.monotonic()
        if any(actor.started for actor in self._pool.actors):
            self._had_actors = now
        elif now - self._had_actors > _PATIENCE:
            self._had_actors = now
            self._wait_for_room(nodes)

    def _fill(self, setup: ActorSetup) -> None:
        """Start actors until there are as many as wanted; end those that wait for room that is not there."""
        while len(self._pool.actors) < self.wanted and self._starts.may_start():
            self._pool.start_actor(setup, self._nodes.quarantined)
        self._pool.shrink(self.wanted)

    def _wait_for_room(self, nodes: Sequence[Node]) -> None:
        """Say what is waited for; if only nodes are left that were used no more, use them again."""
        if left := self._nodes.only_quarantined(nodes):  # not only busy with other jobs
            named = ", ".join(node.address for node in left)
            self._outbox.note(f"only nodes that were used no more are left, and are used again: {named}", warning=True)
            self._nodes.quarantined.clear()
            self._nodes.look_soon()
        else:
            wanted = ", ".join(f"{name} {amount:g}" for name, amount in self._nodes.demand.items())
            self._outbox.note(f"waiting for the Ray cluster: none of its nodes has room for a worker now ({wanted})")

    def take_success(self) -> None:
        """Take in that an actor works."""
        self._starts.take_success()

    def take_error(self, actor: ActorHandle, error: Exception) -> None:
        """Take in Ray's error in place of an actor's update. Raises EngineError if no actor can start at all."""
        from ray.exceptions import OutOfMemoryError, RuntimeEnvSetupError

        text = " ".join(str(error).split())
        if isinstance(error, RuntimeEnvSetupError):
            if not self._starts.any_worked:
                raise EngineError(f"the workers' files could not be set up: {text}") from None
            self.lose(actor, f"its files could not be set up: {text}", FailureKind.LOST)
        elif isinstance(error, OutOfMemoryError):
            self.lose(actor, "Ray ended it for want of memory on its node", FailureKind.OUT_OF_MEMORY)
        else:
            cause = "its node is gone" if NODE_DIED in text else f"{type(error).__name__}: {text[:300]}"
            self.lose(actor, cause, FailureKind.LOST)

    def lose(self, actor: ActorHandle, cause: str, kind: FailureKind, told: bool = False) -> None:
        """Report the trials of an actor that is gone, and end it; another takes its place if there is room.

        told: the user knows already, and it is no fault of the actor's. Raises EngineError if actors keep dying while
        they start.
        """
        if not told and not (actor.started and self._starts.any_worked):
            self._starts.take_failure(cause + actor.where)
        self._outbox.add(*actor.lost_messages(cause, kind))
        if not told:
            self._outbox.add(Note(f"{actor.worker}{actor.where} was lost: {cause}", warning=True))
        self._pool.end_actor(actor)
        self._nodes.look_soon()

    def give_up_silent(self) -> None:
        """Give up actors that don't answer: their machine is out of reach, or hangs."""
        now = time.monotonic()
        away, self._checked = now - self._checked, now
        for actor in list(self._pool.actors):
            if away > _AWAY:
                actor.last_heard += away
            if not actor.started or now - actor.last_heard <= _SILENT_SECONDS:
                continue
            if actor.has_answered():  # a large update is on its way
                actor.last_heard = now
            else:
                self.lose(actor, f"no answer for {_SILENT_SECONDS:.0f} s", FailureKind.LOST)

    def reject(self, actor: ActorHandle, reason: str) -> None:
        """Take in that no trial can run in an actor: nowhere, which raises EngineError, or only not on its node.

        What keeps one actor from it may be over for the next (a full disk, a file that another process was writing): so
        a node is used no more only if an actor that was started there afterwards can't run trials, either.
        """
        if not actor.started or not self._nodes.has_room_without(actor.node):
            raise EngineError(reason)
        if actor.node not in self._excused:
            self._excused[actor.node] = set(self._pool.on_node(actor.node))
        if actor in self._excused[actor.node]:
            last = reason.strip().splitlines()[-1]
            self._outbox.add(
                Note(f"{actor.worker}{actor.where} can't run trials: {last}; another is tried", warning=True)
            )
            self.lose(actor, "it can't run trials", FailureKind.LOST, told=True)
        else:
            self._quarantine(actor.node, reason)

    def quarantine_suspects(self) -> None:
        """Use nodes no more on which trials fail that succeed elsewhere, if there are others."""
        for node, reason in self._nodes.health.suspects():
            if self._nodes.has_room_without(node):
                self._quarantine(node, reason)

    def _quarantine(self, node: str, reason: str) -> None:
        """Use a node no more: end its actors, whose trials run again elsewhere."""
        self._nodes.quarantined.add(node)
        actors = self._pool.on_node(node)
        location = actors[0].location if actors else None
        name = f"{location.host} ({location.address})" if location is not None else node
        self._outbox.add(Note(f"node {name} is used no more: {reason}", warning=True, lasting=True))
        for actor in actors:
            self.lose(actor, "its node is used no more", FailureKind.LOST, told=True)
        self._nodes.look_soon()
