"""What several suites share: loading sweep files that are written in the test."""

from __future__ import annotations

import compileall
import gc
import os
import secrets
import shlex
import sys
import textwrap
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import shared

import hpo
from hpo.lazy import quick_imports
from hpo.spec.contract import Contract
from hpo.spec.faults import SpecError
from hpo.spec.load import load_sweep
from hpo.spec.named import Inspection
from hpo.spec.sweep import Sweep

# Ray reads these when it is imported: its clusters in tests are on loopback, and know those who have the token.
os.environ |= {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(16),
}
# Before Torch is loaded. Two threads of it on a busy core wait for each other by spinning: tiny models then train ten
# times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")


_WRITES_NOTHING = sys.dont_write_bytecode


def pytest_configure(config: pytest.Config) -> None:
    """Make a folder for what all workers of this run share (with xdist, they inherit its name).

    Each worker reads all tests, which pytest compiles in its own slow way: so the workers keep what they compile while
    they collect (tests/**/__pycache__), also where PYTHONDONTWRITEBYTECODE says otherwise. What they run is compiled
    before, else each of hundreds of processes would do it anew.
    """
    if hasattr(config, "workerinput"):
        sys.dont_write_bytecode = False
    else:
        compileall.compile_dir(Path(hpo.__file__).parent, quiet=2)
        config.add_cleanup(shared.begin())
        os.environ["XDG_CACHE_HOME"] = str(shared.folder() / "cache")  # not the user's


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Have workers begin with what tests import, loaded once for all of them (tests/forked_worker.py)."""
    for spec in specs:
        spec.python = shlex.join([sys.executable, str(Path(__file__).with_name("forked_worker.py"))])


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests, which imports nearly all that there is, a fifth quicker."""
    with quick_imports():
        return (yield)


# Files that take a worker more than a minute each, the longest first.
LONGEST = (
    "faults/test_checkpoints.py",
    "engines/ray/test_sweeps.py",
    "tune/test_tuner.py",
    "e2e/test_conformance.py",
    "e2e/test_join.py",
    "e2e/test_continuing.py",
    "engines/test_conformance.py",
    "tune/test_crash.py",
    "faults/test_objectives.py",
    "test_reproduce.py",
    "faults/test_mlflow_server.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first, then those with slow tests (with xdist: --no-loadscope-reorder): what is left for
    the end is short, so that no core waits while another has a long file to do."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (ranks.get(item.path, len(LONGEST)), item.path not in slow))


def pytest_collection_finish() -> None:
    """Spare the garbage collector what collection has imported: all of it stays to the end."""
    sys.dont_write_bytecode = _WRITES_NOTHING
    gc.collect()
    gc.freeze()


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Sweep]:
    """`load(text, *overrides, contract=None)`: the Sweep of a file, with the required keys it lacks at its end."""

    def load(text: str, *overrides: str, contract: Contract | None = None) -> Sweep:
        lines = textwrap.dedent(text).strip().splitlines()
        keys = {line.partition(":")[0] for line in lines}
        lines += [] if keys & {"objective", "program"} else ["objective: thing"]
        lines += [] if "metric" in keys else ["metric: {name: score, goal: maximize}"]
        lines += [] if "parameters" in keys else ["parameters: {x: {values: [1, 2]}}"]
        path = tmp_path / "sweep.yaml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return load_sweep(path, lambda named: Inspection(contract), overrides)

    return load


@pytest.fixture
def faults(load: Callable[..., Sweep], tmp_path: Path) -> Callable[..., list[str]]:
    """`faults(text, ...)`: what `load` refuses, a line each, without the file's name: `3: metric.name: ...`."""

    def faults(text: str, *overrides: str, contract: Contract | None = None) -> list[str]:
        with pytest.raises(SpecError) as caught:
            load(text, *overrides, contract=contract)
        return str(caught.value).replace(f"{tmp_path / 'sweep.yaml'}:", "").splitlines()

    return faults
