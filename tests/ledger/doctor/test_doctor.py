"""`hpo doctor`: whatever is damaged, it is found, named and repaired from the study; the second look finds nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from e2e.support import Place, assert_records_agree
from mlflow import MlflowClient
from waiting import wait_for

from hpo.ledger.ledger import Ledger
from hpo.ledger.sharing.ownership import owned
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import Outcome
from hpo.review.doctor import diagnose, json_of
from hpo.spec.faults import UserError

from .support import AGREED, SWEEP, assert_found_and_repaired, assert_silent, load, look, params, run_of, run_sweep, sql


def test_all_agree(home: Home):
    said, found = look(home)
    assert said == AGREED
    assert json_of(found)["agree"] is True


def test_names_are_said_when_there_is_no_such_study(home: Home, tmp_path: Path):
    with pytest.raises(UserError, match=r"there is no study 'smal' .*did you mean 'small'"):
        diagnose(home, "smal", fix=True)
    with pytest.raises(UserError, match="there is none yet"):
        diagnose(Home(tmp_path / "nowhere"), "small", fix=True)
    assert not (tmp_path / "nowhere").exists()


def test_a_study_that_is_run_is_left_alone(home: Home, tmp_path: Path):
    with owned(home, load(tmp_path)), pytest.raises(UserError, match=f"is being run by process {os.getpid()} on "):
        diagnose(home, "small", fix=False)


METRIC = "metrics set value = 99 where key = 'loss' and step = 2 and run_uuid = '{0}'"
LATEST = "latest_metrics set value = 99 where key = 'loss' and run_uuid = '{0}'"
DAMAGES = {
    "a metric's value": [
        f"update {METRIC}", r"trial 0: metric loss at step 2: the study has 0\.5, MLflow has 99\.0"
    ],
    "a metric's row": [
        "delete from metrics where key = 'score' and step = 1 and run_uuid = '{0}'",
        r"trial 0: metric score at step 1: the study has 1\.0, MLflow has none",
    ],
    "a row too many": [
        "insert into metrics (key, value, timestamp, step, is_nan, run_uuid) values ('score', 5.5, 1, 77, 0, '{0}')",
        r"trial 0: metric score at step 77: the study has none, MLflow has 5\.5",
    ],
    "what lists show": [f"update {LATEST}", r"trial 0: metric loss, latest value: .* at step 3, MLflow has 99\.0"],
    "a status": ["update runs set status = 'RUNNING' where run_uuid = '{0}'", "trial 0: the status is FINISHED by the"],
    "a param": [
        "update params set value = '[1]' where key = 'layers' and run_uuid = '{0}'",
        r"trial 0: param layers: the study has '\[64, 32\]', MLflow has '\[1\]'",
    ],
    "a tag": ["delete from tags where key = 'hpo.seed' and run_uuid = '{0}'", "trial 0: tag hpo.seed: .* not have"],
    "a state": [
        "update tags set value = 'failed' where key = 'hpo.state' and run_uuid = '{0}'",
        "trial 0: tag hpo.state: the study has 'complete', MLflow has 'failed'",
    ],
    "a deleted run": [
        "update runs set lifecycle_stage = 'deleted' where run_uuid = '{0}'",
        "trial 0: somebody deleted its run .* in MLflow",
    ],
    "a run out of the family": [
        "delete from tags where key = 'mlflow.parentRunId' and run_uuid = '{0}'",
        "trial 0: tag mlflow.parentRunId: .* does not have it",
    ],
    "the best curve": [
        "update metrics set value = 99 where key = 'hpo/best_so_far_score' and step = 1",
        r"hpo/best_so_far_score at step 1: the study has 3\.0, MLflow does not have it",
        r"hpo/best_so_far_score at step 1: the study does not have 99\.0, MLflow has it",
    ],
    "a parent that runs": [
        "update runs set status = 'RUNNING' where run_uuid = '{parent}'",
        "the parent run is RUNNING, but nobody runs the sweep",
    ],
    "a deleted parent": [
        "update runs set lifecycle_stage = 'deleted' where run_uuid = '{parent}'",
        "somebody deleted the parent run",
    ],
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_rows(home: Home, damage: str):
    statement, *patterns = DAMAGES[damage]
    ((parent,),) = sql(home, "select run_uuid from tags where key = 'hpo.kind' and value = 'sweep'")
    sql(home, statement.format(run_of(home, 0), parent=parent))
    assert_found_and_repaired(home, *patterns)
    assert sql(home, f"select count(*) from metrics where run_uuid = '{run_of(home, 0)}'") == [(10,)]


def test_runs_that_are_doubled_or_nobodys(home: Home):
    client = MlflowClient(home.tracking_uri)
    own = client.get_run(run_of(home, 1))
    twin = client.create_run(own.info.experiment_id, tags=own.data.tags)
    stray = client.create_run(own.info.experiment_id, tags={**own.data.tags, "hpo.trial": "12"})
    assert_found_and_repaired(
        home,
        f"trial 1: it has another run in MLflow, {twin.info.run_id} besides {own.info.run_id}",
        f"the run {stray.info.run_id} is under the parent run, but of trial 12, which the study does not have",
    )
    stages = [client.get_run(run.info.run_id).info.lifecycle_stage for run in (own, twin, stray)]
    assert stages == ["active", "deleted", "deleted"]


def test_a_run_under_another_id(home: Home):
    client = MlflowClient(home.tracking_uri)
    own = client.get_run(run_of(home, 1))
    client.create_run(own.info.experiment_id, tags=own.data.tags)
    client.delete_run(own.info.run_id)
    said, _ = look(home)
    assert "trial 1: its run in MLflow is" in said
    assert f"the study says {own.info.run_id}" in said
    look(home, fix=True)
    assert_silent(home)


def test_runs_from_before_there_were_descriptions_are_one_finding(home: Home):
    before = sql(home, "select run_uuid, value from tags where key = 'mlflow.note.content' order by run_uuid")
    sql(home, "delete from tags where key in ('mlflow.note.content', 'hpo.description')")
    sql(home, "delete from experiment_tags")
    assert_found_and_repaired(home, r"mlflow: 8 runs of the sweep's have no description \(older releases wrote none\)")
    after = sql(home, "select run_uuid, value from tags where key = 'mlflow.note.content' order by run_uuid")
    ((parent,),) = sql(home, "select run_uuid from tags where key = 'hpo.kind' and value = 'sweep'")
    assert [row for row in after if row[0] != parent] == [row for row in before if row[0] != parent]
    assert "best score" in dict(after)[parent] and "| 1 | [3]" in dict(after)[parent]
    assert sql(home, "select count(*) from experiment_tags") == [(2,)]


def test_a_deleted_experiment(home: Home):
    client = MlflowClient(home.tracking_uri)
    client.delete_experiment(client.get_experiment_by_name("small").experiment_id)
    said, _ = look(home)
    assert "somebody deleted the experiment 'small'" in said
    look(home, fix=True)
    assert_silent(home)


def test_trials_that_a_dead_driver_left(tmp_path: Path):
    home = run_sweep(Place(tmp_path).home, load(tmp_path), dies=True)
    lines = home.journal.read_text().splitlines(keepends=True)
    ended = max(i for i, line in enumerate(lines) if '"op_code":6' in line)
    home.journal.write_text("".join(line for i, line in enumerate(lines) if i != ended))  # the state of trial 6
    said, found = look(home)
    assert "study: trial 7: it is RUNNING, but nobody runs it: it was interrupted" in said
    assert "study: trial 6: it is RUNNING, but its outcome is noted: failed without a value" in said
    assert found.before.counts == {"study.running": 2}  # MLflow's writer has ended the parent run
    repaired, fixed = look(home, fix=True)
    assert "fixed: trial 7 was settled: interrupted, the next hpo sweep runs it again" in repaired
    assert "2 interrupted trials will be run again by the next hpo sweep" in repaired
    assert sql(home, "select value from metrics where key = 'hpo/trials_complete'") == [(4.0,)]
    assert not len(fixed.after), repaired
    assert_silent(home)
    storage = open_storage(home)
    trials = storage.get_all_trials(storage.get_all_studies()[0]._study_id)
    assert [trial.state.name for trial in trials[6:]] == ["FAIL", "FAIL"]
    assert trials[7].user_attrs["params"] == params(7)  # [64, 32] as it was given
    ledger = Ledger(load(tmp_path), home)
    assert [record.number for record in ledger.start()[1]] == [6, 7]
    ledger.close("FINISHED", {"outcome": ""}, lambda: False)


def test_a_driver_that_died_between_its_last_trial_and_its_end(tmp_path: Path):
    home, sweep = Place(tmp_path).home, load(tmp_path)
    ledger = Ledger(sweep, home)
    ledger.start()
    for number in range(sweep.budget.trials):
        ledger.begin(params(number))
        ledger.report(number, 1, {"score": float(number)}, time.time())
        ledger.best(ledger.end(number, Outcome("complete", value=float(number))))
    wait_for(lambda: not ledger.pump() and not ledger._mirror._unwritten, "an MLflow that has all")
    ledger.abandon()
    assert_found_and_repaired(
        home, "the parent run says that the sweep was interrupted, but no trial is to be run again"
    )
    (parent,) = MlflowClient(home.tracking_uri).search_runs(["1"], "tags.`hpo.kind` = 'sweep'")
    assert parent.info.status == "FINISHED" and parent.data.metrics["hpo/trials_complete"] == 5
    assert "interrupted" not in parent.data.tags["mlflow.note.content"]
    for table in ("metrics", "latest_metrics"):
        sql(home, f"delete from {table} where key = 'hpo/trials_complete'")
    assert_found_and_repaired(home, "the parent run has no summary, but the sweep is done")


def test_a_study_in_a_database(tmp_path: Path):
    home = Home(Place(tmp_path).home.path, storage=f"sqlite:///{tmp_path / 'studies.db'}")
    run_sweep(home, load(tmp_path), dies=True)
    said, found = look(home)
    assert found.before.counts == {"study.running": 1}, said
    repaired, fixed = look(home, fix=True)
    assert not len(fixed.after), repaired
    assert_silent(home)


@pytest.mark.slow
def test_a_sweep_that_was_killed(tmp_path: Path):
    place = Place(tmp_path)
    path = place.write("held", budget={"trials": 6}, data={"go": str(tmp_path / "go")})
    place.kill_in_mid_trial(path)
    wait_for(lambda: place.runs()[0].info.status == "KILLED", "a parent run that says so")
    told = place.run("list").stdout
    go_on = rf"note: small was interrupted, with \d trials? to be run again; to go on: .*hpo sweep {path} --home"
    assert re.search(go_on, told), told
    assert "interrupted, and this is its best so far; to go on: " in place.run("best", "small").stdout
    assert "interrupted" in place.run("trials", "small").stdout
    found = place.run("doctor", "small")
    assert found.returncode == 1, found.stderr
    assert "it is RUNNING, but nobody runs it" in found.stdout
    fixed = place.run("doctor", "small", "--fix")
    assert fixed.returncode == 0, fixed.stdout + fixed.stderr
    assert_records_agree(place)
    assert place.sweep(path)["trials"]["complete"] == 6
    assert_records_agree(place)
    assert place.run("doctor", "small").returncode == 0


def test_what_the_study_says_against_itself(home: Home):
    lines = home.journal.read_text().splitlines(keepends=True)
    lines = [
        line.replace('"values":[4.0', '"values":[5.5').replace('"values":[3.0]', '"values":[7.5]') for line in lines
    ]
    lines = [line.replace('"trials":5', '"trials":4') for line in lines]
    home.journal.write_text("".join(lines))
    for fix in (False, True):
        said, found = look(home, fix)
        assert "study: trial 0: it is COMPLETE with 7.5, but its outcome is complete with 3.0" in said
        assert "5 trials are complete or pruned, but the budget is 4" in said
        assert found.after.counts == {"study.contradiction": 1, "study.budget": 1}
        assert "Optuna lets nobody change a trial that has ended" in said.splitlines()[-1]


def test_files_that_are_of_no_use(home: Home):
    identity = open_storage(home).get_all_studies()[0].user_attrs["id"]
    folder = home.checkpoints / identity
    folder.mkdir(parents=True)
    for name in ("6.pt", "2.pt", "3.pt.tmp-1"):
        (folder / name).write_text("")
    (home.path / "mlflow.db.new-999999-whole").write_text("")
    (home.path / f"mlflow.db.new-{os.getpid()}").write_text("")  # somebody makes it
    assert_found_and_repaired(
        home, "/2.pt is of no trial", "/3.pt.tmp-1 is of no trial", "mlflow.db.new-999999-whole is a"
    )
    assert [path.name for path in folder.iterdir()] == ["6.pt"]  # trial 6 will go on
    assert (home.path / f"mlflow.db.new-{os.getpid()}").exists()


def test_a_traceback_that_is_gone(tmp_path: Path):
    home = run_sweep(Place(tmp_path).home, load(tmp_path))
    (kept,) = home.path.glob("artifacts/**/traceback.txt")
    kept.unlink()
    assert_found_and_repaired(home, "disk: trial 5: its run in MLflow has no traceback.txt")
    assert kept.read_text() == "Traceback: no\n"


def test_files_of_the_parent_run_that_are_gone(home: Home):
    files = {path.name: path for path in home.path.glob("artifacts/*/artifacts/*.*") if path.name != "traceback.txt"}
    texts = {name: path.read_text() for name, path in files.items()}
    assert texts.keys() == {"sweep.yaml", "resolved.yaml", "versions.json"}
    files["sweep.yaml"].unlink()
    assert_found_and_repaired(home, "disk: the parent run has no sweep.yaml")
    shutil.rmtree(home.path / "artifacts")
    gone = [rf"disk: the parent run has no {name}" for name in texts]
    assert_found_and_repaired(home, *gone, "disk: trial 5: its run in MLflow has no traceback.txt")
    assert {name: path.read_text() for name, path in files.items()} == texts


def test_what_a_program_printed_and_is_gone_is_said(tmp_path: Path):
    sweep = load(tmp_path, SWEEP.replace("objective: thing", "program: thing.py"))
    home = run_sweep(Place(tmp_path).home, sweep)
    said, found = look(home)
    assert "what the program printed in trials 0, 1, 2, 3, 4 is lost: MLflow has no output.log of it" in said
    assert not len(found.before) and "agree" in said


def test_half_a_line_of_the_journal(home: Home):
    with home.journal.open("a") as file:
        file.write('{"op_code": 8, "stu')
    said, found = look(home)
    assert not len(found.before)
    assert "note: the journal ended in half a line, which was cut off" in said
    assert_silent(home)


def test_many_disagreements_of_a_kind_are_counted(home: Home):
    statement = (
        "insert into metrics (key, value, timestamp, step, is_nan, run_uuid) values ('score', 5.5, 1, {1}, 0, '{0}')"
    )
    run_id = run_of(home, 0)
    for step in range(10, 90):
        sql(home, statement.format(run_id, step))
    said, found = look(home)
    assert len(said.splitlines()) == 52
    assert "mlflow: ... and 30 more of this kind (mlflow.metric)" in said
    assert said.splitlines()[-1].startswith("small: 80 disagreements; to repair from the study: ")
    assert json_of(found)["found"] == {"mlflow.metric": 80}


def test_what_others_wrote_is_no_disagreement(home: Home):
    client, run_id = MlflowClient(home.tracking_uri), run_of(home, 1)
    client.log_metric(run_id, "theirs", 1.0)
    client.log_param(run_id, "their", "p")
    client.set_tag(run_id, "mlflow.note.content", "mine")
    assert_silent(home)


@pytest.mark.slow
def test_the_command(home: Home, tmp_path: Path):
    place = Place(tmp_path, fresh=True)
    assert place.run("doctor", "small").returncode == 0
    sql(home, f"update {METRIC}".format(run_of(home, 0)))
    process = place.start("doctor", "small", "--json")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert json.loads(output)["found"] == {"mlflow.metric": 1}
    fixed = place.run("doctor", "small", "--fix")
    assert (fixed.returncode, fixed.stderr) == (0, "")
    wrong = place.run("doctor", "smalll")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean 'small'?" in wrong.stderr
