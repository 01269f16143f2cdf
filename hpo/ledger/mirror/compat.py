"""Private names of MLflow that its mirror and the doctor need, read from MLflow 3.17.2.

tests/ledger/mirror/test_compat.py fails if one of them is gone. MLflow is imported only when one of these is called,
and for its release and the name of its schema not even then.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sqlalchemy import Connection, Engine


def store_of(client: MlflowClient) -> Any:
    """Return the store that a client writes into."""
    return client._tracking_client.store


def is_database_store(store: Any) -> bool:
    """Whether a store writes into a database from this process, as bulk.py does."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    return type(store) is SqlAlchemyStore


class StoreDatabase:
    """The database of a store of MLflow's (statements.Database)."""

    def __init__(self, store: Any) -> None:
        self._store = store

    @property
    def engine(self) -> Engine:
        """What the store connects by."""
        engine: Engine = self._store.engine
        return engine

    @contextmanager
    def transaction(self, read_only: bool = True) -> Iterator[Connection]:
        """Write what is written inside in one transaction of the store's. Raises MlflowException."""
        with self._store.ManagedSessionMaker(read_only=read_only) as session:
            yield session.connection()


def own_columns() -> dict[str, set[str]]:
    """Return the columns of each of MLflow's tables."""
    _utils()  # which imports all that declares tables
    from mlflow.store.db.base_sql_model import Base

    return {name: {column.name for column in table.columns} for name, table in Base.metadata.tables.items()}


def _utils() -> Any:
    """Return MLflow's own tools for its schema, which have no types."""
    from mlflow.store.db import utils

    return utils


def make_tables(engine: Engine) -> None:
    """Make the tables that a database lacks, and bring the others up to this release, as `mlflow db upgrade` does."""
    _utils()._safe_initialize_tables(engine)
    _utils()._upgrade_db(engine)


def make_store(uri: str, artifacts: str) -> None:
    """Make a database, as MLflow does that opens one. artifacts: the URI of the folder for files."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(uri, artifacts)  # type: ignore[no-untyped-call]


def is_empty(engine: Engine) -> bool:
    """Whether a database has no tables of MLflow's."""
    return bool(_utils()._is_empty_database(engine))


def has_all_tables(engine: Engine) -> bool:
    """Whether a database has every table of MLflow's."""
    return bool(_utils()._all_tables_exist(engine))


def remember_schema_version() -> None:
    """Have MLflow work out the version of its schema once in this process: it loads each of its migrations for that,
    some 70, whenever it opens a database. For processes of our own."""
    _utils()._get_latest_schema_revision = cache(_utils()._get_latest_schema_revision)


def schema_versions(engine: Engine) -> tuple[str | None, str]:
    """Return the version of a database's schema (None: it has none), and the one that this release works with."""
    return _utils()._get_schema_version(engine), _latest_version()


@cache
def _latest_version() -> str:
    """Return the version of the installed MLflow's schema, for which it loads each of its migrations: some 70."""
    return str(_utils()._get_latest_schema_revision())


def schema_name() -> str:
    """Return a name that no MLflow with another schema has: its release, and a digest of its migrations' names."""
    folder = _folder() / "store" / "db_migrations" / "versions"
    names = sorted(path.name for path in folder.glob("*.py"))
    if not names:
        raise FileNotFoundError(f"there are no migrations of MLflow's schema in {folder}")
    return f"{release()}-{hashlib.sha256(' '.join(names).encode()).hexdigest()[:12]}"


@cache
def release() -> str:
    """Return the installed release of MLflow."""
    text = (_folder() / "version.py").read_text(encoding="utf-8")
    found = re.search(r'^VERSION = "([^"]+)"$', text, re.MULTILINE)
    if found is not None:
        return found[1]
    from mlflow.version import VERSION  # it is said there in another way

    return str(VERSION)


def _folder() -> Path:
    """Return where MLflow is installed."""
    spec = importlib.util.find_spec("mlflow")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'mlflow'", name="mlflow")
    return Path(next(iter(spec.submodule_search_locations)))


def known_versions(uri: str) -> set[str]:
    """Return the versions of the schema that the installed MLflow knows."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(_utils()._get_alembic_config(uri))
    return {revision.revision for revision in script.walk_revisions()}


def erase_run(store: Any, run_id: str) -> None:
    """Remove a run's rows from a database for good, as `mlflow gc` does; its files stay. Raises MlflowException if
    there is no such run."""
    store._hard_delete_run(run_id)


def erase_experiment(store: Any, experiment: str) -> None:
    """Remove an experiment that is marked as deleted from a database for good, with all that is in it."""
    store._hard_delete_experiment(experiment)


def erase_logged_model(store: Any, model_id: str) -> None:
    """Remove a logged model from a database for good; its files stay. Raises MlflowException if there is none."""
    store._hard_delete_logged_model(model_id)
