"""The inside of a Ray actor: a local engine with one worker, and the line from it to the driver's RayEngine.

The actor itself imports little and trains nothing, so it starts fast and outlives whatever an objective does to its
worker. One thread owns the local engine; Ray's threads hand it the engine's commands and take what has happened.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Mapping
from multiprocessing import Pipe
from pathlib import Path

from hpo.engines.base import EngineError, Note
from hpo.engines.local import LocalEngine
from hpo.engines.ray.checkpoints import LocalCheckpoints
from hpo.engines.ray.compat import session_logs
from hpo.engines.ray.copies import Copies, SentContent
from hpo.engines.ray.folders import ActorFolder
from hpo.engines.ray.messages import ActorSetup, ActorUpdate, CannotRun, Command, Location, MissingData
from hpo.engines.ray.serving import CommandLoop
from hpo.engines.ray.unpack import lacking, unpack, with_paths
from hpo.engines.ray.updates import PendingUpdate
from hpo.engines.ray.versions import difference, versions
from hpo.spec.faults import UserError


class WorkerActor:
    """Holds one worker on some machine of the cluster. Its public methods are called by Ray, for the engine."""

    def __init__(self, setup: ActorSetup) -> None:
        self._setup = setup
        self._commands, self._command_sender = Pipe(duplex=False)
        self._update = PendingUpdate()
        self._data_came = threading.Event()
        self._data: Mapping[str, SentContent] = {}
        # A worker must not run Ray's program before its own, which spawn has it do.
        sys.modules["__main__"].__file__ = None
        threading.Thread(target=self._serve, name="owner", daemon=True).start()

    # Called by the engine.

    def collect(self, timeout: float) -> ActorUpdate:
        """Return all that has happened since the last call; wait up to `timeout` seconds for something."""
        return self._update.take(timeout)

    def order(self, command: Command) -> None:
        """Hand over a command; returns before it is done."""
        self._command_sender.send(command)

    def take_data(self, contents: Mapping[str, SentContent]) -> None:
        """Hand over the data that this machine lacks, by path."""
        self._data = contents
        self._data_came.set()

    # The thread that owns the local engine.

    def _serve(self) -> None:
        folder: ActorFolder | None = None
        engine: LocalEngine | None = None
        at_once = True
        try:
            location = _locate()
            self._update.add([location])
            folder = ActorFolder()
            engine = self._make_engine(location, folder)
            if engine is None:
                return
            engine.start()
            at_once = CommandLoop(engine, self._commands, self._update, LocalCheckpoints(folder.path)).run()
        except (EngineError, UserError) as error:
            self._update.add([CannotRun(str(error))])
        except BaseException:
            self._update.add([CannotRun(traceback.format_exc())])
        finally:
            if engine is not None:
                engine.close(at_once)
            if folder is not None:
                folder.remove()
            self._update.end()

    def _make_engine(self, location: Location, folder: ActorFolder) -> LocalEngine | None:
        """Return the local engine, not started; None if nothing can run here, which is told."""
        setup = self._setup
        if reason := difference(setup.versions, versions()):
            self._update.add([CannotRun(reason)])
            return None
        shares_disk = (setup.logs / setup.driver_file).exists()
        logs = setup.logs if shares_disk else session_logs(otherwise=folder.path) / f"hpo-{setup.logs.name}"
        if setup.shipment is None:
            sys.path[:] = [*setup.path, *(entry for entry in sys.path if entry not in setup.path)]
            os.chdir(setup.folder)
            objective = setup.objective
        else:
            root = Path.cwd()
            if missing := lacking(setup.shipment):
                self._update.add([MissingData(tuple(missing))])
                self._data_came.wait()
            local_paths = unpack(setup.shipment, root, self._data, Copies(folder.shared_data()))
            os.chdir(root / setup.shipment.folder)
            sys.path.insert(0, str(root))
            objective = with_paths(setup.objective, local_paths)
        self._update.add([Note(f"{location.host}: {fault}") for fault in folder.faults])
        devices = [location.gpus or None]
        return LocalEngine(
            objective, devices, logs, setup.memory_gb,
            first=setup.number, threads=setup.threads, libraries=setup.libraries,
        )  # fmt: skip


def _locate() -> Location:
    """Return where this process runs, with the GPUs that Ray gave it."""
    import ray
    from ray.util import get_node_ip_address

    address = get_node_ip_address()  # type: ignore[no-untyped-call]
    return Location(ray.get_runtime_context().get_node_id(), address, os.uname().nodename, _own_gpus())


def _own_gpus() -> str:
    """Return the GPUs that Ray gave this actor; hide all of them if that is none (Ray leaves them in sight)."""
    import ray

    gpus = ",".join(map(str, ray.get_gpu_ids()))
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", gpus) if gpus else ""
    return os.environ["CUDA_VISIBLE_DEVICES"]
