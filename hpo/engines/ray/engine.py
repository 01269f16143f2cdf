"""The Ray engine: workers on the nodes of a Ray cluster, each in an actor of its own (hpo.engines.ray.actor).

Plain actors, not Ray Tune's trials: an actor holds its worker for the whole sweep, and its local engine replaces a
worker that dies without a new Ray process. The driver has one call pending at each actor, which returns all that has
gathered there.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hpo.engines.base import Artifact, Done, EngineError, Message, Note, Progress
from hpo.engines.ray.actor import (
    COLLECT,
    COMMANDS,
    Answer,
    Batch,
    Begun,
    Close,
    Host,
    HostSetup,
    Kept,
    Kill,
    Lacks,
    Produced,
    Submit,
    Unfit,
    versions,
)
from hpo.engines.ray.cluster import Cluster, Node, check_room, demand_of, find_address
from hpo.engines.ray.files import Shipment, complete, pack, read
from hpo.engines.ray.health import Health
from hpo.engines.worker import Order
from hpo.events import Assignment, Decision, Event, Failed, FailureKind, Reported
from hpo.spec.faults import UserError
from hpo.spec.grammar import RayEngineKeys
from hpo.spec.load import Named
from hpo.spec.paths import absolute_reference, resolve_path

_COLLECT_SECONDS = 5.0  # after which an actor answers even if nothing has happened
_SILENT_SECONDS = 30.0  # without an answer, after which an actor counts as lost
_SECONDS_BETWEEN_LOOKS = 2.0  # at the cluster's nodes
_AWAY = 2.0  # seconds between two polls: by then the driver itself stood still
_PATIENCE = 15.0  # seconds until the user is told what is waited for
_GRACE = 10.0  # seconds that workers have to end by themselves
_DEATHS_AT_START = 3  # actors in a row that die before any has begun: no use in starting more
_LONGEST_PAUSE = 60.0  # seconds until another actor is started where several died while they started


@dataclass
class _Host:
    """The driver's side of one actor."""

    number: int
    actor: Any
    pending: Any  # the reference that its next batch comes by
    heard: float
    begun: Begun | None = None
    idle: bool = False
    killed: bool = False  # its worker, by the driver's order
    assignment: Assignment | None = None
    unfinished: set[int] = field(default_factory=set)
    sentence: Mapping[int, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"worker-{self.number}"


class RayEngine:
    """Runs assignments on a Ray cluster (hpo.engines.base.Engine)."""

    def __init__(self, objective: Named, keys: RayEngineKeys, trials: int, logs: Path) -> None:
        """trials: the most that can run at a time; logs: the folder for what workers print, where they can see it."""
        folder = objective.folder
        self._objective = replace(
            objective,
            objective=objective.objective and absolute_reference(objective.objective, folder),
            program=objective.program and str(resolve_path(objective.program, folder).resolve()),
        )
        self._keys = keys
        self._trials = trials
        self._logs = logs.resolve()
        self._sign = f".driver-{secrets.token_hex(8)}"
        self._demand = demand_of(keys)
        self._cluster: Cluster | None = None
        self._shipment: Shipment | None = None
        self._class: Any = None
        self._hosts: list[_Host] = []
        self._free: list[int] = []  # numbers of workers that are gone, for those that follow
        self._next = 0
        self._queued: list[Message] = []  # for the next poll
        self._health = Health()
        self._deaths_at_start = 0  # since any worker last did something
        self._hire_after = 0.0
        self._ever_began = False
        self._noted: set[str] = set()
        self._data: dict[str, Any] = {}  # references into the object store
        self._looked = self._polled = self._waited = 0.0
        self._produced = Path()
        self._room = 1

    @property
    def workers(self) -> int:
        return max(1, self._wanted())

    def start(self) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        for left in self._logs.glob(".driver-*"):  # of a driver that was killed
            left.unlink(missing_ok=True)
        (self._logs / self._sign).touch()
        cluster = Cluster(find_address(self._keys.address))
        self._cluster = cluster
        if cluster.own:
            cluster.connect()
        else:
            self._objective = complete(self._objective)
            with tempfile.TemporaryDirectory(prefix="hpo-package-") as package:
                try:
                    self._shipment = pack(self._objective, self._keys.files, Path(package))
                except UserError as error:
                    raise EngineError(str(error)) from None
                cluster.connect(package)  # which sends it
        import ray

        make_class: Any = ray.remote  # its stub knows no concurrency groups
        self._class = make_class(concurrency_groups={COMMANDS: 1, COLLECT: 1})(Host)
        nodes = cluster.nodes()
        check_room(nodes, self._demand, self._keys)
        self._looked = self._polled = self._waited = time.monotonic()
        self._count(nodes)
        gpus = sum(node.resources.get("GPU", 0) for node in nodes)
        if gpus and not self._keys.gpus_per_worker:
            self._note(f"the Ray cluster has {gpus:g} GPUs; engine.gpus_per_worker is 0, so none is used")
        if self._keys.files and cluster.own:
            self._note("engine.files has no effect here: Ray runs on this machine only")
        self._employ()

    # Actors, as many as there is room for.

    def _wanted(self) -> int:
        """Return how many workers there should be."""
        most = self._room if self._keys.workers == "auto" else self._keys.workers
        return min(most, max(1, self._trials))

    def _count(self, nodes: Sequence[Node]) -> None:
        self._room = sum(node.room(self._demand) for node in nodes if node.id not in self._health.quarantined)

    def _employ(self) -> None:
        """Start actors until there are as many as wanted; let go of those that wait for room that is not there."""
        while len(self._hosts) < self._wanted() and time.monotonic() >= self._hire_after:
            self._hosts.append(self._hire())
        for host in [host for host in self._hosts if host.begun is None][: max(0, len(self._hosts) - self._wanted())]:
            self._dismiss(host)

    def _hire(self) -> _Host:
        import ray

        number = self._free.pop(0) if self._free else self._next
        self._next = max(self._next, number + 1)
        keys, where = self._keys, {}
        if self._health.quarantined:
            where = {"label_selector": {"ray.io/node-id": f"!in({','.join(sorted(self._health.quarantined))})"}}
        setup = HostSetup(
            number,
            self._objective,
            self._logs,
            self._sign,
            versions(),
            keys.memory_gb,
            max(1, round(keys.cpus_per_worker)),
            self._shipment,
            Path.cwd(),
            _path(),
        )
        actor = self._class.options(
            num_cpus=keys.cpus_per_worker,
            num_gpus=keys.gpus_per_worker,
            resources=dict(keys.resources) or None,
            memory=int(self._demand["memory"]) if "memory" in self._demand else None,
            scheduling_strategy="SPREAD",
            max_restarts=0,
            **where,
        ).remote(setup)
        assert ray.is_initialized()
        return _Host(number, actor, _next_batch(actor), time.monotonic())

    def _dismiss(self, host: _Host) -> None:
        """Forget an actor and end it, with its worker."""
        import ray
        from ray.exceptions import RayError

        self._hosts.remove(host)
        self._free = sorted([*self._free, host.number])
        with contextlib.suppress(RayError, RuntimeError):  # the cluster is gone
            ray.kill(host.actor)

    # What the driver asks for.

    def idle(self) -> int:
        return len(self._idle_hosts())

    def _idle_hosts(self) -> list[_Host]:
        """Return the hosts that can take an assignment; those of a node that may be broken only if there are no others
        that could show whether it is."""
        idle = [host for host in self._hosts if host.idle and host.assignment is None]
        doubtful = self._health.doubtful()
        if doubtful and any(host.begun is not None and host.begun.node not in doubtful for host in self._hosts):
            return [host for host in idle if host.begun is not None and host.begun.node not in doubtful]
        return idle

    def submit(self, assignment: Assignment) -> None:
        idle = self._idle_hosts()
        if not idle:
            raise RuntimeError("there is no idle worker")
        host = idle[0]
        host.assignment, host.idle, host.sentence, host.killed = assignment, False, {}, False
        host.unfinished = {trial.number for trial in assignment.trials}
        self._order(host, Submit(assignment, _kept_before(assignment)))

    def reply(self, assignment: int, decisions: Mapping[int, Decision]) -> None:
        for host in self._with(assignment):
            self._order(host, Answer(assignment, decisions))

    def stop(self, numbers: Collection[int]) -> None:
        self._tell(Decision.STOP, numbers)

    def pause(self, numbers: Collection[int]) -> None:
        self._tell(Decision.PAUSE, numbers)

    def _tell(self, decision: Decision, numbers: Collection[int]) -> None:
        for host in self._hosts:
            if mine := host.unfinished & set(numbers):
                self._order(host, Order(decision, frozenset(mine)))

    def kill(self, assignment: int, reasons: Mapping[int, str]) -> bool:
        for host in self._with(assignment):
            host.sentence, host.killed = dict(reasons), True
            self._order(host, Kill(assignment, reasons))
        return True

    def _with(self, assignment: int) -> list[_Host]:
        return [host for host in self._hosts if host.assignment is not None and host.assignment.id == assignment]

    def _order(self, host: _Host, command: object) -> None:
        host.actor.order.options(concurrency_group=COMMANDS).remote(command)  # if it is gone, the next poll sees that

    # What comes back.

    def poll(self, timeout: float) -> list[Message]:
        import ray

        self._look_at_cluster()
        pending = {host.pending: host for host in self._hosts}
        ready: list[Any] = []
        if pending:
            ready, _ = ray.wait(list(pending), timeout=0 if self._queued else timeout)
            if ready and len(pending) > 1:
                ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0)
        else:
            time.sleep(timeout)  # until nodes come
        for reference in ready:
            if pending[reference] in self._hosts:  # not let go of for what another one told just now
                self._receive(pending[reference])
        for node, reason in self._health.suspects():
            if self._room_elsewhere(node):
                self._quarantine(node, reason)
        self._miss_the_silent()
        messages, self._queued = self._queued, []
        return messages

    def _receive(self, host: _Host) -> None:
        import ray
        from ray.exceptions import RayError, RuntimeEnvSetupError

        try:
            batch: Batch = ray.get(host.pending)
        except RayError as error:
            if isinstance(error, RuntimeEnvSetupError) and not self._ever_began:
                reason = " ".join(str(error).split())
                raise EngineError(f"the workers' files could not be set up: {reason}") from None
            self._lose(host, *_cause(error))
            return
        host.heard = time.monotonic()
        if not batch.over:
            host.pending = _next_batch(host.actor)
        for item in batch.items:
            if host not in self._hosts:
                return  # it was let go of: what it still says is not wanted
            self._take(host, item)
        host.idle = batch.idle
        if batch.idle or host.assignment is not None:
            self._deaths_at_start, self._ever_began = 0, True
        if batch.over and host in self._hosts:
            self._lose(host, "its actor ended", FailureKind.DIED)

    def _take(self, host: _Host, item: object) -> None:
        if isinstance(item, Progress):
            ended = [event for event in item.events if not isinstance(event, Reported)]
            host.unfinished -= {event.number for event in ended}
            assert host.begun is not None
            self._health.take(host.begun.node, [event for event in ended if not (host.killed and _died(event))])
            self._queued.append(item)
        elif isinstance(item, Done):
            host.assignment, host.unfinished, host.sentence = None, set(), {}
            self._queued.append(item)
        elif isinstance(item, Note):
            if item.warning:
                self._queued.append(item)
            else:
                self._note(item.text)
        elif isinstance(item, Kept):
            self._keep(host, item)
        elif isinstance(item, Produced):
            self._produce(item)
        elif isinstance(item, Begun):
            host.begun = item
            if item.node in self._health.quarantined:
                self._dismiss(host)
        elif isinstance(item, Lacks):
            self._send_data(host, item.paths)
        elif isinstance(item, Unfit):
            self._take_unfit(host, item.reason)

    def _note(self, text: str, warning: bool = False) -> None:
        """Tell the user something, once however many workers say it."""
        if text not in self._noted:
            self._noted.add(text)
            self._queued.append(Note(text, warning))

    def _warn(self, text: str) -> None:
        self._note(text, warning=True)

    def _keep(self, host: _Host, kept: Kept) -> None:
        """Write a checkpoint to the driver's disk, as long as its trial is not over."""
        if host.assignment is None or kept.number not in host.unfinished:
            return
        for trial in host.assignment.trials:
            if trial.number == kept.number and trial.checkpoint:
                path = Path(trial.checkpoint)
                draft = path.with_name(f"{path.name}.ray")
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    draft.write_bytes(kept.content)
                    draft.replace(path)
                except OSError as error:
                    draft.unlink(missing_ok=True)
                    self._warn(f"checkpoints can't be kept in {path.parent}: {error}")

    def _produce(self, produced: Produced) -> None:
        """Write an artefact to the driver's disk, from where it goes to MLflow."""
        name = Path(produced.name).name
        try:
            folder = Path(tempfile.mkdtemp(prefix="hpo-artifact-"))
            (folder / name).write_bytes(produced.content)
        except OSError as error:
            self._warn(f"files of trials can't be kept in {tempfile.gettempdir()}: {error}")
        else:
            self._queued.append(Artifact(produced.number, produced.name, str(folder / name)))

    def _send_data(self, host: _Host, paths: Sequence[str]) -> None:
        import ray

        assert self._shipment is not None
        for path in paths:
            if path not in self._data:
                try:
                    self._data[path] = ray.put(read(path, self._shipment.data[path]))
                except OSError as error:
                    raise EngineError(f"{path} can't be sent to the workers: {error}") from None
        sent = {path: [self._data[path]] for path in paths}  # in a list: a reference, not its content
        host.actor.take_data.options(concurrency_group=COMMANDS).remote(sent)

    # What goes wrong.

    def _take_unfit(self, host: _Host, reason: str) -> None:
        """No trial can run in this actor: nowhere, or only on its node."""
        node = host.begun.node if host.begun is not None else ""
        if not node or not self._room_elsewhere(node):
            raise EngineError(reason)
        self._quarantine(node, reason)

    def _room_elsewhere(self, node: str) -> bool:
        assert self._cluster is not None
        bad = {*self._health.quarantined, node}
        return any(other.room(self._demand) for other in self._cluster.nodes() if other.id not in bad)

    def _quarantine(self, node: str, reason: str) -> None:
        """Use a node no more: end its workers, whose trials run again elsewhere."""
        self._health.quarantined.add(node)
        mine = [host for host in self._hosts if host.begun is not None and host.begun.node == node]
        begun = mine[0].begun if mine else None
        name = f"{begun.host} ({begun.address})" if begun is not None else node
        self._queued.append(Note(f"node {name} is used no more: {reason}", warning=True, lasting=True))
        for host in mine:
            self._lose(host, "its node is used no more", FailureKind.LOST, told=True)
        self._looked = 0.0  # room is counted anew

    def _lose(self, host: _Host, cause: str, kind: FailureKind, told: bool = False) -> None:
        """Report the trials of an actor that is gone; another takes its place if there is room."""
        where = f" on {host.begun.host} ({host.begun.address})" if host.begun is not None else ""
        if not told and (host.begun is None or not self._ever_began):
            self._deaths_at_start += 1
            if self._deaths_at_start >= _DEATHS_AT_START and not self._ever_began:
                raise EngineError(f"workers die while they start: {cause}{where}")
            self._hire_after = time.monotonic() + min(_LONGEST_PAUSE, 2.0**self._deaths_at_start)
        if host.assignment is not None:
            info = {"worker": host.name, **({"host": host.begun.host} if host.begun is not None else {})}
            lost = [
                Failed(number, host.sentence[number], kind=FailureKind.TIMEOUT, info=info)
                if number in host.sentence
                else Failed(number, f"WorkerLost: {cause}{where}", kind=kind, info=info)
                for number in sorted(host.unfinished)
            ]
            self._queued += [Progress(host.assignment.id, lost), Done(host.assignment.id)]
        if not told:
            self._queued.append(Note(f"{host.name}{where} was lost: {cause}", warning=True))
        self._dismiss(host)
        self._looked = 0.0

    def _look_at_cluster(self) -> None:
        """Follow a cluster that grows or shrinks, and nodes that do badly."""
        now = time.monotonic()
        if now - self._looked < _SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        assert self._cluster is not None
        nodes = self._cluster.nodes()
        alive = {node.id for node in nodes}
        for host in list(self._hosts):
            if host.begun is not None and host.begun.node not in alive:
                self._lose(host, "its node is gone", FailureKind.LOST)
        self._count(nodes)
        self._employ()
        self._looked = now
        if any(host.begun is not None for host in self._hosts):
            self._waited = now
        elif now - self._waited > _PATIENCE:
            self._waited = now
            able = [node for node in nodes if node.room(self._demand)]
            if able and all(node.id in self._health.quarantined for node in able):  # not only busy with other jobs
                named = ", ".join(node.address for node in able)
                self._warn(f"only nodes that were used no more are left, and are used again: {named}")
                self._health.quarantined.clear()
                self._looked = 0.0
                return
            wanted = ", ".join(f"{name} {amount:g}" for name, amount in self._demand.items())
            self._note(f"waiting for the Ray cluster: none of its nodes has room for a worker now ({wanted})")

    def _miss_the_silent(self) -> None:
        """Give up actors that don't answer: their machine is out of reach, or hangs."""
        import ray

        now = time.monotonic()
        away, self._polled = now - self._polled, now
        for host in list(self._hosts):
            if away > _AWAY:
                host.heard += away
            if host.begun is None or now - host.heard <= _SILENT_SECONDS:
                continue
            if ray.wait([host.pending], timeout=0, fetch_local=False)[0]:  # it has answered: a large one is on its way
                host.heard = now
            else:
                self._lose(host, f"no answer for {_SILENT_SECONDS:.0f} s", FailureKind.LOST)

    # The end.

    def close(self, at_once: bool = False) -> None:
        if self._cluster is None:
            self._tidy()
            return
        import ray
        from ray.exceptions import RayError

        with contextlib.suppress(RayError, RuntimeError):  # a cluster that is gone has nothing to end
            if ray.is_initialized():
                self._end_hosts(at_once)
        self._hosts = []
        self._cluster.close()
        self._cluster = None
        self._tidy()

    def _end_hosts(self, at_once: bool) -> None:
        import ray
        from ray.exceptions import RayError

        for host in self._hosts:
            if host.begun is not None:
                self._order(host, Close(at_once))
        open_hosts = {host.pending: host for host in self._hosts if host.begun is not None}
        deadline = time.monotonic() + _GRACE
        while open_hosts and (left := deadline - time.monotonic()) > 0:
            for reference in ray.wait(list(open_hosts), timeout=left)[0]:
                host = open_hosts.pop(reference)
                with contextlib.suppress(RayError):
                    if not ray.get(reference).over:
                        host.pending = _next_batch(host.actor)
                        open_hosts[host.pending] = host
        for host in list(self._hosts):
            self._dismiss(host)

    def _tidy(self) -> None:
        (self._logs / self._sign).unlink(missing_ok=True)


def _died(event: Event) -> bool:
    return isinstance(event, Failed) and event.kind is FailureKind.DIED


def _next_batch(actor: Any) -> Any:
    return actor.collect.options(concurrency_group=COLLECT).remote(_COLLECT_SECONDS)


def _path() -> tuple[str, ...]:
    """Return where this process imports from."""
    return tuple(entry or str(Path.cwd()) for entry in sys.path)


def _kept_before(assignment: Assignment) -> dict[int, bytes]:
    """Return the checkpoints from which the trials of an assignment go on."""
    kept = {}
    for trial in assignment.trials:
        with contextlib.suppress(FileNotFoundError):
            if trial.checkpoint:
                kept[trial.number] = Path(trial.checkpoint).read_bytes()
    return kept


def _cause(error: Exception) -> tuple[str, FailureKind]:
    """Return why an actor is gone, and whose fault that is."""
    from ray.exceptions import OutOfMemoryError, RuntimeEnvSetupError

    text = " ".join(str(error).split())
    if isinstance(error, RuntimeEnvSetupError):
        return f"its files could not be set up: {text}", FailureKind.LOST
    if isinstance(error, OutOfMemoryError) or ("memory" in text.lower() and "oom" in text.lower()):
        return "Ray ended it for want of memory on its node", FailureKind.OUT_OF_MEMORY
    if "node" in text.lower() and "died" in text.lower() and "Node Id" in text:
        return "its node is gone", FailureKind.LOST
    return f"{type(error).__name__}: {text[:300]}", FailureKind.LOST
