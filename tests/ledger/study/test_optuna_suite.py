"""Optuna's own tests of a storage, run against those of this project, each opened as a driver opens it."""

from __future__ import annotations

import gc
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase
from postgresql import postgresql_server

from hpo.ledger.study.database import PatientStorage
from hpo.ledger.study.home import Home, open_database, open_storage


def empty(database: str) -> None:
    """Leave a database as it is when its tables have just been made, ids included: quicker than another database."""
    import psycopg

    kept = {"version_info", "alembic_version"}
    with psycopg.connect(database, options="-c lock_timeout=60s") as connection:
        made = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        names = ", ".join(name for (name,) in made if name not in kept)
        connection.execute(f"truncate {names} restart identity")


class TestJournal(StorageTestCase):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> BaseStorage:
        return open_storage(Home(tmp_path))


class TestJournalTogether(StorageTestCase):
    """Everything of a test is held in memory, as a driver's writes are until the end of its look at the workers."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[BaseStorage]:
        storage = open_storage(Home(tmp_path))
        with storage._backend.together():  # type: ignore[attr-defined]
            yield storage


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with tables and nothing in them: making those takes most of the time."""
    file = tmp_path_factory.mktemp("tables") / "empty.db"
    open_database(f"sqlite:///{file}").engine.dispose()
    return file


class TestSqlite(StorageTestCase):
    @pytest.fixture
    def storage(self, tables: Path, tmp_path: Path) -> Iterator[BaseStorage]:
        storage = open_database(f"sqlite:///{shutil.copy(tables, tmp_path / 'studies.db')}")
        yield storage
        storage.engine.dispose()


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The address of a database of PostgreSQL with tables."""
    with postgresql_server() as server:
        open_database(server.get_uri()).engine.dispose()
        yield server.get_uri()


@pytest.mark.slow
class TestPostgresql(StorageTestCase):
    @pytest.fixture
    def storage(self, database: str) -> Iterator[PatientStorage]:
        storage = open_database(database)
        yield storage
        storage.engine.dispose()
        empty(database)

    def test_pickle_storage(self, storage: BaseStorage) -> None:
        """Optuna's test leaves its copy's connection open, of which psycopg warns."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            super().test_pickle_storage(storage)
            gc.collect()
