"""The Ray engine: workers on the nodes of a Ray cluster, each in an actor of its own (hpo.engines.ray.actor).

Plain actors, not Ray Tune's trials: an actor holds its worker for the whole sweep, and its local engine replaces a
worker that dies without a new Ray process. The driver has one call pending at each actor, which returns all that has
gathered there.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hpo.engines.base import Artifact, Done, EngineError, Message, Note, TrialEvents
from hpo.engines.ray.checkpoints import write_checkpoint
from hpo.engines.ray.cluster import Cluster, check_room, demand_of, find_address
from hpo.engines.ray.files import SentData, complete, pack
from hpo.engines.ray.handle import ActorHandle
from hpo.engines.ray.messages import (
    ActorSetup,
    ArtifactContent,
    CannotRun,
    CheckpointContent,
    Fact,
    Location,
    MissingData,
)
from hpo.engines.ray.nodes import ClusterNodes
from hpo.engines.ray.outbox import Outbox
from hpo.engines.ray.pool import ActorPool
from hpo.engines.ray.supervisor import Supervisor
from hpo.engines.ray.versions import versions
from hpo.events import Assignment, Decision, Event, Failed, FailureKind, ReferenceMeasured, Response, Unread
from hpo.spec.faults import UserError
from hpo.spec.grammar import RayEngineKeys
from hpo.spec.named import Named
from hpo.spec.paths import absolute_program, absolute_reference


class RayEngine:
    """Runs assignments on a Ray cluster (hpo.engines.base.Engine): relays between the driver and the actors."""

    def __init__(
        self, objective: Named, keys: RayEngineKeys, trials: int, logs: Path, *, libraries: Sequence[str] = ()
    ) -> None:
        """trials: the most that can run at a time; logs: the folder for what workers print, where they can see it.

        libraries: the modules of slow libraries that workers need; each actor loads them once, before its worker.
        """
        folder = objective.folder
        self._setup = ActorSetup(
            number=0,
            objective=replace(
                objective,
                objective=objective.objective and absolute_reference(objective.objective, folder),
                program=objective.program and absolute_program(objective.program, folder),
            ),
            logs=logs.resolve(),
            driver_file=f".driver-{secrets.token_hex(8)}",
            versions={},
            memory_gb=keys.memory_gb,
            threads=max(1, round(keys.cpus_per_worker)),
            libraries=tuple(libraries),
        )
        self._keys = keys
        self._sent_data = SentData()
        demand = demand_of(keys)
        self._cluster = Cluster()
        self._outbox = Outbox()
        self._pool = ActorPool(keys, demand)
        self._nodes = ClusterNodes(self._cluster, demand)
        most = None if keys.workers == "auto" else keys.workers
        self._supervisor = Supervisor(self._pool, self._nodes, self._outbox, most, trials)

    @property
    def workers(self) -> int:
        return max(1, self._supervisor.wanted)

    def start(self) -> None:
        logs = self._setup.logs
        logs.mkdir(parents=True, exist_ok=True)
        for left in logs.glob(".driver-*"):  # of a driver that was killed
            left.unlink(missing_ok=True)
        (logs / self._setup.driver_file).touch()
        address = find_address(self._keys.address)
        if address is None:
            self._cluster.start_own()
        else:
            self._join(address)
        here = str(Path.cwd())
        path = tuple(entry or here for entry in sys.path)
        self._setup = replace(self._setup, versions=versions(), folder=Path(here), path=path)
        nodes = self._nodes.look()
        check_room(nodes, self._nodes.demand, self._keys)
        gpus = sum(node.resources.get("GPU", 0) for node in nodes)
        if gpus and not self._keys.gpus_per_worker:
            self._outbox.note(f"the Ray cluster has {gpus:g} GPUs; engine.gpus_per_worker is 0, so none is used")
        if self._keys.files and address is None:
            self._outbox.note("engine.files has no effect here: Ray runs on this machine only")
        self._supervisor.start(self._setup)

    def _join(self, address: str) -> None:
        """Connect to a cluster that runs, with the code that its workers need."""
        objective = complete(self._setup.objective)
        with tempfile.TemporaryDirectory(prefix="hpo-package-") as package:
            try:
                shipment = pack(objective, self._keys.files, Path(package))
            except UserError as error:
                raise EngineError(str(error)) from None
            self._cluster.join(address, package)  # which sends it
        self._setup = replace(self._setup, objective=objective, shipment=shipment)

    # What the driver asks for.

    def idle(self) -> int:
        return len(self._pool.idle(self._nodes.health.doubtful()))

    def submit(self, assignment: Assignment) -> None:
        idle = self._pool.idle(self._nodes.health.doubtful())
        if not idle:
            raise RuntimeError("there is no idle worker")
        idle[0].submit(assignment)

    def reply(self, assignment: int, decisions: Mapping[int, Response]) -> None:
        for actor in self._pool.running(assignment):
            actor.reply(assignment, decisions)

    def stop(self, numbers: Collection[int]) -> None:
        for actor in self._pool.actors:
            actor.tell(Decision.STOP, numbers)

    def pause(self, numbers: Collection[int]) -> None:
        for actor in self._pool.actors:
            actor.tell(Decision.PAUSE, numbers)

    def kill(self, assignment: int, reasons: Mapping[int, str]) -> bool:
        for actor in self._pool.running(assignment):
            actor.kill_worker(assignment, reasons)
        return True

    # What comes back.

    def poll(self, timeout: float) -> list[Message]:
        self._supervisor.follow_cluster(self._setup)
        for actor in self._pool.wait(0 if self._outbox else timeout):
            if actor in self._pool.actors:  # not ended for what another one told just now
                self._receive(actor)
        self._supervisor.quarantine_suspects()
        self._supervisor.give_up_silent()
        return self._outbox.take()

    def _receive(self, actor: ActorHandle) -> None:
        from ray.exceptions import RayError

        try:
            update = actor.receive()
        except RayError as error:
            self._supervisor.take_error(actor, error)
            return
        for fact in update.facts:
            if actor not in self._pool.actors:
                return  # it was ended: what it still says is not wanted
            self._take(actor, fact)
        actor.idle = update.idle
        if update.idle or actor.assignment is not None:
            self._supervisor.take_success()
        if update.ended and actor in self._pool.actors:
            self._supervisor.lose(actor, "its actor ended", FailureKind.DIED)

    def _take(self, actor: ActorHandle, fact: Fact) -> None:
        if isinstance(fact, TrialEvents):
            final = actor.end_trials(fact.events)
            self._nodes.health.take(actor.node, [event for event in final if not (actor.killed and _died(event))])
            self._outbox.add(fact)
        elif isinstance(fact, Done):
            actor.end_assignment()
            self._outbox.add(fact)
        elif isinstance(fact, Note) and not fact.warning:
            self._outbox.note(fact.text)  # each worker says the same of its data
        elif isinstance(fact, Note | Artifact | ReferenceMeasured | Unread):
            self._outbox.add(fact)
        elif isinstance(fact, CheckpointContent):
            self._keep_checkpoint(actor, fact)
        elif isinstance(fact, ArtifactContent):
            self._keep_artifact(fact)
        elif isinstance(fact, Location):
            actor.location = fact
            if fact.node in self._nodes.quarantined:
                self._pool.end_actor(actor)
        elif isinstance(fact, MissingData):
            self._send_data(actor, fact.paths)
        elif isinstance(fact, CannotRun):
            self._supervisor.reject(actor, fact.reason)

    def _keep_checkpoint(self, actor: ActorHandle, checkpoint: CheckpointContent) -> None:
        """Write a checkpoint, or weights, to the driver's disk, as long as its trial is not over."""
        trial = actor.unfinished_trial(checkpoint.number)
        if trial is None:
            return
        weights, what = trial.weights, "weights" if checkpoint.weights else "checkpoints"
        if path := (weights.file if weights is not None else "") if checkpoint.weights else trial.checkpoint:
            try:
                write_checkpoint(Path(path), checkpoint.content)
            except OSError as error:
                self._outbox.note(f"{what} can't be kept in {Path(path).parent}: {error}", warning=True)

    def _keep_artifact(self, artifact: ArtifactContent) -> None:
        """Write an artifact to the driver's disk, from where it goes to MLflow."""
        try:
            path = Path(tempfile.mkdtemp(prefix="hpo-artifact-"), Path(artifact.name).name)
            path.write_bytes(artifact.content)
        except OSError as error:
            self._outbox.note(f"files of trials can't be kept in {tempfile.gettempdir()}: {error}", warning=True)
        else:
            self._outbox.add(Artifact(artifact.number, artifact.name, str(path)))

    def _send_data(self, actor: ActorHandle, paths: Sequence[str]) -> None:
        assert self._setup.shipment is not None
        actor.send_data(self._sent_data.contents(paths, self._setup.shipment))

    # The end.

    def close(self, at_once: bool = False) -> None:
        self._pool.close(at_once)
        self._cluster.close()
        (self._setup.logs / self._setup.driver_file).unlink(missing_ok=True)


def _died(event: Event) -> bool:
    return isinstance(event, Failed) and event.kind is FailureKind.DIED
