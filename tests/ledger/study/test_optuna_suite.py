"""Optuna's own tests of a storage, run against those of this project, each opened as a driver opens it."""

from __future__ import annotations

import gc
import itertools
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase
from postgresql import postgresql_server

from hpo.ledger.study.database import PatientStorage
from hpo.ledger.study.home import Home, open_database, open_storage

NAMES = itertools.count()  # of databases


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
def server() -> Iterator[Any]:
    """A PostgreSQL server with a database like that."""
    with postgresql_server() as server:
        server.psql("create database tables")
        open_database(server.get_uri(database="tables")).engine.dispose()
        yield server


@pytest.mark.slow
class TestPostgresql(StorageTestCase):
    @pytest.fixture
    def storage(self, server: Any) -> Iterator[PatientStorage]:
        name = f"studies_{next(NAMES)}"
        server.psql(f"create database {name} template tables")
        storage = open_database(server.get_uri(database=name))
        yield storage
        storage.engine.dispose()

    def test_pickle_storage(self, storage: BaseStorage) -> None:
        """Optuna's test leaves its copy's connection open, of which psycopg warns."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            super().test_pickle_storage(storage)
            gc.collect()
