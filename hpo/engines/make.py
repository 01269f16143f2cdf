"""From a sweep's `engine` section to an engine."""

from __future__ import annotations

from pathlib import Path

from hpo.engines.base import Engine
from hpo.engines.local import LocalEngine
from hpo.objective.build import named_of
from hpo.spec.grammar import LocalEngine as LocalEngineKeys
from hpo.spec.sweep import Sweep


def make_engine(sweep: Sweep, logs: Path) -> Engine:
    """Return the engine that a sweep names, not yet started. logs: the folder for what its workers print."""
    assert isinstance(sweep.engine, LocalEngineKeys), "load_sweep refuses the engines that are not there yet"
    return LocalEngine(named_of(sweep), sweep.engine, sweep.budget.trials, logs)
