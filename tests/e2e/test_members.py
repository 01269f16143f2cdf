"""Sweeps whose trials are the mean of several trainings: one trial for all who count, every member in both records."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import run_here

import hpo
from e2e.support import Place, assert_records_agree, environment

pytestmark = pytest.mark.slow

SPACE = {
    "optimizer": {"values": ["sgd", "adam"]},
    "learning_rate": {"distribution": "log_uniform_values", "min": 1e-3, "max": 1e-1},
    "hidden_layers": {"value": [6]},
}


def write(place: Place, **keys: Any) -> Path:
    given = {
        "objective": "objectives.binary",
        "data": {"source": "breast_cancer", "resample": "kfold", "folds": 3},
        "metric": {"name": "val_accuracy"},
        "budget": {"trials": 12, "epochs": 3},
        "repeats": 2,
        "early_terminate": {"type": "asha", "min_iter": 1, "eta": 2},
        "engine": {"workers": 1, "cohort": 6},
        "references": ["constant"],
        "parameters": SPACE,
    }
    return place.write("none", **(given | keys))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("members"), torch=True)
    assert place.sweep(write(place))["trials"]["failed"] == 0
    yield place


def hpo_here(place: Place, *arguments: str) -> Any:
    return run_here([*arguments, "--home", str(place.home.path)], place.folder, environment())


def test_a_trial_is_the_mean_of_its_members_in_both_records(place: Place) -> None:
    trials = place.trials()
    assert len(trials) == 12 and {trial.state.name for trial in trials} == {"COMPLETE", "PRUNED"}
    for trial in trials:
        metrics = trial.user_attrs["history"]["metrics"]
        for step, mean in enumerate(metrics["val_accuracy"]):
            own = [metrics[f"val_accuracy.{member}"][step] for member in range(1, 7)]
            assert mean == pytest.approx(statistics.fmean(own))
            assert metrics["val_accuracy_sd"][step] == pytest.approx(statistics.stdev(own))
        assert list(trial.intermediate_values.values()) == metrics["val_accuracy"]  # what the stopping rule saw
        info = trial.user_attrs["info"]
        assert (info["members"], info["validation_rows"]) == (6, 456)
        if trial.state.name == "COMPLETE":
            assert trial.value == metrics["val_accuracy"][-1]
    assert max(trial.user_attrs["info"].get("cohort", 1) for trial in trials) > 1
    assert_records_agree(place)
    (run, *_) = place.runs()[1].values()
    assert {"val_accuracy", "val_accuracy_sd", "val_accuracy.1", "val_accuracy.6"} <= run.data.metrics.keys()
    assert hpo_here(place, "doctor", "small").returncode == 0


def test_people_see_the_spread_and_how_sure_the_best_is(place: Place) -> None:
    result = hpo.load("small", place.home.path)
    assert {"val_accuracy_sd", "val_accuracy.6"} <= set(result.trials.columns)
    assert result.best is not None
    sure, best = result.best.certainty, result.trials.set_index("number").loc[result.best.number]
    complete = result.trials[result.trials["state"] == "complete"]
    spread = max(best["val_accuracy_sd"], complete["val_accuracy_sd"].median())
    assert sure.measure == "members" and sure.noise == pytest.approx(spread / 6**0.5)
    assert sure.members is not None and sure.members.rows_error is None  # folds have other rows each
    shown = hpo_here(place, "best", "small").stdout
    assert f"(trial {result.best.number}, the mean of 6 members, seed " in shown
    assert "how sure: " in shown and "one standard error of the mean of 6 members is" in shown
    assert json.loads(hpo_here(place, "best", "small", "--format", "json").stdout)["certainty"]["members"]["count"] == 6


def test_a_rerun_gets_the_same_bits(place: Place) -> None:
    """In its stack, with all members of the others."""
    (place.folder / "best.yaml").write_text(hpo_here(place, "best", "small", "--format", "yaml").stdout)
    place.sweep(place.folder / "best.yaml", "-o", "references=off", "-o", "name=again")
    best = hpo.load("small", place.home.path).best
    assert best is not None
    (again,) = place.trials("again")
    assert again.user_attrs["history"]["metrics"] == place.trials()[best.number].user_attrs["history"]["metrics"]


def test_a_model_of_folds_is_trained_on_all_their_rows(place: Place) -> None:
    refused = hpo_here(place, "model", "small")
    assert refused.returncode == 2 and "it is no single model (--on train+validation" in refused.stderr
    made = hpo_here(place, "model", "small", "--on", "train+validation")
    assert made.returncode == 0, made.stderr
    (config,) = (place.home.path / "models").rglob("model.json")
    assert json.loads(config.read_text())["rows"]["train"] == 456


def test_what_a_trial_is_does_not_change_within_a_study(place: Place) -> None:
    write(place)
    for override in ("repeats=3", "data.folds=4"):
        done = place.run("sweep", place.folder / "sweep.yaml", "-o", override)
        assert done.returncode == 2 and override.split("=")[0] in done.stderr, done.stderr


def test_a_confirmation_trains_once_a_seed_on_one_split(place: Place) -> None:
    done = hpo_here(place, "confirm", "small", "--top", "1", "--seeds", "2", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "the data is not what it was" not in done.stdout + done.stderr
    assert "references" not in done.stdout  # they are of other rows
    for trial in place.trials("small.confirm"):
        assert "members" not in trial.user_attrs["info"] and trial.user_attrs["info"]["validation_rows"] == 113


def test_check_says_what_a_trial_is(place: Place) -> None:
    write(place)
    said = run_here(["check", "sweep.yaml"], place.folder, environment()).stdout
    assert "members   a trial is the mean of 2 seeds x 3 folds, which train in lock-step" in said
    assert "at most 36 epochs x 6 members" in said


def test_a_model_of_seeds_is_the_first_ones(tmp_path: Path) -> None:
    """Each trial with a split of its own, its members one after the other."""
    place = Place(tmp_path, torch=True)
    data = {"source": "breast_cancer", "resample": "reshuffle"}
    keys: dict[str, Any] = {"engine": {"workers": 1, "cohort": "off"}, "budget": {"trials": 2, "epochs": 2}}
    place.sweep(write(place, data=data, early_terminate="none", references="off", **keys))
    made = hpo_here(place, "model", "small", "--trial", "1")
    assert made.returncode == 0, made.stderr
    assert "every metric of all 2 epochs is the study's, to the last digit" in made.stdout
    config = json.loads((place.home.path / "models" / "small" / "trial-1" / "model.json").read_text())
    recorded = place.trials()[1].user_attrs["history"]["metrics"]
    assert (config["member"], config["members"]) == (1, 2)
    assert config["metrics"]["val_accuracy"] == recorded["val_accuracy.1"][-1]
    assert config["value"] == recorded["val_accuracy"][-1]
