"""The user's modules: importable in every process that an objective starts, and in the way of no module of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.support import WARM
from warm import Warm

HANDS = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from beside import cube

def negated(number):
    return -cube(number)

class Cubes:
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return float(negated(index))

def objective(trial):
    way = trial.params["way"]
    if way == "loader":
        from torch.utils.data import DataLoader
        return sum(float(batch.sum()) for batch in DataLoader(Cubes(), batch_size=2, num_workers=2))
    if way == "joblib":
        from joblib import Parallel, delayed
        return sum(Parallel(n_jobs=2)(delayed(negated)(number) for number in range(4)))
    if way == "default":
        assert multiprocessing.get_start_method() == "fork"
        with ProcessPoolExecutor(2) as pool:
            return sum(pool.map(negated, range(4)))
    with multiprocessing.get_context(way).Pool(2) as pool:
        return sum(pool.map(negated, range(4)))
"""
SWEEP = """
name: ways
objective: {objective}
metric: {{name: score, goal: maximize}}
method: grid
parameters: {{way: {{values: [{ways}]}}}}
budget: {{trial_seconds: 60}}
engine: {{type: local, workers: 1}}
"""
STARTS = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from beside import half

def objective(trial):
    for way in ("spawn", "forkserver"):
        with ProcessPoolExecutor(1, multiprocessing.get_context(way)) as pool:
            assert pool.submit(half, 3).result() == 1.5
    return half(3)
"""
TAKEN = ("mlflow", "queue", "optuna", "rich", "email", "hpo", "torch", "random", "types", "signal", "sqlalchemy")


def run_hpo(folder: Path, *arguments: str, warm_writers: bool = False) -> subprocess.CompletedProcess[str]:
    """warm_writers: MLflow's writers don't start as users' do (tests/warm.py); all others do."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    hpo = [str(Path(sys.executable).with_name("hpo"))]
    if warm_writers:
        hpo, env[Warm.WRITERS.variable] = WARM, Warm.WRITERS.serve()
    return subprocess.run([*hpo, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hands.py", "statistics.py", "two.words.py"])
def test_an_objective_file_may_start_processes(tmp_path: Path, name: str) -> None:
    """By every start method; also a file whose own name is another module's, or is none."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / name).write_text(HANDS)
    (tmp_path / "code" / "beside.py").write_text("def cube(number):\n    return number**3\n")
    ways = "loader, joblib, default, fork, spawn, forkserver"
    (tmp_path / "s.yaml").write_text(SWEEP.format(objective=f"code/{name}", ways=ways))
    done = run_hpo(tmp_path, "sweep", "s.yaml", warm_writers=True)
    assert "6 complete, 0 pruned, 0 failed" in done.stdout, done.stdout + done.stderr
    assert "best score -36" in done.stdout


@pytest.mark.slow
def test_modules_of_the_user_hide_none_that_the_platform_needs(tmp_path: Path) -> None:
    for name in TAKEN:
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('{name} is the wrong one')\n")
    (tmp_path / "objectives").mkdir()
    (tmp_path / "objectives" / "mine.py").write_text(STARTS)
    (tmp_path / "beside.py").write_text("def half(number):\n    return number / 2\n")
    (tmp_path / "s.yaml").write_text(SWEEP.format(objective="objectives.mine", ways="only"))
    for more in ([], ["-o", "engine.workers=0", "-o", "name=here"]):
        done = run_hpo(tmp_path, "sweep", "s.yaml", *more)
        assert done.returncode == 0 and "best score 1.5" in done.stdout, done.stdout + done.stderr
    assert f"{tmp_path}/email.py has the name of Python's own module 'email', as have 10 more" in done.stdout
    assert "agree (1 trial)" in run_hpo(tmp_path, "doctor", "ways").stdout  # MLflow's writer lived
    (tmp_path / "objectives" / "__init__.py").write_text("")
    done = run_hpo(tmp_path, "check", "binary")
    assert done.returncode == 0, done.stderr  # the shipped one, beside a package of the user's of that name


def test_a_name_that_may_mean_two_modules_is_refused(tmp_path: Path) -> None:
    (tmp_path / "colorsys.py").write_text("def objective(trial): return 1.0\n")
    (tmp_path / "uses.py").write_text("def objective(trial):\n    import colorsys\n    return colorsys.x\n")
    (tmp_path / "s.yaml").write_text(SWEEP.format(objective="uses.py", ways="only"))
    done = run_hpo(tmp_path, "check", "s.yaml")
    assert done.returncode == 2
    assert f"s.yaml:3: objective: {tmp_path}/uses.py:2 imports 'colorsys', which may be either of two" in done.stderr
    assert "(give colorsys.py another name)" in done.stderr
    done = run_hpo(tmp_path, "check", "s.yaml", "-o", "objective=colorsys")
    assert done.returncode == 2 and "(name the file: colorsys.py:objective)" in done.stderr
    done = run_hpo(tmp_path, "check", "s.yaml", "-o", "objective=colorsys.py")
    assert done.returncode == 0 and "note" in done.stdout, done.stderr
