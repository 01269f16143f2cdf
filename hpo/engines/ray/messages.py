"""What the engine and its actors send each other; all of it is picklable.

An actor is made with an `ActorSetup` and gets commands. It answers with an `ActorUpdate`, which holds messages of its
local engine (hpo.engines.base) and the facts below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hpo.engines.base import Message
from hpo.engines.ray.files import Shipment
from hpo.engines.worker import TrialOrder
from hpo.events import Assignment, Response
from hpo.spec.named import Named

COMMANDS, COLLECT = "commands", "collect"  # concurrency groups: what goes to the actor keeps its order


@dataclass(frozen=True)
class ActorSetup:
    """What an actor is made with."""

    number: int  # of its worker
    objective: Named
    logs: Path  # the driver's folder for what workers print
    driver_file: str  # a file in it: an actor that sees it shares the driver's disk
    versions: Mapping[str, str]  # the driver's
    memory_gb: float | None = None
    threads: int = 1
    libraries: tuple[str, ...] = ()  # the modules of slow libraries that workers load
    shipment: Shipment | None = None  # None: the actor is on the driver's own machine
    folder: Path = Path()  # the driver's working directory
    path: tuple[str, ...] = ()  # and its sys.path


# What an actor tells, besides the messages of its local engine.
@dataclass(frozen=True)
class Location:
    """Where an actor runs. Its first word: from then on it counts as started."""

    node: str  # its id
    address: str  # of the node
    host: str
    gpus: str  # CUDA_VISIBLE_DEVICES


@dataclass(frozen=True)
class CannotRun:
    """No trial can run in this actor."""

    reason: str


@dataclass(frozen=True)
class MissingData:
    """Data that is not on the actor's machine, by its path on the driver's. The actor waits for it."""

    paths: tuple[str, ...]


@dataclass(frozen=True)
class CheckpointContent:
    """A trial's new checkpoint, or the weights that it leaves at its end."""

    number: int
    content: bytes
    weights: bool = False


@dataclass(frozen=True)
class ArtifactContent:
    """The file of an hpo.engines.base.Artifact, which lies on the actor's machine."""

    number: int
    name: str
    content: bytes


Fact = Message | Location | CannotRun | MissingData | CheckpointContent | ArtifactContent


@dataclass(frozen=True)
class ActorUpdate:
    """All that happened since the last one."""

    facts: tuple[Fact, ...]
    idle: bool  # the worker can take an assignment
    ended: bool  # the actor serves no more, and this is its last update


# What the engine orders.
@dataclass(frozen=True)
class SubmitCommand:
    """Train an assignment."""

    assignment: Assignment
    checkpoints: Mapping[int, bytes] = field(default_factory=dict)  # to go on from, by trial


@dataclass(frozen=True)
class ReplyCommand:
    """Answer the reports at which an assignment waits."""

    assignment: int
    decisions: Mapping[int, Response]


@dataclass(frozen=True)
class KillCommand:
    """Kill the worker process that has an assignment (hpo.engines.base.Engine.kill)."""

    assignment: int
    reasons: Mapping[int, str]


@dataclass(frozen=True)
class CloseCommand:
    """End the worker, and serve no more."""

    at_once: bool


Command = SubmitCommand | ReplyCommand | TrialOrder | KillCommand | CloseCommand
