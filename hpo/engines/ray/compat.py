"""What this engine uses of Ray that is no public API of it, gathered here. Read from Ray 2.60.0.

A name that is gone is an error (EngineError), never a guarantee less; tests/engines/ray/test_compat.py fails if one is.
Ray itself is imported only when the engine starts: it reads its environment at import.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import re
import secrets
import shlex
import sys
from pathlib import Path
from typing import Any

from hpo.engines.base import EngineError
from hpo.engines.ray import setup_worker

# Environment variables. Names and meaning: ray/_private/ray_constants.py, accelerators/accelerator.py, worker.py,
# authentication/authentication_token_setup.py, _common/usage/usage_constants.py.
LOOPBACK_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # "0": every port is bound to 127.0.0.1
HIDE_DEVICES = "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"  # "1": an actor without GPUs sees none
OVERRIDE_JOB = "RAY_OVERRIDE_JOB_RUNTIME_ENV"  # "1": within `ray job submit`, our files and the job's other keys
USAGE_STATS = "RAY_USAGE_STATS_ENABLED"  # "0": no telemetry
AUTH_MODE, AUTH_TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"

SPARED: dict[str, Any] = {
    "include_log_monitor": False,
    "no_monitor": True,
    "setup_worker_path": setup_worker.__file__,
}  # arguments of ray._private.parameter.RayParams

DASHBOARD = "start_api_server"  # the method of ray._private.node.Node that starts the dashboard

NODE_LABEL = "ray.io/node-id"  # which Ray gives each node; _raylet.so
WORKER_PROGRAM = "default_worker.py"  # what a process of Ray's runs; ray/_private/workers

NODE_DIED = "its node has died"  # in the text of an ActorDiedError, which has no other sign of it; gcs_server


def _replace(module: str, name: str, value: object) -> None:
    """Give a name in one of Ray's modules another value. Raises EngineError if this Ray has no such name."""
    import ray

    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError:
        found = None
    if not hasattr(found, name):
        raise EngineError(f"Ray {ray.__version__} has no {module}.{name}, on which this platform relies")
    setattr(found, name, value)


def set_environment(own: bool) -> None:
    """Set what Ray reads from the environment, before it is imported; what the user has set stays.

    own: for a cluster that is started here; it is for this process alone.
    """
    os.environ.setdefault(USAGE_STATS, "0")
    os.environ.setdefault(HIDE_DEVICES, "1")
    os.environ.setdefault(OVERRIDE_JOB, "1")
    if own:
        os.environ[LOOPBACK_ONLY] = "0"
        if AUTH_MODE not in os.environ:  # a token of its own: nobody else joins it, and none is kept on disk
            os.environ |= {AUTH_MODE: "token", AUTH_TOKEN: secrets.token_hex(16)}


def stay_on_loopback() -> None:
    """Have this process bind its ports to 127.0.0.1, even if Ray was imported before `set_environment`.

    Raises EngineError if this Ray has no such switch.
    """
    _replace("ray._private.ray_constants", "ENABLE_RAY_CLUSTER", False)


def spare_processes() -> None:
    """Have a cluster that is started here do without three processes that it has no use for: the one that passes on
    what workers print, the one that adds nodes, and the one that is left of a dashboard without pages: it reports usage
    statistics, which are off. They take 1.6 seconds of a core to start, and Ray waits for the last. And have its actors
    set up by a program of this platform's, which is quicker (setup_worker.py).

    Nothing depends on it: a Ray that describes clusters in another way starts them.
    """
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    if SPARED.keys() <= inspect.signature(RayParams).parameters.keys():
        _replace("ray._private.parameter", "RayParams", functools.partial(RayParams, **SPARED))
    if hasattr(Node, DASHBOARD):
        setattr(Node, DASHBOARD, lambda *_, **__: None)


def print_nothing() -> None:
    """Keep Ray from printing what happens to nodes to standard output, which it does whatever it is told.

    The engine says it in words of its own. Raises EngineError if this Ray prints by other means.
    """
    _replace("ray._private.worker", "print_to_stdstream", lambda *_, **__: None)


class _NoFolders(list[str]):
    """Stays empty, whatever Ray puts in."""

    def extend(self, _: object) -> None:
        pass


def no_folders_option() -> dict[str, Any]:
    """Return the argument of ray.init by which Ray's processes don't look for modules in this one's working directory
    and its script's folder before all others: those are the user's, and may hold a `queue.py`.

    Read from ray/job_config.py and ray/_private/worker.py. Raises EngineError if this Ray has no such list.
    """
    import ray
    from ray.job_config import JobConfig

    config = JobConfig()
    if not hasattr(config, "_py_driver_sys_path"):
        raise EngineError(f"Ray {ray.__version__} has no JobConfig._py_driver_sys_path, on which this platform relies")
    config._py_driver_sys_path = _NoFolders()
    return {"job_config": config}


def own_folder_option(folder: Path) -> dict[str, str]:
    """Return the argument of ray.init that names a cluster's folder. (ray.init refuses arguments that it does not
    know.)"""
    return {"_temp_dir": str(folder)}


def address_file() -> Path:
    """Return the file in which `ray start` leaves the address of the cluster that it began on this machine.

    As ray._common.utils.get_ray_address_file says, without an import of Ray.
    """
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    return Path(folder, "ray", "ray_current_cluster")


def session_logs(otherwise: Path) -> Path:
    """Return the folder in which Ray keeps what this actor prints; `otherwise` where its output is in no file of Ray's.

    Ray's processes have their standard output in `<session>/logs/worker-<ids>.out`.
    """
    try:
        target = Path("/proc/self/fd/1").readlink()
    except OSError:
        return otherwise
    return target.parent if target.suffix == ".out" else otherwise


def python_of_workers() -> dict[str, str]:
    """Return the key of a runtime environment that Ray needs where Python's path has a space, else nothing.

    Ray hands that path to a shell as it is, followed by the arguments, one of which is its own WORKER_PROGRAM. On each
    node this takes the Python to whose packages that file belongs, else the one at this process's path, else the one
    on the node's PATH.
    """
    if not re.search(r"[^\w@%+=:,./-]", sys.executable):
        return {}
    return {"py_executable": f"bash -c {shlex.quote(_START_PYTHON)} {shlex.quote(sys.executable)}"}


_START_PYTHON = f"""
root=/nowhere
for argument; do
    case $argument in */{WORKER_PROGRAM}) root=${{argument%/lib*/python3*}}; break ;; esac
done
version=${{argument#"$root"/lib*/python}}
for python in "$root/bin/python${{version%%/*}}" "$root/bin/python3" "$0"; do
    [ ! -x "$python" ] || exec "$python" "$@"
done
exec python3 "$@"
"""
