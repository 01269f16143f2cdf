"""Tables as people have them: decimal commas and dates, from `hpo check` to predictions of the model."""

from __future__ import annotations

import io
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from benchmarks.tables import TABLES

from e2e.support import Place

ROOT = Path(__file__).parents[2]


def test_decimal_commas_and_dates_from_check_to_predictions(tmp_path: Path) -> None:
    place, draw = Place(tmp_path, torch=True), random.Random(0)
    shares = [draw.random() for _ in range(200)]
    lines = [f"{share:.3f};{'ja' if share > 0.5 else 'nein'}".replace(".", ",") for share in shares]
    (place.folder / "shares.csv").write_text("share;y\n" + "\n".join(lines) + "\n")
    days = [datetime(2024, 1, 1) + timedelta(days=index) for index in range(200)]
    lines = [f"{day:%d/%m/%Y},{'rest' if day.weekday() > 4 else 'work'}" for day in days]
    (place.folder / "days.csv").write_text("day,y\n" + "\n".join(lines) + "\n")
    keys: dict[str, Any] = {
        "objective": "objectives.binary",
        "metric": {"name": "val_accuracy"},
        "budget": {"trials": 1, "epochs": 30},
        "parameters": {"learning_rate": {"value": 0.03}, "batch_size": {"value": 16}},
        "references": "off",
    }
    for name, data, said in (
        ("shares", {"separator": ";"}, "read as numbers: 'share' ('0,"),
        ("days", {}, "dates, as days, year, month, day of the year, weekday and hour where they vary: 'day' ('"),
    ):
        file = place.write("", **keys, name=name, data={"csv": f"{name}.csv", "target": "y", **data})
        checked = place.run("check", file)
        assert checked.returncode == 0 and f"\n          {said}" in checked.stdout
        assert place.sweep(file)["best"]["value"] > 0.9
        done = place.run("model", name, "--output", place.folder / f"{name}.model")
        assert done.returncode == 0, done.stderr
        done = place.run("predict", place.folder / f"{name}.model", place.folder / f"{name}.csv")
        assert done.returncode == 0 and done.stderr == "note: the target column 'y' is there, and not looked at\n"
        found = pd.read_csv(io.StringIO(done.stdout))["prediction"]
        truth = pd.read_csv(place.folder / f"{name}.csv", sep=data.get("separator", ","))["y"]
        assert (found == truth).mean() > 0.9


def test_people_that_are_in_one_split_each(tmp_path: Path) -> None:
    """A search, its confirmation, and a model that asks for no group; the second file is another data set."""
    place, draw = Place(tmp_path, torch=True), random.Random(1)
    people = [(f"p{index}", draw.random()) for index in range(40)]
    rows = [f"{name},{share + draw.gauss(0, 0.1):.3f},{'ill' if share > 0.5 else 'well'}" for name, share in people * 4]
    (place.folder / "visits.csv").write_text("patient,pressure,state\n" + "\n".join(rows) + "\n")
    file = place.write(
        "",
        name="visits",
        objective="objectives.binary",
        data={"csv": "visits.csv", "target": "state"},
        metric={"name": "val_accuracy"},
        budget={"trials": 2, "epochs": 5},
        parameters={"learning_rate": {"min": 0.01, "max": 0.1}, "batch_size": {"value": 16}},
    )
    asked = place.run("check", file).stdout
    assert "data      read 160 rows and 3 columns from" in asked and "has rows of, too: 'patient' (" in asked
    override = ("-o", "data.group=patient")
    checked = place.run("check", file, *override).stdout
    assert "group 'patient': 40 groups, 24 for training, 8 for validation and 8 for test; no feature" in checked
    assert "'ill' is 0, 'well' is 1 (shares of the rows: " in checked and "; the positive class is 'well'" in checked
    assert place.sweep(file, *override)["best"]["value"] > 0.5
    done = place.run("confirm", "visits", "--seeds", "2")
    assert done.returncode == 0 and "test_accuracy on the 32 test rows" in done.stdout, done.stderr
    assert place.run("model", "visits", "--output", place.folder / "visits.model").returncode == 0
    (place.folder / "new.csv").write_text("pressure\n0.9\n0.1\n")
    done = place.run("predict", place.folder / "visits.model", place.folder / "new.csv")
    assert done.returncode == 0 and not done.stderr


def test_public_tables_train_as_they_are(tmp_path: Path) -> None:
    """Texts, dates and gaps of three public tables, with nothing said but which column is predicted."""
    place = Place(tmp_path, torch=True)
    for name, metric, said in (
        (
            "titanic",
            "val_accuracy",
            ["has 2 values: binary", "gaps filled with the median", "text, "],
        ),
        ("cpus", "val_rmse", ["has 59 numbers: regression", "dates, as days", "only the 19 most frequent"]),
        ("breaches", "val_accuracy", ["has 4 classes: multiclass", "true or false, as 1 or 0", "dates, as days"]),
    ):
        table = TABLES[name]
        table.load().to_csv(tmp_path / f"{name}.csv", index=False)
        data = {"csv": str(tmp_path / f"{name}.csv"), "target": table.target}
        keys = [f"data={data}", f"name={name}", "budget.trials=2", "parameters.epochs.value=2", "references=off"]
        given = [word for key in [*keys, "engine.workers=0"] for word in ("-o", key)]
        done = place.run("sweep", ROOT / "search_spaces" / "table.yaml", *given, "--no-confirm")
        assert done.returncode == 0, done.stderr
        assert f"best {metric} " in done.stdout and all(words in done.stdout for words in said), done.stdout
        assert [trial.state.name for trial in place.trials(name)] == ["COMPLETE"] * 2
