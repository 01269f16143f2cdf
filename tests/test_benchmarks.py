"""scripts/benchmarks: peers search what the sweep files search, costs leave no process out, suites run."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
import pytest
from benchmarks.common import CheckFailed
from benchmarks.programs import environment
from benchmarks.spaces import SPACES
from benchmarks.target import curve_of
from faults.support import LONG

from hpo.objective.build import inspect
from hpo.search.distributions import suggest
from hpo.spec.load import load_sweep

SCRIPTS = Path(__file__).parents[1] / "scripts"
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPTS.parent), str(SCRIPTS)])}

IF_LONG = pytest.mark.skipif(not LONG, reason="minutes of peers' programs: HPO_LONG=1")


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/benchmarks/peers/tasks.py, whose programs run in its folder."""
    monkeypatch.syspath_prepend(SCRIPTS / "benchmarks" / "peers")
    return importlib.import_module("tasks")


def searched(ask: Any) -> dict[str, Any]:
    """Return the distribution of all that a space ever asks for."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found: dict[str, Any] = {}
    for _ in range(200):
        trial = study.ask()
        with contextlib.suppress(optuna.TrialPruned):
            ask(trial)
        found |= trial.distributions
    return found


@pytest.mark.parametrize("name", SPACES)
def test_peers_search_what_the_sweep_file_searches(tasks: ModuleType, tmp_path: Path, name: str) -> None:
    sweep = load_sweep(SPACES[name].write(tmp_path), inspect)
    ours = searched(lambda trial: suggest(trial, sweep.space))
    theirs = searched(tasks.TASKS[name].suggest)
    if "hidden_layers" in ours:
        (kind,) = (parameter.domain for parameter in sweep.space.parameters if parameter.name == "hidden_layers")
        texts = tuple("-".join(map(str, widths)) for widths in kind.choices())
        ours["hidden_layers"] = optuna.distributions.CategoricalDistribution(texts)
    assert ours == theirs


@pytest.mark.parametrize("name", ["single", "course", "binary", "regression"])
def test_a_trial_logs_what_suites_look_for(tasks: ModuleType, name: str) -> None:
    space, task = SPACES[name], tasks.TASKS[name]
    params = task.suggest(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)).ask())
    reports = list(task.train(task.load(), params))
    assert len(reports) == space.epochs
    assert all(tuple(metrics) == space.peer_metrics for metrics in reports)
    assert (task.metric, task.direction == "maximize") == (space.metric, space.maximize)


COUNTING = """
import sys
from pathlib import Path
from benchmarks.cost import cost_of
burn = "import time\\nwhile time.process_time() < 0.5: pass"
start = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {burn!r}], start_new_session=True)"
print(cost_of([[sys.executable, "-c", start]], Path(sys.argv[1]), 60.0).cpu)
"""


def test_a_grandchild_that_outlives_its_parent_is_counted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", COUNTING, str(tmp_path)]
    done = subprocess.run(command, env=ENV, check=True, timeout=60, capture_output=True, text=True)
    assert float(done.stdout) >= 0.5


def test_another_checkout_s_hpo_is_the_one_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", ENV["PYTHONPATH"])
    (tmp_path / "hpo" / "cli").mkdir(parents=True)
    (tmp_path / "hpo" / "__init__.py").touch()
    command = [sys.executable, "-P", "-c", "import hpo; print(hpo.__file__)"]
    said = subprocess.run(command, env=environment(tmp_path), check=True, capture_output=True, text=True).stdout
    assert Path(said.strip()).parent == tmp_path / "hpo"
    with pytest.raises(CheckFailed, match="no checkout"):
        environment(tmp_path / "hpo")


def test_the_best_so_far_changes_when_it_gets_better() -> None:
    trials = [(12.0, 3.0), (11.0, 5.0), (13.0, None), (10.5, float("nan")), (15.0, 3.0), (16.0, 1.0)]
    assert curve_of(SPACES["regression"], 10.0, trials) == [(1.0, 5.0), (2.0, 3.0), (6.0, 1.0)]
    assert curve_of(SPACES["binary"], 10.0, trials) == [(1.0, 5.0)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["short", "--space", "course", "--only", "none of the peers"],
        pytest.param(["short", "--space", "course"], marks=IF_LONG),
        pytest.param(["search", "--real", "--space", "regression"], marks=IF_LONG),
        pytest.param(["memory", "--workers", "1"], marks=IF_LONG),
    ],
    ids=["short, ours", "short", "search --real", "memory --workers"],
)
def test_a_suite_runs_and_finds_all_trials_in_the_stores(tmp_path: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "benchmarks", *arguments, "--quick", "--json", str(tmp_path / "numbers.json")]
    done = subprocess.run(command, env=ENV, timeout=600, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "numbers.json").read_text())
    assert kept["results"] and not kept["failure"]
