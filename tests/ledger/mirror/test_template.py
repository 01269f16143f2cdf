"""A database that is copied is the one that MLflow would have made; a copy that is of no use is made anew."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import make_url

from hpo.ledger.mirror import database
from hpo.ledger.mirror.compat import schema_name
from hpo.ledger.mirror.database import make_database


@pytest.fixture(scope="module")
def by_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database as MLflow makes it, for artefacts in /ARTEFACTS."""
    path = tmp_path_factory.mktemp("by-mlflow") / "mlflow.db"
    SqlAlchemyStore(f"sqlite:///{path}", "file:///ARTEFACTS")  # type: ignore[no-untyped-call]
    return path


@pytest.fixture
def made(by_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The databases that MLflow itself would have made; each takes it seconds."""
    made: list[str] = []

    def store(uri: str, artifacts: str) -> None:
        made.append(uri)
        path = make_url(uri).database
        assert path is not None
        shutil.copy(by_mlflow, path)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE experiments SET artifact_location = ?", (f"{artifacts}/0",))

    monkeypatch.setattr(database, "make_store", store)
    return made


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hpo"


def content(path: Path) -> Iterator[str]:
    """Yield what makes a database, in any order, without times and without the folder that it lies in."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        for statement in connection.iterdump():
            parts = statement.replace(path.parent.as_uri(), "HERE").split("\n")
            yield "".join(sorted(re.sub(r"\b\d{13}\b", "TIME", part).strip(" ,") for part in parts))


def home(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    make_database(folder / name / "mlflow.db")
    assert {path.name for path in (folder / name).iterdir()} == {"mlflow.db", "mlflow.db.lock"}
    return folder / name / "mlflow.db"


def test_the_second_database_is_what_the_first_is(tmp_path: Path, cache: Path, made: list[str]) -> None:
    first, second = home(tmp_path, "my home 50% #1"), home(tmp_path, "another")
    assert len(made) == 1
    assert sorted(content(first)) == sorted(content(second))
    with closing(sqlite3.connect(second)) as connection:
        ((location, moment),) = connection.execute("SELECT artifact_location, creation_time FROM experiments")
    assert location == (tmp_path / "another" / "artifacts" / "0").as_uri()
    assert moment >= first.stat().st_ctime * 1000 - 1000
    assert [path.name for path in cache.iterdir()] == [f"mlflow-{schema_name()}.db"]


def test_what_is_of_no_use_is_made_anew(tmp_path: Path, cache: Path, made: list[str]) -> None:
    first = home(tmp_path, "first")
    kept = cache / f"mlflow-{schema_name()}.db"
    whole = kept.read_bytes()
    for number, damage in enumerate((b"", b"no database at all", whole[: len(whole) // 2])):
        kept.write_bytes(damage)
        assert sorted(content(home(tmp_path, f"after {number}"))) == sorted(content(first))
        assert len(made) == number + 2
        assert kept.stat().st_size == len(whole)
    with closing(sqlite3.connect(kept)) as connection, connection:
        connection.execute("UPDATE experiments SET name = 'somebody''s'")
    assert sorted(content(home(tmp_path, "named"))) == sorted(content(first))


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, cache: Path, made: list[str]) -> None:
    cache.parent.write_text("a file where the folder should be")
    home(tmp_path, "first")
    home(tmp_path, "second")
    assert len(made) == 2
