"""The inside of a Ray actor: a local engine with one worker, and the line from it to the driver's RayEngine.

The actor itself imports little and trains nothing, so it starts fast and outlives whatever an objective does to its
worker. One thread owns the local engine; Ray's threads hand it the driver's commands and take what has happened.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from hpo.engines.base import Artifact, Done, EngineError, Message, Progress
from hpo.engines.local import LocalEngine
from hpo.engines.ray.files import Shipment, lacking, unpack, with_paths
from hpo.engines.worker import Order
from hpo.events import Assignment, Decision, Failed, FailureKind, TrialSpec
from hpo.spec.faults import UserError
from hpo.spec.load import Named

COMMANDS, COLLECT = "commands", "collect"  # concurrency groups: what goes to the actor keeps its order
_LOOK = 1.0  # seconds between looks at a running trial's checkpoint
_POLLS_AT_ONCE = 100  # of the worker, before the driver is told and heard
_COMPARED = ("torch", "numpy", "optuna", "scikit-learn", "pandas")


@dataclass(frozen=True)
class HostSetup:
    """What an actor is given. Picklable."""

    number: int  # of its worker
    objective: Named
    logs: Path  # the driver's folder for what workers print
    sign: str  # a file in it: an actor that sees it shares the driver's disk
    versions: Mapping[str, str]  # the driver's
    memory_gb: float | None = None
    threads: int = 1
    shipment: Shipment | None = None  # None: this is the driver's own machine
    folder: Path = Path()  # the driver's working directory
    path: tuple[str, ...] = ()  # and its sys.path


# What an actor tells, besides the messages of its local engine.
@dataclass(frozen=True)
class Begun:
    """Where it runs."""

    node: str
    address: str  # of the node
    host: str
    gpus: str  # CUDA_VISIBLE_DEVICES
    log: Path


@dataclass(frozen=True)
class Unfit:
    """No trial can run here."""

    reason: str


@dataclass(frozen=True)
class Lacks:
    """Data that is not on this machine, by its path on the driver's."""

    paths: tuple[str, ...]


@dataclass(frozen=True)
class Kept:
    """A trial's checkpoint."""

    number: int
    content: bytes


@dataclass(frozen=True)
class Produced:
    """The file of an artifact."""

    number: int
    name: str
    content: bytes


@dataclass(frozen=True)
class Batch:
    """All that happened since the last one. idle: the worker can take an assignment; over: the actor serves no more."""

    items: tuple[object, ...]
    idle: bool
    over: bool


# What the driver orders, besides worker.Order.
@dataclass(frozen=True)
class Submit:
    assignment: Assignment
    checkpoints: Mapping[int, bytes] = field(default_factory=dict)  # to go on from, by trial


@dataclass(frozen=True)
class Answer:
    assignment: int
    decisions: Mapping[int, Decision]


@dataclass(frozen=True)
class Kill:
    assignment: int
    reasons: Mapping[int, str]


@dataclass(frozen=True)
class Close:
    at_once: bool


def versions() -> dict[str, str]:
    """Return what must be the same for driver and workers, read without importing it."""
    found = {"Python": ".".join(map(str, sys.version_info[:2]))}
    for package in _COMPARED:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not there"
    return found


class Host:
    """Holds one worker on some machine of the cluster. Its methods are called by Ray."""

    def __init__(self, setup: HostSetup) -> None:
        self._setup = setup
        self._commands, self._orders = Pipe(duplex=False)
        self._news = threading.Condition()
        self._items: list[object] = []
        self._idle = self._told_idle = self._over = False
        self._data: dict[str, Path] | None = None  # where data lies here, by the driver's path
        self._data_came = threading.Event()
        self._sent: Mapping[str, Any] = {}
        self._waiting: Submit | None = None  # its worker is just being replaced
        self._told: list[Order] = []  # meanwhile
        self._checkpoints: dict[int, tuple[Path, int]] = {}  # a trial's file here, and when it was last sent on
        # A worker must not run Ray's program before its own, which spawn has it do.
        sys.modules["__main__"].__file__ = None
        threading.Thread(target=self._serve, name="owner", daemon=True).start()

    # Called by the driver.

    def collect(self, timeout: float) -> Batch:
        """Return all that has happened since the last call; wait up to `timeout` seconds for something."""
        with self._news:
            self._news.wait_for(lambda: self._items or self._idle != self._told_idle or self._over, timeout)
            items, self._items, self._told_idle = self._items, [], self._idle
            return Batch(tuple(items), self._idle, self._over and not self._items)

    def order(self, command: object) -> None:
        """Hand over a command; returns before it is done."""
        self._orders.send(command)

    def take_data(self, contents: Mapping[str, Any]) -> None:
        """Hand over the data that this machine lacks: references into Ray's object store, by path."""
        self._sent = contents
        self._data_came.set()

    # The thread that owns the local engine.

    def _serve(self) -> None:
        folder = _make_folder()
        engine: LocalEngine | None = None
        at_once = True
        try:
            engine = self._make_engine(folder)
            if engine is None:
                return
            engine.start()
            self._tell([], idle=False)
            at_once = self._run(engine, folder)
        except (EngineError, UserError) as error:
            self._tell([Unfit(str(error))])
        except BaseException:
            self._tell([Unfit(traceback.format_exc())])
        finally:
            if engine is not None:
                engine.close(at_once)
            shutil.rmtree(folder, ignore_errors=True)
            with self._news:
                self._over = True
                self._news.notify_all()

    def _make_engine(self, folder: Path) -> LocalEngine | None:
        setup = self._setup
        gpus = self._own_gpus()
        shared = (setup.logs / setup.sign).exists()
        log = setup.logs if shared else _session_logs(folder) / f"hpo-{setup.logs.name}"
        self._tell([Begun(*_node(), os.uname().nodename, gpus, log / f"worker-{setup.number}.log")])
        if reason := _difference(setup.versions, versions()):
            self._tell([Unfit(reason)])
            return None
        if setup.shipment is None:
            sys.path[:] = [*setup.path, *(entry for entry in sys.path if entry not in setup.path)]
            os.chdir(setup.folder)
            objective = setup.objective
        else:
            root = Path.cwd()
            if missing := lacking(setup.shipment):
                self._tell([Lacks(tuple(missing))])
                self._data_came.wait()
            places = unpack(setup.shipment, root, self._sent)
            os.chdir(root / setup.shipment.folder)
            sys.path.insert(0, str(root))
            objective = with_paths(setup.objective, places)
        place = gpus if gpus else None
        return LocalEngine(objective, [place], log, setup.memory_gb, first=setup.number, threads=setup.threads)

    def _own_gpus(self) -> str:
        """Return the GPUs that Ray gave this actor; hide all of them if that is none (Ray leaves them in sight)."""
        import ray

        gpus = ",".join(map(str, ray.get_gpu_ids()))
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", gpus) if gpus else ""
        return os.environ["CUDA_VISIBLE_DEVICES"]

    def _run(self, engine: LocalEngine, folder: Path) -> bool:
        """Serve until told to close. Returns whether that must be at once."""
        while True:
            pause = _LOOK if self._checkpoints else None
            news = wait([self._commands, *engine.waitables()], pause)
            if self._commands in news:
                command = self._commands.recv()
                if isinstance(command, Close):
                    return command.at_once
                self._obey(engine, command, folder)
            if self._waiting is not None and engine.idle():
                engine.submit(self._waiting.assignment)
                self._waiting = None
                while self._told:
                    self._obey(engine, self._told.pop(0), folder)
            messages: list[Message] = []
            for _ in range(_POLLS_AT_ONCE if len(news) > (self._commands in news) else 0):
                if not (more := engine.poll(0)):
                    break
                messages += more
            kept = self._look_at_checkpoints()  # before the message that its trial is paused
            idle = engine.idle() > 0 and self._waiting is None
            self._tell([*kept, *(self._packed(message) for message in messages)], idle)

    def _obey(self, engine: LocalEngine, command: object, folder: Path) -> None:
        if isinstance(command, Submit):
            command = self._with_own_checkpoints(command, folder)
            if engine.idle():
                engine.submit(command.assignment)
            else:
                self._waiting = command
        elif isinstance(command, Answer):
            engine.reply(command.assignment, command.decisions)
        elif isinstance(command, Order) and self._waiting is not None:
            self._told.append(command)
        elif isinstance(command, Order):
            (engine.stop if command.decision is Decision.STOP else engine.pause)(command.numbers)
        elif isinstance(command, Kill):
            if self._waiting is not None and self._waiting.assignment.id == command.assignment:
                self._tell(_never_ran(self._waiting.assignment, command.reasons))
                self._waiting, self._told = None, []
            engine.kill(command.assignment, command.reasons)

    def _with_own_checkpoints(self, command: Submit, folder: Path) -> Submit:
        """Have trials keep their checkpoints on this machine's disk, each its own, also in a stack."""
        self._checkpoints = {}
        trials: list[TrialSpec] = []
        for trial in command.assignment.trials:
            if trial.checkpoint:
                path = folder / f"{trial.number}.pt"
                path.unlink(missing_ok=True)
                if (content := command.checkpoints.get(trial.number)) is not None:
                    path.write_bytes(content)
                trial = replace(trial, checkpoint=str(path))
                self._checkpoints[trial.number] = (path, _written(path))
            trials.append(trial)
        return replace(command, assignment=replace(command.assignment, trials=tuple(trials)))

    def _look_at_checkpoints(self) -> list[Kept]:
        """Return the checkpoints that are new."""
        found = []
        for number, (path, sent) in self._checkpoints.items():
            if (written := _written(path)) != sent:
                self._checkpoints[number] = (path, written)
                if written:
                    found.append(Kept(number, path.read_bytes()))
        return found

    def _packed(self, message: Message) -> object:
        if isinstance(message, Artifact):
            path = Path(message.path)
            content = path.read_bytes()
            shutil.rmtree(path.parent, ignore_errors=True)  # its temporary folder
            return Produced(message.number, message.name, content)
        if isinstance(message, Done):
            for path, _ in self._checkpoints.values():
                for left in path.parent.glob(f"{path.name}*"):  # with drafts of a worker that was killed
                    left.unlink(missing_ok=True)
            self._checkpoints = {}
        return message

    def _tell(self, items: Sequence[object], idle: bool | None = None) -> None:
        with self._news:
            self._items += items
            if idle is not None:
                self._idle = idle
            if items or self._idle != self._told_idle:
                self._news.notify_all()


def _never_ran(assignment: Assignment, reasons: Mapping[int, str]) -> list[Message]:
    """Return how the trials end that are killed while they wait for a new worker."""
    events = [
        Failed(number, reasons[number], kind=FailureKind.TIMEOUT)
        if number in reasons
        else Failed(number, "WorkerDied: it was killed before it began", kind=FailureKind.DIED)
        for number in sorted(trial.number for trial in assignment.trials)
    ]
    return [Progress(assignment.id, events), Done(assignment.id)]


def _written(path: Path) -> int:
    """Return when a file was written, 0 if there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _difference(driver: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Return what is not the same on both sides, "" if all is."""
    differing = [
        f"{name} {here.get(name, 'not there')} (the driver has {version})"
        for name, version in driver.items()
        if here.get(name) != version
    ]
    return f"the worker on {os.uname().nodename} has " + ", ".join(differing) if differing else ""


def _node() -> tuple[str, str]:
    """Return the id and the address of the node that this process runs on."""
    import ray
    from ray.util import get_node_ip_address

    return ray.get_runtime_context().get_node_id(), get_node_ip_address()  # type: ignore[no-untyped-call]


def _session_logs(folder: Path) -> Path:
    """Return where Ray keeps what this actor prints; the worker's output goes beside it."""
    try:
        target = Path("/proc/self/fd/1").readlink()
    except OSError:
        return folder
    return target.parent if target.suffix == ".out" else folder


def _make_folder() -> Path:
    """Return an empty folder of this process's own, and remove those that killed ones left."""
    parent = Path(tempfile.gettempdir()) / f"hpo-ray-{os.getuid()}"
    parent.mkdir(mode=0o700, exist_ok=True)
    if parent.stat().st_uid != os.getuid():
        return Path(tempfile.mkdtemp(prefix="hpo-ray-"))
    for left in parent.iterdir():
        pid = left.name.partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=parent))
