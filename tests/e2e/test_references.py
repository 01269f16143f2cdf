"""Models of scikit-learn beside the trials of a table: measured once, in both records, told in the end and later."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from e2e.support import Place
from hpo.ledger.study.home import open_storage
from hpo.spec.yaml_text import dump_source

NAMES = ["constant", "linear", "random_forest", "gradient_boosting"]


def table(rows: int = 120, seed: int = 1) -> str:
    draw = random.Random(seed)
    lines = []
    for index in range(rows):
        a = draw.gauss(0, 1)
        lines.append(f"{a:.3f},{draw.gauss(0, 1):.3f},{draw.choice('xyz')},{'yes' if index % 5 == 0 else 'no'}")
    return "a,b,city,left\n" + "\n".join(lines) + "\n"


def write(folder: Path, **keys: Any) -> Path:
    """Write a table that says nothing of its target, and a sweep of a network that learns next to nothing."""
    (folder / "churn.csv").write_text(table())
    sweep = {
        "name": "churn",
        "objective": "objectives.binary",
        "data": {"csv": "churn.csv", "target": "left"},
        "metric": {"name": "val_accuracy"},
        "method": "random",
        "budget": {"trials": 2, "epochs": 1},
        "seed": 1,
        "engine": {"workers": 1},
        "parameters": {"learning_rate": {"values": [1e-6, 1e-5, 1e-4, 1e-7, 1e-8]}},
    }
    path = folder / "churn.yaml"
    path.write_text(dump_source(sweep | keys))
    return path


def kept(place: Place, study: str = "churn") -> dict[str, Any] | None:
    storage = open_storage(place.home)
    return storage.get_study_user_attrs(storage.get_study_id_from_name(study)).get("references")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, str, str]:
    place = Place(tmp_path_factory.mktemp("references"), torch=True)
    done = place.run("sweep", write(place.folder), "--json")
    assert done.returncode == 0, done.stderr
    return place, done.stdout, done.stderr


@pytest.fixture
def copied(finished: tuple[Place, str, str], tmp_path: Path) -> Place:
    shutil.copytree(finished[0].folder, tmp_path, dirs_exist_ok=True)
    return Place(tmp_path, torch=True)


def test_the_end_of_the_sweep_tells_of_them(finished: tuple[Place, str, str]) -> None:
    place, out, err = finished
    result = json.loads(out)
    references = result["references"]
    assert list(references["models"]) == NAMES
    assert references["models"]["constant"]["val_accuracy"] == pytest.approx(0.8, abs=0.03)
    assert "constant" in references["not_beaten"]  # a network that learned nothing
    assert references["says"][0].endswith("is no better than always saying 'no'")
    assert set(references["says"]) < set(err.splitlines())
    assert "references: val_accuracy of scikit-learn's models, with their defaults, on the same split" in err
    assert "no better than always saying 'no'" in err
    assert kept(place) is not None


def test_best_tells_of_them_later(finished: tuple[Place, str, str]) -> None:
    place, out, err = finished
    shown = place.run("best", "churn").stdout.splitlines()
    told = [line for line in shown if line in err.splitlines()]
    assert any(line.endswith("is no better than always saying 'no'") for line in told), shown
    assert any(line.startswith("  majority class ") and line.endswith("not beaten") for line in told)
    as_json = json.loads(place.run("best", "churn", "--format", "json").stdout)
    assert as_json["references"] == json.loads(out)["references"]


def test_both_records_have_them(finished: tuple[Place, str, str]) -> None:
    place, out, _ = finished
    models = json.loads(out)["references"]["models"]
    record = kept(place)
    assert record is not None
    assert {name: model["metrics"] for name, model in record["models"].items()} == models
    parent, _ = place.runs("churn")
    mirrored = {key: value for key, value in parent.data.metrics.items() if key.startswith("hpo/reference/")}
    assert mirrored == {
        f"hpo/reference/{name}/{metric}": value for name, metrics in models.items() for metric, value in metrics.items()
    }
    for sentence in json.loads(out)["references"]["says"]:
        assert sentence in parent.data.tags["mlflow.note.content"].split("\n\n")
    assert "references.json" in {file.path for file in place.client().list_artifacts(parent.info.run_id)}
    doctor = place.run("doctor", "churn")
    assert (doctor.returncode, "agree" in doctor.stdout) == (0, True), doctor.stdout


def test_the_doctor_misses_and_mends_them(copied: Place) -> None:
    with closing(sqlite3.connect(copied.home.path / "mlflow.db")) as database, database:
        for name in ("metrics", "latest_metrics"):
            database.execute(f"delete from {name} where key = 'hpo/reference/linear/val_f1'")
    found = copied.run("doctor", "churn")
    assert "hpo/reference/linear/val_f1: the study has" in found.stdout, found.stdout
    copied.run("doctor", "churn", "--fix")
    assert "agree" in copied.run("doctor", "churn").stdout


def test_going_on_measures_nothing_again(copied: Place) -> None:
    before = kept(copied)
    done = copied.run("sweep", copied.folder / "churn.yaml", "-o", "budget.trials=3")
    assert done.returncode == 0, done.stderr
    assert kept(copied) == before
    assert "majority class" in done.stdout and "can't be compared" not in done.stdout
    parent, _ = copied.runs("churn")
    history = copied.client().get_metric_history(parent.info.run_id, "hpo/reference/linear/val_accuracy")
    assert len(history) == 1
    again = copied.run("sweep", copied.folder / "churn.yaml", "-o", "budget.trials=3")  # nothing is left to do
    assert "majority class" in again.stdout


def test_rows_that_have_changed_are_told_of(copied: Place) -> None:
    before = kept(copied)
    (copied.folder / "churn.csv").write_text(table(seed=2))
    more = copied.folder / "churn.yaml", "-o", "budget.trials=3"
    assert "trials of study 'churn': churn.csv\n" in copied.run("sweep", *more).stderr
    done = copied.run("sweep", *more, "--changed", "ok")
    assert "warning: the data is not what it was when this study began" in done.stdout
    assert kept(copied) == before


def test_one_that_is_asked_for_by_name_is_added_to_a_finished_study(tmp_path: Path) -> None:
    place = Place(tmp_path, torch=True)
    file = write(tmp_path, references=["linear"])
    assert list(place.sweep(file)["references"]["models"]) == ["linear"]
    first = kept(place)
    result = place.sweep(file, "-o", "references=[random_forest, linear]")
    assert list(result["references"]["models"]) == ["linear", "random_forest"]
    second = kept(place)
    assert first is not None and second is not None
    assert second["models"]["linear"] == first["models"]["linear"]
    assert "agree" in place.run("doctor", "churn").stdout
    assert place.sweep(file, "-o", "references=off")["references"] == result["references"]  # recorded is recorded


@pytest.mark.parametrize("keys", [{"references": "off"}, {"metric": {"name": "train_accuracy"}}])
def test_none_where_none_are_wanted_or_can_be_compared(tmp_path: Path, keys: dict[str, Any]) -> None:
    place = Place(tmp_path, torch=True)
    done = place.run("sweep", write(tmp_path, **keys), "--json")
    assert json.loads(done.stdout)["references"] is None
    assert kept(place) is None and "reference" not in done.stderr


def test_a_sweep_without_a_finished_trial_has_nothing_to_compare(tmp_path: Path) -> None:
    place = Place(tmp_path, torch=True)
    keys = {"parameters": {"learning_rate": {"values": [1e30, 1e31]}, "optimizer": {"value": "sgd"}}}
    done = place.run("sweep", write(tmp_path, **keys), "--json")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["references"] is None and kept(place) is None


def test_in_this_process_too(tmp_path: Path) -> None:
    place = Place(tmp_path, torch=True)
    result = place.sweep(write(tmp_path, engine={"workers": 0}))
    assert list(result["references"]["models"]) == NAMES


def test_a_loss_that_is_none_of_theirs_is_said(tmp_path: Path) -> None:
    place = Place(tmp_path, torch=True)
    parameters = {"learning_rate": {"values": [1e-3, 1e-4]}, "loss": {"value": "focal"}}
    done = place.run("sweep", write(tmp_path, metric={"name": "val_loss"}, parameters=parameters))
    assert "note: the references have no val_loss that could be compared" in done.stdout
    assert "references: val_loss" not in done.stdout


def test_an_interrupted_sweep_measures_them_when_it_goes_on(tmp_path: Path) -> None:
    place = Place(tmp_path, torch=True)
    file = write(tmp_path, budget={"trials": 5000, "epochs": 3}, duplicates="replicate")
    running = place.start("sweep", file, "--json")
    place.wait_for_trials(1, running)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 130, err
    assert json.loads(out.splitlines()[-1])["references"] is None and kept(place) is None
    result = place.sweep(file, "-o", f"budget.trials={len(place.trials('churn')) + 1}")
    assert list(result["references"]["models"]) == NAMES


DEADLY = """
import os, signal
from objectives.binary import Binary

class objective(Binary):
    def splits(self, data):
        from sklearn.linear_model import LogisticRegression

        LogisticRegression.fit = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
        return super().splits(data)
"""


def test_one_that_kills_its_worker_is_a_note(tmp_path: Path) -> None:
    place = Place(tmp_path, torch=True)
    (tmp_path / "deadly.py").write_text(DEADLY)
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}  # where none of them is kept
    done = place.run("sweep", write(tmp_path, objective="deadly.py"), "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert "no reference linear, random_forest, gradient_boosting: the worker ended" in done.stderr
    assert list(json.loads(done.stdout)["references"]["models"]) == ["constant"]
    assert "agree" in place.run("doctor", "churn").stdout
