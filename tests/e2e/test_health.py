"""`health: true`: diagnoses and figures in both records, and in what people are shown; they go where a study goes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from e2e.support import Place, assert_records_agree
from hpo.diagnosis.figures import is_health
from hpo.ledger.study.records import record_of

pytestmark = pytest.mark.slow

PARAMETERS = {
    "activation": {"values": ["sigmoid", "relu"]},
    "hidden_layers": {"value": [16] * 6},
    "learning_rate": {"value": 0.003},
    "epochs": {"value": 10},
}
SWEEP: dict[str, Any] = {
    "objective": "objectives.binary",
    "metric": {"name": "val_accuracy"},
    "method": "grid",
    "parameters": PARAMETERS,
    "references": "off",
    "budget": {"trials": 2},
    "engine": {"workers": 1, "cohort": 2},
    "health": True,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A study of two deep networks, of which the sigmoid one is ill."""
    place = Place(tmp_path_factory.mktemp("health"), torch=True)
    done = place.run("sweep", place.write("", **SWEEP))
    assert done.returncode == 0, done.stdout + done.stderr
    (place.folder / "said").write_text(done.stdout)
    return place


def test_both_records_have_diagnoses_and_figures(place: Place) -> None:
    assert_records_agree(place)
    _, children = place.runs()
    assert len(children) == 2
    for trial in place.trials():
        record, run = record_of(trial), children[trial.number].data
        assert record.diagnoses is not None
        names = [each.name for each in record.diagnoses]
        ill = record.params["activation"] == "sigmoid"
        assert ("vanishing gradient" in names) == ill
        assert run.tags["hpo.diagnosis"] == (", ".join(names) or "healthy")
        assert ("reaches the first" in run.tags.get("hpo.diagnosis_evidence", "")) == ill
        assert run.metrics["hpo/diagnoses"] == len(names)
        last = {name: value for name, value in record.steps[10].items() if is_health(name)}
        assert {name: run.metrics[name] for name in last} == last
        assert "health/0/gradient_norm" in last
        assert "health/1/dead" in last or ill
    client = place.client()
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], "tags.`hpo.diagnosis` LIKE '%vanishing gradient%'")
    assert len(found) == 1


def test_people_are_told(place: Place) -> None:
    said = (place.folder / "said").read_text()
    best = place.run("best", "small").stdout
    for text in (said, best):
        assert "\nhealth of the best: healthy\n" in text or "\nhealth of the best: still improving (" in text
        assert "vanishing gradient 1" in text.partition("health of the trials: ")[2].splitlines()[0]
    (ill,) = [record_of(trial) for trial in place.trials() if trial.user_attrs["params"]["activation"] == "sigmoid"]
    facts = json.loads(place.run("best", "small", "--format", "json").stdout)
    assert facts["number"] != ill.number
    assert all(set(each) == {"name", "evidence"} for each in facts["diagnoses"])
    table = pd.read_csv(io.StringIO(place.run("trials", "small", "--format", "csv").stdout)).set_index("number")
    assert "vanishing gradient" in table.loc[ill.number, "diagnoses"]
    assert not [name for name in table if "health/" in name]


def test_a_study_takes_them_along_and_a_model_is_compared_with_them(place: Place, tmp_path: Path) -> None:
    there = Place(tmp_path / "there")
    assert place.run("study", "export", "small", str(tmp_path / "small.tar.gz")).returncode == 0
    assert there.run("study", "import", str(tmp_path / "small.tar.gz")).returncode == 0
    assert [t.user_attrs["diagnoses"] for t in there.trials()] == [t.user_attrs["diagnoses"] for t in place.trials()]
    assert_records_agree(there)
    done = place.run("model", "small", "--output", str(tmp_path / "model"))
    assert done.returncode == 0, done.stderr
    assert "the study's, to the last digit" in done.stdout or "to rounding" in done.stdout


def test_who_has_no_layers_is_refused_and_has_diagnoses_of_curves(tmp_path: Path) -> None:
    place = Place(tmp_path)
    done = place.run("sweep", place.write("parabola", health=True))
    assert done.returncode == 2
    assert "sweep.yaml:" in done.stderr
    assert "'health' needs a Torch task" in done.stderr
    assert "leave 'health' out" in done.stderr
    place.sweep(place.write("mixed"))
    diagnosed = [record_of(trial).diagnoses for trial in place.trials()]
    assert [found and found[0].name for found in diagnosed] == [None, None, "diverged", *[None] * 4]
    said = place.run("best", "small").stdout
    assert "health of the trials: diverged 1" in said
    assert "health of the best" not in said  # it only returned a value: nothing is known
    assert "agree" in place.run("doctor", "small").stdout
