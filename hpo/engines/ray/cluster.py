"""Which Ray cluster: one that runs, or one that is started here, on loopback only; and what its nodes have."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo.engines.base import EngineError
from hpo.engines.devices import cores, visible_gpus
from hpo.engines.ray import compat
from hpo.engines.ray import guard as ray_guard
from hpo.engines.ray.files import package_folder
from hpo.spec.grammar import RayEngineKeys


@dataclass(frozen=True)
class Node:
    """A living node."""

    id: str
    address: str
    host: str
    resources: Mapping[str, float]

    def room(self, demand: Mapping[str, float]) -> int:
        """Return how many workers with this demand it can hold when nothing else runs on it."""
        return min((_fits(name, self.resources.get(name, 0), amount) for name, amount in demand.items()), default=1)

    def __str__(self) -> str:
        shown = {name: amount for name, amount in sorted(self.resources.items()) if ":" not in name}
        shown.pop("object_store_memory", None)
        listed = ", ".join(
            f"memory {amount / 2**30:.1f} GB" if name == "memory" else f"{name} {amount:g}"
            for name, amount in shown.items()
        )
        return f"{self.address} has {listed}"


def _fits(name: str, total: float, amount: float) -> int:
    """Return how often an amount of a resource fits; a share of a GPU is of one GPU."""
    if name == "GPU" and amount < 1:
        return int(total) * int((1 + 1e-5) / amount)  # Ray counts in steps of 1/10,000
    return int((total + 1e-5) / amount)


def demand_of(keys: RayEngineKeys) -> dict[str, float]:
    """Return what a worker takes of a node, by Ray's names."""
    demand = {"CPU": float(keys.cpus_per_worker), **keys.resources}
    if keys.gpus_per_worker:
        demand["GPU"] = float(keys.gpus_per_worker)
    if keys.memory_gb is not None:
        demand["memory"] = keys.memory_gb * 2**30
    return demand


def find_address(wanted: str) -> str | None:
    """Return the address of the cluster to use, None if one is to be started here.

    `auto` is $RAY_ADDRESS, else the cluster that `ray start` began on this machine, if it answers. (Ray's own "auto"
    may also find the private cluster of another program on this machine.)
    """
    if wanted == "local":
        return None
    if wanted != "auto":
        return wanted
    named = os.environ.get("RAY_ADDRESS", "").strip()
    if named == "local":
        return None
    if named and named != "auto":
        return named
    with contextlib.suppress(OSError):
        address = compat.address_file().read_text().strip()
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=2):
            return address
    return None


class Cluster:
    """This process's connection to a cluster. There can be one at a time."""

    def __init__(self) -> None:
        self._connected = False  # or about to be: there may be something to close
        self._guard: subprocess.Popen[bytes] | None = None  # of a cluster of our own

    def join(self, address: str, package: str) -> None:
        """Connect to a cluster that runs. package: a folder that is sent to all workers.

        Raises EngineError with the reason why not.
        """
        compat.set_environment(own=False)
        runtime_env = {"working_dir": package, **compat.python_of_workers()}
        self._connect(f"Ray at {address}", lambda: {"address": address, "runtime_env": runtime_env})

    def start_own(self) -> None:
        """Start a cluster on this machine, on loopback only, and connect to it. It ends with this process.

        Raises EngineError with the reason why not.
        """
        compat.set_environment(own=True)
        compat.stay_on_loopback()
        compat.spare_processes()
        self._connect("Ray at this machine", self._start_options)

    def _connect(self, where: str, options: Callable[[], dict[str, Any]]) -> None:
        import ray

        compat.print_nothing()
        if ray.is_initialized():
            raise EngineError("this process uses Ray already: a sweep needs a process of its own")
        self._connected = True
        with _handlers_kept(), _quiet():
            try:
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **options())
            except Exception as error:  # Ray's many: no answer, another version, no token
                self.close()
                reason = " ".join(str(error).split())
                raise EngineError(f"{where}: {type(error).__name__}: {reason}") from None

    def _start_options(self) -> dict[str, Any]:
        # A folder of its own: clusters of several sweeps and users don't meet. Ray's socket names allow no long path.
        folder = Path(tempfile.mkdtemp(prefix="hpo-ray-", dir="/tmp"))
        guard = [sys.executable, "-I", "-S", str(Path(ray_guard.__file__)), str(folder)]
        self._guard = subprocess.Popen(
            guard, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        os.environ["PYTHONPATH"] = path_with_package(os.environ.get("PYTHONPATH", ""))
        return {
            "address": "local",
            "num_cpus": cores(),
            "num_gpus": len(visible_gpus()),
            "include_dashboard": False,
            **compat.own_folder_option(folder),
            **compat.no_folders_option(),
        }

    def nodes(self) -> list[Node]:
        """Return the nodes that are alive."""
        import ray

        return [
            Node(node["NodeID"], node["NodeManagerAddress"], node["NodeManagerHostname"], node["Resources"])
            for node in ray.nodes()  # type: ignore[no-untyped-call]
            if node["Alive"]
        ]

    def close(self) -> None:
        """Disconnect; end a cluster of our own. Safe to call twice, or without a connection."""
        if not self._connected:
            return
        import ray

        with _handlers_kept():
            ray.shutdown()
        if self._guard is not None:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None
        self._connected = False


def path_with_package(path: str) -> str:
    """Return a PYTHONPATH by which Ray's processes import hpo from where this one does."""
    root = str(package_folder().parent)
    return path if root in path.split(os.pathsep) else os.pathsep.join(filter(None, (root, path)))


def check_room(nodes: list[Node], demand: Mapping[str, float], keys: RayEngineKeys) -> None:
    """Raise EngineError if no node could ever hold one worker."""
    if any(node.room(demand) for node in nodes):
        return
    wanted = ", ".join(f"{name} {amount:g}" for name, amount in demand.items() if name != "memory")
    if keys.memory_gb is not None:
        wanted += f", memory {keys.memory_gb:g} GB"
    has = "; ".join(map(str, nodes)) or "there is none"
    raise EngineError(
        f"no node of the Ray cluster can hold a worker with {wanted} "
        f"(engine: cpus_per_worker, gpus_per_worker, resources, memory_gb): {has}"
    )


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Keep the handlers of signals: Ray sets its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what Ray logs before it knows its level."""
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
