"""`hpo model` makes a trial's own model again, and `hpo predict` gives its own accuracy in a process that has no more
than the model's folder."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import run_here

import hpo
from e2e.support import Place, environment
from hpo.ledger.study.records import record_of
from hpo.training.data.splitting import split_indices

pytestmark = pytest.mark.slow

TASK = """
import hpo

class Animals(hpo.TableTask):
    kind = "multiclass"

    def model(self, params, features, outputs):
        print("a word from the objective")
        return hpo.mlp(params, features, outputs)

objective = Animals
"""
SPACE = {
    "optimizer": {"values": ["adam", "rmsprop"]},
    "learning_rate": {"min": 0.003, "max": 0.1},
    "dropout": {"values": [0.0, 0.2]},
    "hidden_layers": {"value": [13, 7]},
    "epochs": {"values": [4, 6]},
}
CLASSES = ["ape", "cow", "zebra"]


def rows(count: int = 200) -> pd.DataFrame:
    rng = random.Random(3)
    table = []
    for _ in range(count):
        size, coat = rng.gauss(0, 1), rng.choice(["plain", "striped", ""])
        kind = "zebra" if coat == "striped" and size > -1 else "cow" if size > 0 else "ape"
        text = "" if rng.random() < 0.1 else repr(size)
        table.append({"size": text, "coat": coat, "tame": rng.choice(["true", "false"]), "animal": kind})
    return pd.DataFrame(table)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A study of six trials in one stack, one of three alone, and one of a function, in one home."""
    place = Place(tmp_path_factory.mktemp("models"), torch=True)
    rows().to_csv(place.folder / "animals.csv", index=False)
    (place.folder / "animals.py").write_text(TASK)
    keys: dict[str, Any] = {
        "objective": "animals.py",
        "data": {"csv": "animals.csv", "target": "animal", "split_seed": 5},
        "metric": {"name": "val_accuracy"},
        "parameters": SPACE,
        "references": "off",
    }
    place.sweep(place.write("", **keys, budget={"trials": 6}, engine={"workers": 1, "cohort": 6}))
    alone = keys | {
        "name": "alone one",
        "early_terminate": {"type": "median", "n_startup_trials": 1, "n_warmup_steps": 1},
    }
    place.sweep(place.write("", **alone, budget={"trials": 3}, engine={"workers": 1, "cohort": "off"}))
    place.sweep(place.write("prints", name="function", budget={"trials": 1}))
    return place


def run(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    home = ["--home", str(place.home.path)] if arguments[0] == "model" else []
    return run_here([*arguments, *home], place.folder, environment())


def validation_rows(place: Place) -> pd.DataFrame:
    table = pd.read_csv(place.folder / "animals.csv", dtype=str, keep_default_na=False)
    codes = np.searchsorted(CLASSES, table["animal"])
    return table.iloc[split_indices(codes, "multiclass", seed=5)[1]]


def test_every_model_of_a_stack_is_the_trials_own(place: Place, tmp_path: Path) -> None:
    """Bit for bit; and its predictions for the validation rows have the trial's accuracy exactly."""
    part = validation_rows(place)
    part.to_csv(tmp_path / "part.csv", index=False)
    records = [record_of(trial) for trial in place.trials()]
    assert all(len(record.info["stack"]) == 6 for record in records)
    for record in records[:3]:
        folder = tmp_path / f"{record.number}"
        done = run(place, "model", "small", "--trial", str(record.number), "--output", str(folder))
        assert done.returncode == 0, done.stderr
        assert f"every metric of all {len(record.steps)} epochs is the study's, to the last digit" in done.stdout
        assert "a word from the objective" in done.stderr and "a word" not in done.stdout
        config = json.loads((folder / "model.json").read_text())
        assert config["metrics"] == record.steps[max(record.steps)]
        assert (config["as_in_study"], config["in_stack"], config["classes"]) == ("equal", True, CLASSES)
        done = run(place, "predict", str(folder), str(tmp_path / "part.csv"))
        assert done.returncode == 0 and done.stderr == "note: the target column 'animal' is there, and not looked at\n"
        found = pd.read_csv(io.StringIO(done.stdout))
        assert list(found) == ["prediction", *(f"probability_{name}" for name in CLASSES)]
        assert (found["prediction"].to_numpy() == part["animal"].to_numpy()).mean() == record.last("val_accuracy")


def test_the_best_of_trials_that_trained_alone(place: Place) -> None:
    """In the home, under the study's name; again in the same place. One that was stopped has that of its last epoch."""
    done = run(place, "model", "alone one")
    folder = next((place.home.path / "models" / "alone one").iterdir())
    assert done.returncode == 0 and "to the last digit" in done.stdout and str(folder) in done.stdout
    first = (folder / "weights.pt").read_bytes() if (folder / "weights.pt").exists() else b""
    assert run(place, "model", "alone one").returncode == 0
    assert not first or (folder / "weights.pt").read_bytes() == first
    pruned = [record_of(trial) for trial in place.trials("alone one") if trial.state.name == "PRUNED"]
    for record in pruned:
        done = run(place, "model", "alone one", "--trial", str(record.number))
        last = max(record.steps)
        assert done.returncode == 0 and f"up to epoch {last}, whose model this is, is the study's, to" in done.stdout
        config = json.loads((folder.parent / f"trial-{record.number}" / "model.json").read_text())
        assert config["metrics"] == record.steps[last] and config["value"] == record.value == record.last(
            "val_accuracy"
        )


def test_predictions_need_the_folder_alone(place: Place, tmp_path: Path) -> None:
    """In a fresh process elsewhere, without the objective's module, Optuna, MLflow or Ray."""
    assert run(place, "model", "small", "--output", str(tmp_path / "m")).returncode == 0
    script = """
import sys
for name in ("optuna", "mlflow", "ray", "animals", "sklearn"):
    sys.modules[name] = None
import hpo, pandas as pd
frame = pd.DataFrame({"size": [0.5, None], "coat": ["striped", "x"], "tame": [True, False]})
found = hpo.load_model("m").predict(frame)
print(list(found["prediction"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("['zebra', ")
    assert "'coat': 1 of 2 rows have a category that training did not have ('x')" in done.stderr


def test_on_both_nothing_is_claimed(place: Place, tmp_path: Path) -> None:
    done = run(place, "model", "small", "--on", "train+validation", "--output", str(tmp_path / "m"))
    assert done.returncode == 0 and "nothing has measured this model" in done.stdout
    config = hpo.load_model(tmp_path / "m").config
    assert (config["metrics"], config["as_in_study"], config["rows"]["train"]) == (None, "none", 160)


def test_other_numbers_are_no_model(place: Place, tmp_path: Path) -> None:
    """With other data nothing is written, unless it is wanted."""
    file = place.folder / "animals.csv"
    before = file.read_text()
    rows(150).to_csv(file, index=False)
    try:
        done = run(place, "model", "small", "--output", str(tmp_path / "m"))
        assert done.returncode == 1 and "\ndifferent: " in done.stdout and "no model was written" in done.stderr
        assert list(tmp_path.iterdir()) == []
        done = run(place, "model", "small", "--output", str(tmp_path / "m"), "--allow-different")
        assert done.returncode == 0 and hpo.load_model(tmp_path / "m").config["as_in_study"] == "different"
    finally:
        file.write_text(before)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model", "smal"], "did you mean 'small'?"),
        (["model", "small", "--trial", "77"], "has no trial 77 (they are numbered from 0 to 5)"),
        (["model", "function"], "'function' runs the function my_objectives.py:prints: its model is its own"),
        (["model", "small", "--output", "."], "is there and is no model"),
        (["predict", "nowhere", "animals.csv"], "nowhere does not exist: a model is a folder"),
    ],
)
def test_what_is_refused(place: Place, arguments: list[str], words: str) -> None:
    done = run(place, *arguments)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


def test_tables_that_do_not_fit(place: Place, tmp_path: Path) -> None:
    assert run(place, "model", "small", "--output", str(tmp_path / "m")).returncode == 0
    table = tmp_path / "t.csv"
    for text, words in [
        ("size,tame\n1,true\n", "the column 'coat' must be there (there are: size, tame)"),
        ("size,coat,tame\n1,plain\n", "line 2 has 2"),
        ("size;coat;tame\n1;plain;true\n", "(say --separator ';')"),
        ("", "must have a header and rows, but it is empty"),
        ("size,size,coat,tame\n1,1,a,true\n", "'size' stands 2 times in the header"),
    ]:
        table.write_text(text)
        done = run(place, "predict", str(tmp_path / "m"), str(table))
        assert done.returncode == 2 and words in done.stderr and done.stdout == "", done.stderr
    table.write_text("tame;more;size;coat\ntrue;1;;plain\n;1;abc;spotted\n")
    out = tmp_path / "new" / "p.json"
    line = ("predict", str(tmp_path / "m"), str(table), "--separator", ";", "--format", "json", "--output", str(out))
    done = run(place, *line)
    assert done.returncode == 2 and "p.json can't be written: No such file or directory" in done.stderr
    out.parent.mkdir()
    done = run(place, *line)
    assert done.returncode == 0 and done.stdout == ""
    assert "note: columns that training did not have, ignored: 'more'" in done.stderr
    assert "'size': 1 of 2 rows have no number ('abc'), taken as missing" in done.stderr
    assert "have a category that training did not have ('spotted')" in done.stderr
    assert [set(row) for row in json.loads(out.read_text())] == [
        {"prediction", *(f"probability_{n}" for n in CLASSES)}
    ] * 2
    assert [path.name for path in out.parent.iterdir()] == ["p.json"]
    table.write_text("tame,size,coat\n")
    assert run(place, "predict", str(tmp_path / "m"), str(table)).stdout.count("\n") == 1
