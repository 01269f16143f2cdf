"""Which Ray cluster: one that runs, or one that is started here, on loopback only; and what its nodes have."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo.engines.base import EngineError
from hpo.engines.devices import cores, visible_gpus
from hpo.engines.ray import guard as ray_guard
from hpo.spec.grammar import RayEngineKeys

_PACKAGE_ROOT = Path(__file__).resolve().parents[3]  # where `hpo` is imported from


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
    folder = Path(os.environ.get("RAY_TMPDIR") or "/tmp", "ray")
    with contextlib.suppress(OSError):
        address = (folder / "ray_current_cluster").read_text().strip()
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=2):
            return address
    return None


class Cluster:
    """This process's connection to a cluster. There can be one at a time."""

    def __init__(self, address: str | None) -> None:
        """address: of a cluster that runs; None: start one here."""
        self._address = address
        self._guard: subprocess.Popen[bytes] | None = None  # of a cluster of our own

    @property
    def own(self) -> bool:
        """Whether it was started for this sweep, and so is on this machine and ends with it."""
        return self._address is None

    def connect(self, package: str = "") -> None:
        """Connect, or start. package: a folder that is sent to all workers. Raises EngineError with the reason."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
        os.environ.setdefault("RAY_OVERRIDE_JOB_RUNTIME_ENV", "1")  # within `ray job submit`: our files, its other keys
        if self.own:
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # read at import: every port on loopback
            if "RAY_AUTH_MODE" not in os.environ:  # a token of its own: nobody else joins it, and none is kept on disk
                os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
        import ray

        # It prints what befalls nodes to standard output, whatever it is told; the engine says it in words of its own.
        ray._private.worker.print_to_stdstream = lambda *_, **__: None
        if ray.is_initialized():
            raise EngineError("this process uses Ray already: a sweep needs a process of its own")
        with _handlers_kept(), _quiet():
            try:
                ray.init(
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **(self._own_options() if self.own else self._options(package)),
                )
            except Exception as error:  # Ray's many: no answer, another version, no token
                self.close()
                where = self._address or "this machine"
                reason = " ".join(str(error).split())
                raise EngineError(f"Ray at {where}: {type(error).__name__}: {reason}") from None

    def _options(self, package: str) -> dict[str, Any]:
        files = {"working_dir": package} if package else {}
        return {"address": self._address, "runtime_env": files | python_of_workers()}

    def _own_options(self) -> dict[str, Any]:
        # A folder of its own: clusters of several sweeps and users don't meet. Ray's socket names allow no long path.
        folder = Path(tempfile.mkdtemp(prefix="hpo-ray-", dir="/tmp"))
        guard = [sys.executable, "-I", "-S", str(Path(ray_guard.__file__)), str(folder)]
        self._guard = subprocess.Popen(
            guard, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        path = os.environ.get("PYTHONPATH", "")
        if str(_PACKAGE_ROOT) not in path.split(os.pathsep):  # workers import hpo from where this process does
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_PACKAGE_ROOT), path)))
        gpus = len(visible_gpus())
        return {
            "address": "local",
            "num_cpus": cores(),
            "num_gpus": gpus,
            "include_dashboard": False,
            "_temp_dir": str(folder),
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
        """Disconnect; end a cluster of our own. Safe to call twice."""
        import ray

        with _handlers_kept():
            ray.shutdown()
        if self._guard is not None:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None


def python_of_workers() -> dict[str, str]:
    """Return the key of a runtime environment that Ray needs where Python's path has a space, else nothing.

    Ray hands that path to a shell as it is, followed by the arguments, one of which is its own default_worker.py. On
    each node this takes the Python to whose packages that file belongs, else the one at this process's path, else the
    one on the node's PATH.
    """
    if not re.search(r"[^\w@%+=:,./-]", sys.executable):
        return {}
    return {"py_executable": f"bash -c {shlex.quote(_START_PYTHON)} {shlex.quote(sys.executable)}"}


_START_PYTHON = """
root=/nowhere
for argument; do
    case $argument in */default_worker.py) root=${argument%/lib*/python3*}; break ;; esac
done
version=${argument#"$root"/lib*/python}
for python in "$root/bin/python${version%%/*}" "$root/bin/python3" "$0"; do
    [ ! -x "$python" ] || exec "$python" "$@"
done
exec python3 "$@"
"""


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
