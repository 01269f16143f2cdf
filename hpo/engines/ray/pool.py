"""The actors that there are."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from hpo.engines.ray.actor import WorkerActor
from hpo.engines.ray.compat import NODE_LABEL
from hpo.engines.ray.handle import ActorHandle
from hpo.engines.ray.messages import COLLECT, COMMANDS, ActorSetup, CloseCommand
from hpo.spec.grammar import RayEngineKeys

_GRACE = 10.0  # seconds that workers have to end by themselves


@functools.cache
def _actor_class() -> Any:
    import ray

    make_class: Any = ray.remote  # its stub knows no concurrency groups
    return make_class(concurrency_groups={COMMANDS: 1, COLLECT: 1})(WorkerActor)


class ActorPool:
    """Starts and ends actors, and finds the one that is meant."""

    def __init__(self, keys: RayEngineKeys, demand: Mapping[str, float]) -> None:
        """demand: what an actor takes of a node, by Ray's names."""
        self.actors: list[ActorHandle] = []
        self._keys = keys
        self._demand = demand
        self._numbers_free: list[int] = []  # of workers that are gone, for those that follow
        self._next_number = 0

    def start_actor(self, setup: ActorSetup, excluded: Collection[str]) -> None:
        """Start another actor, wherever there is room but on the nodes `excluded`. It gets a number of its own."""
        number = self._numbers_free.pop(0) if self._numbers_free else self._next_number
        self._next_number = max(self._next_number, number + 1)
        where = {}
        if excluded:
            where = {"label_selector": {NODE_LABEL: f"!in({','.join(sorted(excluded))})"}}
        options = _actor_class().options(
            num_cpus=self._keys.cpus_per_worker,
            num_gpus=self._keys.gpus_per_worker,
            resources=dict(self._keys.resources) or None,
            memory=int(self._demand["memory"]) if "memory" in self._demand else None,
            scheduling_strategy="SPREAD",
            max_restarts=0,
            **where,
        )
        self.actors.append(ActorHandle(number, options.remote(replace(setup, number=number))))

    def end_actor(self, actor: ActorHandle) -> None:
        """Forget an actor and end it, with its worker."""
        import ray
        from ray.exceptions import RayError

        self.actors.remove(actor)
        self._numbers_free = sorted([*self._numbers_free, actor.number])
        with contextlib.suppress(RayError, RuntimeError):  # the cluster is gone
            ray.kill(actor.actor)

    def shrink(self, wanted: int) -> None:
        """End actors that still wait for room, until there are as many as wanted, or none that wait."""
        waiting = [actor for actor in self.actors if not actor.started]
        for actor in waiting[: max(0, len(self.actors) - wanted)]:
            self.end_actor(actor)

    def idle(self, doubtful: Collection[str]) -> list[ActorHandle]:
        """Return the actors that can take an assignment; those of a node that may be broken only if there are no others
        that could show whether it is.

        doubtful: the nodes that may be broken.
        """
        idle = [actor for actor in self.actors if actor.idle and actor.assignment is None]
        if doubtful and any(actor.started and actor.node not in doubtful for actor in self.actors):
            return [actor for actor in idle if actor.started and actor.node not in doubtful]
        return idle

    def running(self, assignment: int) -> list[ActorHandle]:
        """Return the actor that has an assignment; none if it is gone."""
        return [actor for actor in self.actors if actor.runs(assignment)]

    def on_node(self, node: str) -> list[ActorHandle]:
        """Return the actors of a node."""
        return [actor for actor in self.actors if actor.started and actor.node == node]

    def wait(self, timeout: float) -> list[ActorHandle]:
        """Return the actors that have an update; wait up to `timeout` seconds for one."""
        import ray

        pending = {actor.pending: actor for actor in self.actors}
        if not pending:
            time.sleep(timeout)  # until nodes come
            return []
        ready, _ = ray.wait(list(pending), timeout=timeout)
        if ready and len(pending) > 1:
            ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0)
        return [pending[reference] for reference in ready]

    def close(self, at_once: bool) -> None:
        """Have all workers end, `at_once` even in the middle of a trial; then end the actors."""
        if not self.actors:
            return
        import ray
        from ray.exceptions import RayError

        with contextlib.suppress(RayError, RuntimeError):  # a cluster that is gone has nothing to end
            if ray.is_initialized():
                self._end_all(at_once)
        self.actors.clear()

    def _end_all(self, at_once: bool) -> None:
        import ray
        from ray.exceptions import RayError

        started = [actor for actor in self.actors if actor.started]
        for actor in started:
            actor.send(CloseCommand(at_once))
        ending = {actor.pending: actor for actor in started}
        deadline = time.monotonic() + _GRACE
        while ending and (left := deadline - time.monotonic()) > 0:
            for reference in ray.wait(list(ending), timeout=left)[0]:
                actor = ending.pop(reference)
                with contextlib.suppress(RayError):  # it is gone already
                    if not actor.receive().ended:
                        ending[actor.pending] = actor
        for actor in list(self.actors):
            self.end_actor(actor)
