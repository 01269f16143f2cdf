"""`hpo doctor`: whatever is damaged, it is found, named and repaired from the study; the second look finds nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from e2e.support import Place, assert_records_agree, empty_mlflow
from mlflow import MlflowClient
from mlflow_server import mlflow_server
from waiting import wait_for

from hpo.ledger.ledger import Ledger
from hpo.ledger.mirror.moved import correct_locations, old_locations
from hpo.ledger.sharing.ownership import owned
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import Outcome
from hpo.review.doctor import Checkup, diagnose, json_of, lines_of
from hpo.spec.faults import UserError
from hpo.spec.load import Inspection, load_sweep
from hpo.spec.sweep import Sweep

SWEEP = """
name: small
objective: thing
metric: {name: score, goal: maximize}
method: random
budget: {trials: 5}
parameters:
  x: {min: 0.0, max: 9.0}
  layers: {values: [[64, 32], 3, null]}
  mode: {values: [true, false]}
  fixed: {value: 1e-5}
"""
AGREED = "small: study, MLflow and disk agree (7 trials); 1 interrupted trial will be run again by the next hpo sweep"


def load(folder: Path, text: str = SWEEP) -> Sweep:
    path = folder / "small.yaml"
    path.write_text(text)
    return load_sweep(path, lambda named: Inspection(None), ())


def params(number: int) -> dict[str, Any]:
    return {"x": float(number), "layers": [[64, 32], 3, None][number % 3], "mode": number % 2 == 0, "fixed": 1e-5}


def run_sweep(home: Home, sweep: Sweep, dies: bool = False) -> Home:
    """Run a sweep of 7 trials, as a driver does: 4 complete, one pruned, one that failed, one interrupted.

    dies: the driver is gone before it has ended two more trials.
    """
    home.prepare()
    ledger = Ledger(sweep, home)
    ledger.start()
    best = -1.0
    for number in range(7):
        record = ledger.begin(params(number))
        for step in range(1, 4):
            ledger.report(number, step, {"score": number / 7 + step, "loss": 1 / (step + number)}, time.time())
        if number == 4:
            record.info |= {"worker": "w-0", "host": "here"}
            ledger.end(number, Outcome("pruned"))
        elif number == 5:
            ledger.end(number, Outcome("failed", error="ValueError: no", traceback="Traceback: no\n", failure="error"))
        elif number == 6:
            ledger.end(number, Outcome("failed", error="the sweep was interrupted", interrupted=True))
        else:
            value = record.last("score") or 0.0
            record.info |= {"worker": "w-1"}
            ledger.end(number, Outcome("complete", value=value))
            if value > best:
                best = value
                ledger.best(record)
    if dies:
        ledger.begin(params(7))
        ledger.report(7, 1, {"score": 0.5}, time.time())

        def written() -> bool:
            ledger.pump()
            return not ledger._mirror._unwritten

        wait_for(written, "an MLflow that has all")
        ledger.abandon()
    else:
        ledger.close("FINISHED", {"outcome": "done", "trials_complete": 4}, lambda: False)
    return home


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("made")
    return run_sweep(Place(folder).home, load(folder))


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    """A copy of a home in which all agree."""
    shutil.copytree(made.path, tmp_path / "home")
    home = Home(tmp_path / "home")
    correct_locations(home, old_locations(home))
    return home


def look(home: Home, fix: bool = False) -> tuple[str, Checkup]:
    diagnosis = diagnose(home, "small", fix)
    return "\n".join(lines_of(diagnosis, home)), diagnosis


def assert_found_and_repaired(home: Home, *patterns: str) -> str:
    """What is damaged is found and named, nothing else is; it is repaired; then there is nothing to do."""
    before = home.journal.read_bytes()
    said, found = look(home)
    for pattern in patterns:
        assert re.search(pattern, said), said
    assert len(found.before) == len(patterns), said
    assert "doctor small --fix --home" in said.splitlines()[-1]
    assert home.journal.read_bytes() == before
    repaired, fixed = look(home, fix=True)
    assert not len(fixed.after), repaired
    assert_silent(home)
    return repaired


def assert_silent(home: Home) -> None:
    said, found = look(home)
    assert said.count("\n") == 0, said
    assert "small: study, MLflow and disk agree" in said
    assert look(home, fix=True)[1].done is None
    assert not len(found.before)


def sql(home: Home, statement: str) -> list[Any]:
    assert home.mlflow_database is not None
    with closing(sqlite3.connect(home.mlflow_database)) as connection, connection:
        changed = connection.execute(statement)
        assert changed.rowcount != 0 or statement.startswith("select"), statement
        return changed.fetchall()


def run_of(home: Home, number: int) -> str:
    study = open_storage(home)
    return str(study.get_all_trials(study.get_all_studies()[0]._study_id)[number].user_attrs["mlflow_run_id"])


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


def metrics_of_trials(home: Home) -> list[Any]:
    parents = "select run_uuid from tags where key = 'hpo.kind' and value = 'sweep'"
    rows = sql(home, f"select key, value, step, run_uuid from metrics where run_uuid not in ({parents})")
    return sorted((key, round(value, 3), *rest) for key, value, *rest in rows)


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    path.write_bytes(b"no database, not at all\n" * 5000)


def spoil(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096 * 10)
        file.write(b"\xff\xee" * 4096 * 20)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def half_made(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("drop table latest_metrics")


def old_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update alembic_version set version_num = '451aebb31d03'")


@pytest.mark.parametrize("damage", [remove, truncate, overwrite, spoil, empty, half_made, old_schema])
def test_a_database_that_is_of_no_use(home: Home, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch):
    if damage is not remove:  # once is enough: MLflow takes seconds for it
        monkeypatch.setattr("hpo.ledger.mirror.mending.make_database", lambda path: shutil.copy(empty_mlflow(), path))
    before = metrics_of_trials(home)
    database = home.mlflow_database
    assert database is not None
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    damage(database)
    repaired = assert_found_and_repaired(home, r"mlflow: (there is no database|the (schema of the )?database) ")
    assert metrics_of_trials(home) == before  # run ids, too
    assert database.with_name("mlflow.db.broken-1").exists() == (damage is not remove)
    assert ("was moved to" in repaired) == (damage is not remove)


def test_a_log_of_a_database_that_is_gone_is_not_applied_to_the_next(home: Home):
    database = home.mlflow_database
    assert database is not None
    with closing(sqlite3.connect(database)) as connection:  # open: so its log is still there
        connection.execute("update tags set value = 'x'")
        connection.commit()
        database.unlink()
        assert database.with_name("mlflow.db-wal").exists()
        assert_found_and_repaired(home, "there is no database")


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


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@contextmanager
def closed_port() -> Iterator[str]:
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{closed.getsockname()[1]}"


@pytest.mark.usefixtures("no_waiting")
def test_a_server_that_is_down(home: Home):
    with closed_port() as address:
        elsewhere = Home(home.path, tracking=address)
        for fix in (False, True):
            said, found = look(elsewhere, fix)
            assert f"mlflow: MLflow ({address}) can't be read: " in said
            assert "start or correct MLflow (MLFLOW_TRACKING_URI)" in said.splitlines()[-1]
            assert found.after.counts == {"mlflow.unreachable": 1}


@pytest.mark.slow
def test_a_server(tmp_path: Path):
    (tmp_path / "server").mkdir()
    with mlflow_server(Place(tmp_path / "server").home.tracking_uri, tmp_path / "server") as address:
        home = run_sweep(Home(tmp_path / "driver", tracking=address), load(tmp_path))
        assert_silent(home)
        client = MlflowClient(address)
        client.log_metric(run_of(home, 0), "loss", 99.0, step=2)
        client.set_tag(run_of(home, 1), "hpo.seed", "0")
        client.delete_run(run_of(home, 2))
        client.update_run(run_of(home, 3), status="RUNNING")
        own = client.get_run(run_of(home, 4))
        client.create_run(own.info.experiment_id, tags=own.data.tags)
        said, found = look(home)
        assert re.search(r"trial 0: metric loss at step 2: the study has 0\.5, MLflow has 0\.5 and 99\.0", said), said
        assert re.search("trial 1: tag hpo.seed: the study has '[0-9]+', MLflow has '0'", said)
        assert "trial 2: somebody deleted its run" in said
        assert "trial 3: the status is FINISHED by the study, RUNNING in MLflow" in said
        assert "trial 4: it has another run in MLflow" in said
        assert len(found.before) == 5, said
        repaired, fixed = look(home, fix=True)
        assert not len(fixed.after), repaired
        again, _ = look(home, fix=True)
        assert again.startswith(f"{AGREED}; note: runs that were written anew have other ids than the study says")
        assert len(again.splitlines()) == 1


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


def test_a_database_from_before_own_metrics_had_names_of_their_own_is_brought_level(home: Home):
    """Then they were called `value` and `best_score`; the user may have reported such metrics, too."""
    for table in ("metrics", "latest_metrics"):
        sql(home, f"update {table} set key = substr(key, 5) where key like 'hpo/%'")
    sql(
        home,
        "insert into metrics (key, value, timestamp, step, is_nan, run_uuid) "
        "select 'loss', 7, timestamp, 0, 0, run_uuid from metrics where key = 'value'",
    )
    said, _ = look(home)
    assert re.search(r"trial 0: metric hpo/value at step 0: the study has 3\.0, MLflow has none", said), said
    assert re.search(r"trial 1: metric loss at step 0: the study has none, MLflow has 7\.0", said), said
    assert not len(look(home, fix=True)[1].after)
    assert_silent(home)


@pytest.mark.parametrize("way", ["moved", "copied"])
def test_a_home_that_went_elsewhere_has_its_files_there(home: Home, tmp_path: Path, way: str):
    there = Home(tmp_path / "else where#2")
    before = {run.info.run_id: run for run in MlflowClient(home.tracking_uri).search_runs(["1"])}
    (home.path.rename if way == "moved" else lambda to: shutil.copytree(home.path, to))(there.path)
    said, _ = look(there)
    assert re.search(
        r"the home was moved or copied, but 8 runs of experiment 'small', at file://\S+, are noted", said
    ), said
    assert not len(look(there, fix=True)[1].after)
    assert_silent(there)
    client = MlflowClient(there.tracking_uri)
    for run_id in before:
        assert client.get_run(run_id).info.artifact_uri == f"{there.artifacts}/{run_id}/artifacts"
    (parent,) = client.search_runs(["1"], "tags.`hpo.kind` = 'sweep'")
    assert "sweep.yaml" in {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert client.get_experiment("1").artifact_location == there.artifacts
    if way == "copied":  # what was copied has lost nothing
        assert_silent(home)


def test_files_that_were_put_elsewhere_on_purpose_stay_there(home: Home, tmp_path: Path):
    elsewhere = tmp_path / "big disk" / "artifacts"
    elsewhere.parent.mkdir()
    Path(home.path, "artifacts").rename(elsewhere)
    sql(home, f"update runs set artifact_uri = replace(artifact_uri, '{home.artifacts}', '{elsewhere.as_uri()}')")
    sql(home, f"update experiments set artifact_location = '{elsewhere.as_uri()}' where experiment_id = 1")
    assert_silent(home)
