"""MLflow databases of no use, older ones, and homes that went elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from e2e.support import empty_mlflow
from mlflow import MlflowClient

from hpo.ledger.study.home import Home

from .support import assert_found_and_repaired, assert_silent, look, sql


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
