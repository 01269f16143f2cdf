"""Names in MLflow: nothing that the sweep writes of its own accord lands under a name of the user's, nor does one name
of the user's under another."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from e2e.support import Place
from mlflow import MlflowClient
from optuna.trial import create_trial

from hpo.ledger.mirror.book import MlflowBook
from hpo.ledger.mirror.rows import ended_rows, keys_of, own_key
from hpo.ledger.study.records import (
    Outcome,
    SweepRecord,
    TrialRecord,
    end_attributes,
    local_time,
    optuna_state,
    record_of,
)

METRIC = "auc@5"
SWEEP = SweepRecord(
    study="names", study_id="one", metric=METRIC, goal="minimize", objective="m", text="",
    config={"parameters": {"l/r": {"type": "float"}, "l#r": {"type": "float"}, "l_r": {"type": "float"}}},
)  # fmt: skip
# What the sweep writes has such names, with `hpo/` before them; or had, without.
OWN = [f"{kind}_{METRIC}" for kind in ("best", "last", "best_so_far", "baseline")]
OWN += ["value", "duration_seconds", "trials_complete", "trials_failed", "sweep_seconds", "best_trial"]
ODD = ["auc_5", "auc#5", "hpo/value", "hpo_value", "a//b", "/root", "..", ".", "", "up/../down", "tail/", "é" * 251]


def record(**facts: object) -> TrialRecord:
    names = [METRIC, *OWN, *(own_key(name) for name in OWN), *ODD]
    steps = {step: {name: step + index / 7 for index, name in enumerate(names)} for step in (0, 3)}
    whole = TrialRecord(
        number=0, params={"l#r": 2.0, "l_r": 3.0}, seed=1, started=1.7e9, ended=1.7e9 + 9.5, steps=steps,
        times={0: 1.7e9, 3: 1.7e9 + 3}, outcome=Outcome("complete", value=3.0), run_id=uuid.uuid4().hex,
    )  # fmt: skip
    return replace(whole, **facts)


def test_names_that_are_allowed_stay_and_all_are_different() -> None:
    names = ["b_2", "b@", "b_", "b#", "plain", "hpo/plain", "hpo_plain"]
    keys = keys_of(names)
    assert {name: key for name, key in keys.items() if name == key} == {
        name: name for name in ("b_2", "b_", "plain", "hpo_plain")
    }
    assert len(set(keys.values())) == len(names)
    assert not [key for key in keys.values() if key.startswith("hpo/")]
    assert keys_of(reversed(names)) == keys


@pytest.mark.parametrize(
    ("at", "outcome", "best", "last"),
    [
        ("best", Outcome("complete", value=1.0, best_step=0, returned=4.0), 1.0, 4.0),
        ("best", Outcome("complete", value=0.5), 0.5, 0.5),  # what it returned
        ("best", Outcome("complete", value=1.0, best_step=0), 1.0, 3.0),
        ("last", Outcome("complete", value=0.5), 1.0, 0.5),
        ("best", Outcome("pruned", value=1.0, best_step=0), 1.0, 3.0),
    ],
)
def test_what_is_returned_is_one_more_report(at: str, outcome: Outcome, best: float, last: float) -> None:
    """Of a trial that reported 1 and then 3, less being better."""
    sweep = replace(SWEEP, config={**SWEEP.config, "metric": {"name": METRIC, "at": at}})
    whole = record(steps={0: {METRIC: 1.0}, 3: {METRIC: 3.0}}, outcome=outcome)
    again = record_of_study(whole)
    rows = ended_rows(sweep, "p", again)
    found = {point.key: point.value for point in rows.points}
    assert (found[own_key(f"best_{METRIC}")], found[own_key(f"last_{METRIC}")]) == (best, last)
    assert found["hpo/value"] == outcome.value


def record_of_study(whole: TrialRecord) -> TrialRecord:
    """Return a record as the study gives it back."""
    attributes = end_attributes(whole)
    moment = local_time(whole.started)
    trial = create_trial(state=optuna_state(whole.state), value=whole.value, user_attrs=attributes)
    trial.datetime_start = trial.datetime_complete = moment
    return record_of(trial)


def test_a_parameters_name_does_not_depend_on_which_others_are_active() -> None:
    alone = ended_rows(SWEEP, "p", record(params={"l#r": 2.0})).params
    assert alone.items() <= ended_rows(SWEEP, "p", record()).params.items()
    assert "l_r" not in alone


@pytest.mark.parametrize("way", ["bulk", "client"])
def test_metrics_of_whatever_name_are_as_they_were_reported(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, whole = Place(tmp_path).home, record()
    if way == "client":
        monkeypatch.setattr("hpo.ledger.mirror.bulk.TESTED", ())
    book = MlflowBook(home)
    book.prepare()
    assert book.takes_ids is (way == "bulk")
    book.open(SWEEP, [])
    book.write([(whole, True)], [(1, 3.0, 1.7e9)])
    book.close("FINISHED", {"outcome": "done", "trials_complete": 1, f"baseline_{METRIC}": 2.0})
    client = MlflowClient(home.tracking_uri)
    (run,) = client.search_runs(["1"], "tags.`hpo.kind` = 'trial'")
    own = {"value": 3.0, "duration_seconds": 9.5, f"best_{METRIC}": 0.0, f"last_{METRIC}": 3.0}
    assert {key: value for key, value in run.data.metrics.items() if key.startswith("hpo/")} == {
        own_key(name): value for name, value in own.items()
    }
    for name, key in keys_of(whole.steps[0]).items():
        points = {point.step: point.value for point in client.get_metric_history(run.info.run_id, key)}
        assert points == {step: whole.steps[step][name] for step in (0, 3)}, name
    assert len(run.data.metrics) == len(whole.steps[0]) + len(own)
    parent = client.get_run(book.parent_id)
    assert all(key.startswith("hpo/") for key in parent.data.metrics)
    assert parent.data.metrics[own_key(f"best_so_far_{METRIC}")] == 3.0


def test_a_value_that_was_only_returned_is_a_point_of_the_metric_and_of_no_other() -> None:
    reported = {1: {"auc_5": 0.25}}
    rows = ended_rows(SWEEP, "p", record(steps=reported, times={1: 1.7e9}))
    keys = keys_of([METRIC, "auc_5"])
    assert [point.value for point in rows.points if point.key == keys["auc_5"]] == [0.25]
    assert [point.value for point in rows.points if point.key == keys[METRIC]] == [3.0]


def test_params_of_choices_that_would_have_one_text_are_json() -> None:
    """Of a study that was begun so: one that is older goes on as its runs are, since MLflow lets nobody change them."""
    long = "x" * 7000
    values = [True, "true", '"true"', 1, "1", [1], "[1]", None, "null", 0.5, "é", long, f"{long}y"]
    sweep = replace(SWEEP, quoted=("l#r",))
    texts = [ended_rows(sweep, "p", record(params={"l#r": value, "l_r": value})).params for value in values]
    (key,) = texts[0].keys() - {"l_r"}
    assert len({params[key] for params in texts}) == len(values)
    assert all(len(params[key]) <= 6000 for params in texts)
    assert [params[key] for params in texts[:-2]] == [
        "true", '"true"', '"\\"true\\""', "1", '"1"', "[1]", '"[1]"', "null", '"null"', "0.5", '"é"',
    ]  # fmt: skip
    assert [params["l_r"] for params in texts[:3]] == ["true", "true", '"true"']
