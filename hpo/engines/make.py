"""From a sweep's `engine` section to an engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hpo.engines.base import Engine
from hpo.engines.local import LocalEngine, plan_workers
from hpo.engines.worker import thread_variables
from hpo.forking import ForkServer
from hpo.objective.build import named_of
from hpo.spec.grammar import RayEngineKeys
from hpo.spec.named import Named
from hpo.spec.sweep import Sweep


def ready_server(server: ForkServer, sweep: Sweep) -> ForkServer | None:
    """Have what was begun (early.py) load what a sweep's workers need, while the study is opened; return it. None: the
    sweep has no workers on this machine."""
    if isinstance(sweep.engine, RayEngineKeys) or not plan_workers(sweep.engine, sweep.budget.trials):
        server.close(at_once=True)
        return None
    server.prepare(sweep.traits.libraries, thread_variables(1))
    return server


def make_engine(sweep: Sweep, logs: Path, server: ForkServer | None = None) -> Engine:
    """Return the engine that a sweep names, not yet started.

    logs: the folder for what its workers print. server: what `ready_server` gave.
    """
    if isinstance(sweep.engine, RayEngineKeys):
        from hpo.engines.ray.engine import RayEngine  # Ray is imported for those who use it

        return RayEngine(
            _asked(named_of(sweep), sweep), sweep.engine, sweep.budget.trials, logs, libraries=sweep.traits.libraries
        )
    devices = plan_workers(sweep.engine, sweep.budget.trials)
    named = _asked(named_of(sweep, travels=bool(devices)), sweep)
    return LocalEngine(named, devices, logs, sweep.engine.memory_gb, server=server, libraries=sweep.traits.libraries)


def _asked(named: Named, sweep: Sweep) -> Named:
    """Return an objective that is asked whether it reads all that its trials get; not by a confirmation, whose study
    was told."""
    return named if sweep.given_only else replace(named, space=sweep.space, epochs=sweep.budget.epochs)
