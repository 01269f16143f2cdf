"""`metric: {at: best}`: a trial's value, its model and a confirmation's look at the test rows are of its best epoch.
Whatever the rule, no trial that was stopped is better than the one that is reported."""

from __future__ import annotations

import io
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from e2e.support import Place, assert_records_agree
from e2e.test_models import CLASSES, SPACE, TASK, rows, run
from hpo.ledger.study.home import open_storage
from hpo.ledger.study.records import TrialRecord, record_of
from hpo.review.studies import best_of, read_study
from hpo.training.data.splitting import split_indices

pytestmark = pytest.mark.slow

RULES = [{"type": "asha", "min_iter": 2, "eta": 2}, {"type": "patience", "patience": 3}]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A study of eight trials, in stacks, of which some are stopped."""
    place = Place(tmp_path_factory.mktemp("best"), torch=True)
    rows().to_csv(place.folder / "animals.csv", index=False)
    (place.folder / "animals.py").write_text(TASK)
    place.sweep(place.write("", **keys(), budget={"trials": 8}, engine={"workers": 1, "cohort": 4}))
    return place


def keys() -> dict[str, Any]:
    return {
        "objective": "animals.py",
        "data": {"csv": "animals.csv", "target": "animal", "split_seed": 5},
        "metric": {"name": "val_accuracy", "at": "best"},
        "parameters": SPACE | {"epochs": {"value": 9}, "learning_rate": {"min": 0.05, "max": 0.4}},
        "references": "off",
        "keep": {"models": 2},
        "early_terminate": RULES,
        "baselines": [{"optimizer": "adam", "learning_rate": 0.3, "dropout": 0.2}],  # never stopped
    }


def records(place: Place, study: str = "small") -> list[TrialRecord]:
    return [record_of(trial) for trial in place.trials(study)]


def first_best(record: TrialRecord) -> tuple[int, float]:
    return max(
        ((step, metrics["val_accuracy"]) for step, metrics in record.steps.items()), key=lambda it: (it[1], -it[0])
    )


def test_every_value_is_that_of_the_best_epoch(place: Place) -> None:
    found = records(place)
    assert {record.state for record in found} == {"complete", "pruned"}
    assert any(1 < (record.best_step or 0) < max(record.steps) for record in found)
    for record, trial in zip(found, place.trials(), strict=True):
        assert (record.best_step, record.value) == first_best(record) and trial.value == record.value
    _, runs = place.runs()
    for record in found:
        metrics = runs[record.number].data.metrics
        assert (metrics["hpo/value"], metrics["hpo/best_step"]) == (record.value, record.best_step)
        assert metrics["hpo/last_val_accuracy"] == record.last("val_accuracy")
    best = best_of(read_study(place.home, "small"))
    assert best.value == max(record.value or 0.0 for record in found)
    assert_records_agree(place)
    assert place.run("doctor", "small").returncode == 0


@pytest.mark.parametrize("state", ["complete", "pruned"])
def test_the_model_has_the_value(place: Place, tmp_path: Path, state: str) -> None:
    """By kept weights and trained again, of a trial that trained to its end and of one that was stopped."""
    for record in [record for record in records(place) if record.state == state][:2]:
        done = run(place, "model", "small", "--trial", str(record.number), "--output", str(tmp_path / "m"))
        assert done.returncode == 0, done.stderr
        config = json.loads((tmp_path / "m" / "model.json").read_text())
        assert config["metrics"]["val_accuracy"] == config["value"] == record.value
        assert config["epoch"] == record.best_step and accuracy(place, tmp_path / "m", 1) == record.value


def test_kept_and_trained_again_are_the_same_weights(place: Place, tmp_path: Path) -> None:
    best = best_of(read_study(place.home, "small"))
    (kept,) = place.home.kept.glob(f"*/{best.number}_*.pt")
    first = model(place, "small", best.number, tmp_path / "kept")
    kept.unlink()
    again = model(place, "small", best.number, tmp_path / "again")
    assert (first["weights_from"], again["weights_from"]) == ("the sweep, which kept them", "training again")
    assert first["weights_digest"] == again["weights_digest"]


def test_a_confirmation_looks_at_the_test_rows_with_the_models_of_the_best_epochs(place: Place, tmp_path: Path) -> None:
    done = place.run("confirm", "small", "--top", "1", "--seeds", "2", "--json")
    assert done.returncode == 0, done.stderr
    found = records(place, "small.confirm")
    assert all((record.best_step, record.value) == first_best(record) for record in found)
    winner = read_study(place.home, "small").attributes["confirmations"][-1]["winner"]
    measured = []
    for number in winner["trials"]:
        model(place, "small.confirm", number, tmp_path / str(number))
        measured.append(accuracy(place, tmp_path / str(number), 2))
    assert winner["test"] == pytest.approx(statistics.fmean(measured))


def model(place: Place, study: str, number: int, folder: Path) -> dict[str, Any]:
    done = run(place, "model", study, "--trial", str(number), "--output", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((folder / "model.json").read_text())
    return found


def accuracy(place: Place, folder: Path, split: int) -> float:
    """Return the accuracy of a model's predictions. split: 1: validation; 2: test."""
    table = pd.read_csv(place.folder / "animals.csv", dtype=str, keep_default_na=False)
    part = table.iloc[split_indices(np.searchsorted(CLASSES, table["animal"]), "multiclass", seed=5)[split]]
    part.to_csv(folder / "part.csv", index=False)
    answers = pd.read_csv(io.StringIO(run(place, "predict", str(folder), str(folder / "part.csv")).stdout))
    return float((answers["prediction"].to_numpy() == part["animal"].to_numpy()).mean())


FALLS = """
def falls(trial):
    for epoch in range(1, 10):
        trial.report(epoch, score=trial.params["x"] * (epoch if epoch < 4 else 7 - epoch))
"""


def test_whatever_the_rule_the_best_is_never_worse_than_a_stopped_trial(tmp_path: Path) -> None:
    """Values that fall in the end: without a rule for it, most that were stopped would be better than the best."""
    place = Place(tmp_path)
    (tmp_path / "falling.py").write_text(FALLS)
    for at in ("last", "best"):
        path = place.write(
            "", name=at, objective="falling.py:falls", metric={"name": "score", "goal": "maximize", "at": at},
            parameters={"x": {"min": 0.0, "max": 1.0}}, budget={"trials": 10}, early_terminate=RULES[0],
            engine={"workers": 0}, seed=0,
        )  # fmt: skip
        said = place.sweep(path)
        values = [record.value for record in records(place, at) if record.value is not None]
        assert len(values) == 10 and said["best"]["value"] == max(values)
        best = best_of(read_study(place.home, at))
        assert (best.number, best.state) == (said["best"]["number"], "pruned")
        again = place.run("best", at, "--format", "yaml").stdout
        assert "here it trains to its end" in again and ("# Its value is its last one, another." in again) is (
            at == "last"
        )
        parent, _ = place.runs(at)
        assert parent.data.metrics["hpo/best_trial"] == best.number
        assert parent.data.metrics["hpo/best_so_far_score"] == best.value
        assert place.run("doctor", at).returncode == 0
        other = {"last": "best", "best": "last"}[at]
        refused = place.run("sweep", path, "-o", f"metric.at={other}")
        assert refused.returncode == 2 and f"metric.at: the study has {at}, the file has" in refused.stderr
    text = path.read_text()
    path.write_text(text.replace("  at: best\n", ""))
    assert "at" not in path.read_text().partition("metric")[2].partition("\n\n")[0].split("goal")[0]
    more = place.sweep(path, "--extend", "1")  # a file that says nothing goes on by the study's rule
    assert more["best"]["value"] == max(record.value or 0.0 for record in records(place, "best"))
    assert records(place, "best")[-1].best_step == 3


def test_a_study_of_an_earlier_release_goes_on_by_its_rule(tmp_path: Path) -> None:
    """It is known by its metric, which says no `at`. Stopped trials have their last report for a value in the study."""
    place = Place(tmp_path)
    (tmp_path / "falling.py").write_text(FALLS)
    path = place.write(
        "", objective="falling.py:falls", parameters={"x": {"min": 0.0, "max": 1.0}}, budget={"trials": 1},
        early_terminate=RULES[0], engine={"workers": 0}, seed=0,
    )  # fmt: skip
    place.sweep(path)
    storage = open_storage(place.home)
    study = storage.get_study_id_from_name("small")
    attributes = storage.get_study_user_attrs(study)
    for key in ("identity", "sweep"):
        metric = {name: value for name, value in attributes[key]["metric"].items() if name != "at"}
        storage.set_study_user_attr(study, key, attributes[key] | {"metric": metric})
    for at, code in (("best", 2), ("last", 0)):
        done = place.run("sweep", path, "--extend", "9", "-o", f"metric.at={at}")
        assert done.returncode == code, done.stderr
    assert "a trial that is stopped can't be its best, however good it is" in done.stderr + done.stdout
    found = records(place)
    assert [record.value for record in found if record.state == "pruned"] == [None] * 9
    assert best_of(read_study(place.home, "small")).state == "complete"
    trials = [trial for trial in place.trials() if trial.state.name == "PRUNED"]
    assert [trial.value for trial in trials] == [record.last("score") for record in found if record.state == "pruned"]
    assert "at" not in read_study(place.home, "small").attributes["identity"]["metric"]
    assert place.run("doctor", "small").returncode == 0
