"""An objective that was written for Optuna, swept unchanged: the space shows itself, and both records have it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from waiting import wait_for

from e2e.support import Place, assert_records_agree
from hpo.spec.yaml_text import dump_source

pytestmark = pytest.mark.slow
TRAIN = """
import os
import signal
import time
from pathlib import Path

import optuna


def objective(trial: optuna.Trial) -> float:
    kind = trial.suggest_categorical("kind", ["near", "far"])
    x = trial.suggest_float("x", -5, 5) if kind == "near" else trial.suggest_int("depth", 1, 8)
    size = trial.suggest_categorical("size", [(1, 1), (2, 2)])
    for step in range(1, 5):
        trial.report(x * size[0] * step / 4, step)
        if trial.should_prune():
            raise optuna.TrialPruned()
    trial.set_user_attr("kernel", list(size))
    return x * size[0]


def held(trial):
    value = trial.suggest_float("x", -5, 5)
    while trial.number >= 2 and not Path("go").exists():
        time.sleep(0.05)
    return value + trial.suggest_float("y", 0, 1)


def dies_once(trial):
    value = trial.suggest_float("x", -5, 5)
    if trial.number == 1 and not Path("died").exists():
        Path("died").write_text(repr(value))
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def fickle(trial):
    if trial.number == 1:
        return trial.suggest_int("x", 0, 5)
    return trial.suggest_float("x", 0, 5)
"""


def written(place: Place, function: str, **keys: Any) -> Path:
    (place.folder / "train.py").write_text(TRAIN)
    sweep = {
        "name": "small",
        "objective": f"train.py:{function}",
        "metric": {"name": "score", "goal": "maximize"},
        "budget": {"trials": 6},
        "engine": {"workers": 2},
    }
    path = place.folder / "sweep.yaml"
    path.write_text(dump_source(sweep | keys))
    return path


def test_an_objective_of_optunas_runs_unchanged(place: Place):
    path = written(place, "objective", budget={"trials": 14}, early_terminate={"type": "median", "n_startup_trials": 3})
    assert "define-by-run" in place.run("check", path).stdout
    assert place.sweep(path)["trials"]["failed"] == 0
    assert place.sweep(path, "--extend", "2", "-o", "engine.workers=0")["trials"]["failed"] == 0
    trials = place.trials()
    assert len(trials) == 16
    for trial in trials:
        own = "x" if trial.params["kind"] == "near" else "depth"
        assert trial.params.keys() == trial.distributions.keys() == {"kind", own, "size"}
        assert trial.params["size"] in ("[1, 1]", "[2, 2]")
        if trial.state.name == "COMPLETE":
            assert trial.user_attrs["kernel"] == trial.user_attrs["params"]["size"]
    assert optuna.importance.get_param_importances(optuna.load_study(study_name="small", storage=_storage(place)))
    assert_records_agree(place)
    doctor = place.run("doctor", "small")
    assert "study, MLflow and disk agree (16 trials)" in doctor.stdout, doctor.stdout
    assert {"kind", "x", "depth", "size"} <= set(place.run("trials", "small").stdout.splitlines()[0].split())
    again = place.folder / "best.yaml"
    again.write_text(place.run("best", "small", "--format", "yaml").stdout)
    best = max(trial.value for trial in trials)
    assert place.sweep(again)["best"]["value"] == best
    refused = place.run("refine", "small")
    assert refused.returncode == 2 and "has its ranges in the code of" in refused.stderr


def _storage(place: Place) -> Any:
    from hpo.ledger.study.home import open_storage

    return open_storage(place.home)


def test_a_killed_sweep_goes_on_with_what_its_trials_had_asked_for(place: Place):
    path = written(place, "held", budget={"trials": 8})
    process = place.start("sweep", path)
    place.wait_for_trials(2, process)

    def asked() -> bool:  # in the study, while the objective has not come to its end
        return any(trial.state.name == "RUNNING" and set(trial.params) == {"x"} for trial in place.trials())

    wait_for(asked, "a running trial that has asked", process=process)
    process.kill()
    process.communicate()
    (place.folder / "go").touch()
    running = [trial for trial in place.trials() if trial.state.name == "RUNNING"]
    assert place.run("sweep", path).returncode == 0
    states = Counter(trial.state.name for trial in place.trials())
    assert states["COMPLETE"] == 8 and states["RUNNING"] == 0
    retried = {trial.user_attrs["retry_of"]: trial for trial in place.trials() if "retry_of" in trial.user_attrs}
    assert {trial.number for trial in running} == set(retried)
    for trial in running:
        repeat = retried[trial.number]
        assert trial.params.items() <= repeat.params.items()
        assert repeat.user_attrs["seed"] == place.trials()[trial.number].user_attrs["seed"]
    assert_records_agree(place)


def test_a_trial_whose_worker_died_gets_the_same_again(place: Place):
    path = written(place, "dies_once", budget={"trials": 3})
    assert place.sweep(path)["trials"]["complete"] == 3
    trial = place.trials()[1]
    assert trial.user_attrs["attempts"] == 2
    assert trial.params["x"] == trial.value == float((place.folder / "died").read_text())


def test_a_name_of_two_kinds_fails_its_trial_with_the_reason(place: Place):
    path = written(place, "fickle", budget={"trials": 3}, engine={"workers": 1})
    place.run("sweep", path)
    error = place.trials()[1].user_attrs["error"]
    assert error == "ValueError: 'x' was a number before, and is asked for as a whole number: give it another name"
    assert "doctor" not in error and place.run("doctor", "small").returncode == 0


SAVES = """
def saves(trial):
    x = trial.suggest_float("x", -5, 5)
    (trial.folder / "sub").mkdir()
    (trial.folder / "sub" / "model.pt").write_text(str(trial.number))
    return {"score": x, "size": 12}
"""


def artifacts(place: Place, number: int) -> list[str]:
    _, runs = place.runs()
    return [each.path for each in place.client().list_artifacts(runs[number].info.run_id, "files/sub")]


def test_the_best_trials_files_become_artefacts(place: Place):
    path = written(place, "saves")
    (place.folder / "train.py").write_text(TRAIN + SAVES)
    best = place.sweep(path)["best"]["number"]
    assert {trial.number: artifacts(place, trial.number) for trial in place.trials()} == {
        number: ["files/sub/model.pt"] if number == best else [] for number in range(6)
    }
    _, runs = place.runs()
    assert all(run.data.metrics["size"] == 12 for run in runs.values())
    place.sweep(path, "--extend", "2", "-o", "keep.files=all")
    assert artifacts(place, 6) == artifacts(place, 7) == ["files/sub/model.pt"]
    assert not list(place.home.path.rglob("*.tar"))
    assert "disk agree" in place.run("doctor", "small").stdout
