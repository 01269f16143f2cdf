"""Training runs on a bare machine: with Torch, NumPy and scikit-learn, without what only sweeps need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NEEDLESS = ("optuna", "mlflow", "ray", "pydantic", "yaml", "click", "rich", "cmaes", "optuna_dashboard", "safetensors")

TRAINING = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {needless}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
import torch
from hpo.events import Finished, TrialSpec
from hpo.objective.torch_task import TorchObjective
from hpo.training.run import start
from hpo.training.stack import probe
from hpo.training.stack.cohort import Cohort, train_cohort
from objectives import cifar10, regression
from objectives.binary import Binary

splits = Binary().splits({{"source": "synthetic"}})
trials = [TrialSpec(number, {{"hidden_layers": [4]}}, number, 1) for number in range(2)]
cohort = Cohort([start(Binary(), splits, trial, torch.device("cpu")) for trial in trials], replay=True)
print(sum(isinstance(event, Finished) for events in train_cohort(cohort) for event in events))
"""


def test_training_needs_none_of_the_libraries_that_only_sweeps_need() -> None:
    command = [sys.executable, "-c", TRAINING.format(needless=NEEDLESS)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


def gpu_check(folder: Path, *parts: str, before: str = "") -> tuple[int, str, dict[str, Any]]:
    """Try parts of scripts/gpu-check on the CPU; return its exit code, what it printed, and its figures."""
    figures = folder / "figures.json"
    command = [sys.executable, "-m", "gpu_check", "--device", "cpu", "--quick", "--json", str(figures)]
    environment = {**os.environ, "PYTHONPATH": f"{before}{ROOT}:{ROOT / 'scripts'}"}
    chosen = [word for part in parts for word in ("--only", part)]
    done = subprocess.run([*command, *chosen], env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, json.loads(figures.read_text())


@pytest.fixture(autouse=True)
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # as on a bare machine: nothing is kept yet


@pytest.mark.slow
def test_the_check_of_a_gpu_can_be_tried_without_one(tmp_path: Path) -> None:
    code, said, figures = gpu_check(tmp_path, "facts", "memory")
    assert code == 0, said
    assert {name: part["ended"] for name, part in figures.items()} == {"facts": "well", "memory": "well"}
    assert "| trials | assignments | Finished |" in said
    assert figures["memory"]["notes"]["tables"]["A cohort that doesn't fit"][0]["Finished"] == 16


@pytest.mark.slow
def test_a_part_that_fails_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "sklearn").mkdir()
    (tmp_path / "sklearn/__init__.py").write_text("raise RuntimeError('broken')")
    code, said, figures = gpu_check(tmp_path, "memory", "facts", before=f"{tmp_path}:")
    assert code == 1
    assert {name: part["ended"] for name, part in figures.items()} == {"memory": "exit code 1", "facts": "well"}
    assert "not well: memory" in said
