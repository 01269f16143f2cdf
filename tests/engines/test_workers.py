"""How many workers, and where; which threads; and that a dead driver leaves none behind."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hpo.engines.devices import cores, visible_gpus
from hpo.engines.early import WORKER_MODULE
from hpo.engines.local import plan_workers
from hpo.engines.worker import run_worker
from hpo.events import DecisionSteps
from hpo.spec.grammar import LocalEngineKeys


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch):
    return lambda listed: monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)


def test_one_worker_a_core_without_gpus(gpus):
    gpus("")
    assert plan_workers(LocalEngineKeys(), 100) == [None] * cores()
    assert cores() == len(os.sched_getaffinity(0))


def test_one_worker_a_gpu(gpus):
    gpus("0,2")
    assert visible_gpus() == ["0", "2"]
    assert plan_workers(LocalEngineKeys(), 100) == ["0", "2"]
    assert plan_workers(LocalEngineKeys(workers_per_gpu=2), 100) == ["0", "2", "0", "2"]
    assert plan_workers(LocalEngineKeys(workers=3), 100) == ["0", "2", "0"]


@pytest.mark.parametrize("listed", ["", "-1"])
def test_hidden_gpus_are_not_used(gpus, listed: str):
    gpus(listed)
    assert visible_gpus() == []


def test_never_more_workers_than_trials(gpus):
    gpus("")
    assert len(plan_workers(LocalEngineKeys(workers=8), 3)) == 3
    assert plan_workers(LocalEngineKeys(workers=0), 3) == []  # in this process


def test_decision_steps():
    assert 5 in DecisionSteps(every=True)
    assert 5 not in DecisionSteps()
    assert 3 in DecisionSteps(steps=frozenset({3}))


def test_workers_are_what_the_early_server_loads() -> None:
    assert run_worker.__module__ == WORKER_MODULE


def test_what_all_workers_load_first_is_light() -> None:
    """It is loaded before the number of threads is known, which NumPy and Torch read once."""
    heavy = ("numpy", "scipy", "sklearn", "pandas", "torch.nn", "pydantic", "yaml", "optuna", "mlflow", "sqlalchemy")
    code = f"import sys, {WORKER_MODULE}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
