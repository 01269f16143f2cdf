"""Whether MLflow's database can be used at all, found out without MLflow's store, which would make or change tables.

Of a SQLite file that is as the empty database that is kept (template.py) even without importing MLflow.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from hpo.ledger.mirror import compat
from hpo.ledger.mirror.template import fits
from hpo.ledger.study.home import Home
from hpo.ledger.study.urls import masked, readable_url, sqlite_file, sqlite_uri

_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_TABLES = {"experiments", "runs", "tags", "params", "metrics", "latest_metrics", "alembic_version"}


class Ailment(NamedTuple):
    """What is wrong with a store of MLflow's."""

    kind: str  # missing, broken, unfinished (a schema that is not whole), release (another MLflow's), unreachable
    text: str


def is_database(uri: str) -> bool:
    """Whether a tracking URI is a database's, which is read without MLflow."""
    return uri.partition("://")[0].partition("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")


def database_file(home: Home) -> Path | None:
    """Return the file of a SQLite database, None for other stores."""
    if home.mlflow_database is not None:
        return home.mlflow_database
    return sqlite_file(home.tracking_uri)


def uri_to_read(home: Home) -> str:
    """Return the URI of MLflow for who only reads it."""
    path = database_file(home)
    return readable_url(path) if path is not None and home.mlflow_database is not None else home.tracking_uri


def ailment_of(home: Home, thorough: bool = True) -> Ailment | None:
    """Return what keeps MLflow's database from being used; None if nothing does, and of servers.

    thorough: read all of a file, which takes a second for some hundred megabytes; else what it has of tables.
    """
    path = database_file(home)
    if path is None:
        return _ailment_of_schema(home.tracking_uri) if is_database(home.tracking_uri) else None
    try:
        if not path.exists():
            return Ailment("missing", f"there is no database {path}")
        ailment = _ailment_of_file(path, thorough)
        return ailment or (None if fits(path) else _ailment_of_schema(uri_to_read(home)))
    except sqlite3.DatabaseError as error:
        return Ailment("broken" if _is_broken(error) else "unreachable", f"the database {path}: {error}")
    except OSError as error:
        return Ailment("unreachable", f"the database {path}: {error.strerror or error}")


def lacks_run(home: Home, study: str, run_id: str) -> str:
    """Return in words that the MLflow of a home is not that of a study, whose parent run it lacks; with the remedy."""
    where = masked(home.tracking_uri)
    return (
        f"MLflow ({where}) has no run {run_id}, which is that of the study {study!r}: give the --home or the "
        "MLFLOW_TRACKING_URI with which it was run, or --without-mlflow if that MLflow is lost"
    )


def ailment_in(home: Home, error: Exception) -> Ailment:
    """Return what an error tells that came while MLflow was read."""
    cause = getattr(error, "orig", None) or error
    shown = masked(home.tracking_uri)
    what = f"MLflow ({shown}) can't be read: {_reason(error)}"
    garbage = isinstance(cause, sqlite3.Error) and (_is_broken(cause) or "decode" in str(cause))
    return Ailment("broken" if garbage else "unreachable", what)


def is_damage(error: BaseException | None) -> bool:
    """Whether an error means that a SQLite file is damaged."""
    while error is not None:
        cause = getattr(error, "orig", error)
        if isinstance(cause, sqlite3.Error):
            return _is_broken(cause)
        error = error.__cause__ or error.__context__
    return False


def drafts(home: Home) -> list[Path]:
    """Return files of databases that a process began to make and that is no more (database.make_database)."""
    if home.mlflow_database is None:
        return []
    found = sorted(home.mlflow_database.parent.glob(f"{home.mlflow_database.name}.new-*"))
    return [path for path in found if not _makes_it(path)]


def _makes_it(draft: Path) -> bool:
    number = re.match(r"\d+", draft.name.rpartition(".new-")[2])
    try:
        os.kill(int(number[0]) if number else 0, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return number is not None


def _is_broken(error: sqlite3.Error) -> bool:
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _BROKEN


def _ailment_of_file(path: Path, thorough: bool) -> Ailment | None:
    with closing(sqlite3.connect(sqlite_uri(path), uri=True, timeout=20)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return Ailment("broken", f"the database {path} is empty")
        if not tables >= _TABLES:
            return Ailment("unfinished", f"the database {path} lacks tables: {', '.join(sorted(_TABLES - tables))}")
        if not thorough:
            return None
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        return None if verdict == "ok" else Ailment("broken", f"the database {path}: {' '.join(verdict.split())}")


def _ailment_of_schema(uri: str) -> Ailment | None:
    """Return how a database's tables differ from those that the installed MLflow works with."""
    from sqlalchemy import NullPool, create_engine
    from sqlalchemy.exc import SQLAlchemyError

    shown = masked(uri)
    engine = create_engine(uri, poolclass=NullPool)
    try:
        if compat.is_empty(engine):
            return Ailment("missing", f"the database {shown} has no tables of MLflow's")
        whole = compat.has_all_tables(engine)
        there, wanted = compat.schema_versions(engine)
    except SQLAlchemyError as error:
        return Ailment("unreachable", f"the database {shown}: {_reason(error)}")
    finally:
        engine.dispose()
    if there == wanted:
        return None if whole else Ailment("unfinished", f"the database {shown} lacks tables of MLflow's")
    if there is None or there in compat.known_versions(uri):
        what = f"the schema of the database {shown} is not whole, or of an older MLflow"
        return Ailment("unfinished", f"{what} ({there or 'no version'}, not {wanted})")
    return Ailment("release", f"the schema of the database {shown} is of another MLflow ({there}, not {wanted})")


def _reason(error: Exception) -> str:
    return masked(" ".join(str(getattr(error, "orig", None) or error).split()))[:300]
