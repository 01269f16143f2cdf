"""MLFLOW_TRACKING_URI: what can never work is refused before anything is trained; what may pass is not."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from answering import answering, http
from e2e.support import Place

from hpo.ledger.mirror.reach import refuse_unusable
from hpo.ledger.study.home import Home, make_home, open_storage
from hpo.spec.faults import UserError

SECRET = "pa55"


def refusal(folder: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return why a home with this MLflow is refused; "" if it is not."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    try:
        refuse_unusable(make_home(folder / "home", None))
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("./mlr", "this is a folder"),
        ("file:///tmp/mlr", "this is a folder"),
        ("databricks", "'databricks' can't be written"),
        ("databricks://profile", "'databricks' can't be written"),
        ("uc:http://127.0.0.1:1", "'uc' can't be written"),
        ("htp://127.0.0.1:5000", "'htp' can't be written"),
        ("mongodb://127.0.0.1/x", "'mongodb' can't be written"),
        ("http://", "no host"),
        ("http://127.0.0.1:port", "no address"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///.", "is a folder"),
        ("sqlite:////dev/null/x/mlflow.db", "there is no folder"),
        ("sqlite+nodriver:///x.db", "no URL of a database"),
        ("mysql://me@127.0.0.1/x", "driver is not installed"),
    ],
)
def test_what_can_never_work_is_refused(tmp_path: Path, uri: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal(tmp_path, uri, monkeypatch)
    assert why in said
    assert said.startswith("MLFLOW_TRACKING_URI=")
    assert "unset it" in said


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (http("200 OK", '{"experiments": []}'), ""),
        (http("200 OK", "{}"), ""),  # no experiments that this user may see
        (http("200 OK", "<html>Sign in</html>"), "no MLflow server"),
        (http("200 OK", '{"status": "ok"}'), "no MLflow server"),
        (http("404 Not Found", "{}"), "404"),
        (http("405 Method Not Allowed", ""), "405"),
        (http("401 Unauthorized", ""), "credentials"),
        (http("403 Forbidden", ""), "credentials"),
        (http("500 Oops", "Oops"), ""),  # these pass
        (http("503 Service Unavailable", ""), ""),
        (http("429 Too Many Requests", ""), ""),
        (b"", ""),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no web server"),
    ],
)
def test_what_answers(tmp_path: Path, answer: bytes, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(answer) as place:
        said = refusal(tmp_path, f"http://me:{SECRET}@{place}/base", monkeypatch)
    assert (why in said) if why else said == ""
    assert SECRET not in said


def test_a_server_that_nobody_has_started_yet_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(tmp_path, "http://127.0.0.1:9", monkeypatch) == ""
    assert refusal(tmp_path, "postgresql://me:x@127.0.0.1:9/mlflow", monkeypatch) == ""


def test_the_studies_own_database_is_no_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'both.db'}"
    open_storage(Home(tmp_path / "home", storage=url))
    assert "this database is Optuna's" in refusal(tmp_path, url, monkeypatch)
    with pytest.raises(UserError, match="the studies are in the same database"):
        refuse_unusable(Home(tmp_path / "home", storage="sqlite:///new.db", tracking="sqlite:///new.db"))
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
        connection.execute("create table alembic_version (version_num text)")
    assert "another program's" in refusal(tmp_path, "sqlite:///other.db", monkeypatch)


@pytest.mark.slow
def test_a_sweep_that_can_not_be_recorded_does_not_begin(tmp_path: Path) -> None:
    place = Place(tmp_path)
    done = place.run("sweep", place.write("parabola"), env={"MLFLOW_TRACKING_URI": "./mlr"})
    assert done.returncode == 2, done.stdout + done.stderr
    assert "this is a folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert not place.home.journal.exists()


@pytest.mark.slow
def test_what_mlflow_lacks_in_the_end_is_said_last_and_is_an_exit_code(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with answering(http("500 Oops", "Oops")) as server:
        env = {"MLFLOW_TRACKING_URI": f"http://me:{SECRET}@{server}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        done = place.run("sweep", place.write("parabola", budget={"trials": 2}), "--quiet", env=env)
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert re.match(r"hpo: \d+ entries have not reached MLflow; they are safe in the study", line)
    assert SECRET not in line
    again = place.run("sweep", place.folder / "sweep.yaml", "--quiet")  # there it has all
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
