"""An empty database of the installed MLflow, kept for the next home. MLflow itself takes seconds to make one.

All that differs between two of them is where the first experiment's artefacts lie, and when it was made.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from hpo.ledger.mirror.compat import schema_name
from hpo.ledger.study.urls import sqlite_uri
from hpo.places import cache_folder

_EXPERIMENTS = "SELECT experiment_id, name, lifecycle_stage FROM experiments"
_ONLY = [(0, "Default", "active")]
_COLUMNS = "SELECT m.name, p.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS p WHERE m.type = 'table'"


def copy_template(path: Path, artifacts: str) -> bool:
    """Make an empty database from the one that is kept; return whether there is one that is whole.

    artifacts: the URI of the folder for the artefacts of all experiments.
    """
    kept = _kept()
    if kept is None or not kept.is_file():
        return False
    try:
        shutil.copyfile(kept, path)
        with closing(sqlite3.connect(path)) as connection, connection:
            if connection.execute("PRAGMA quick_check").fetchall() != [("ok",)]:
                raise sqlite3.DatabaseError("it is damaged")
            if connection.execute(_EXPERIMENTS).fetchall() != _ONLY:
                raise sqlite3.DatabaseError("it is not empty")
            now = time.time_ns() // 10**6
            connection.execute(
                "UPDATE experiments SET artifact_location = ?, creation_time = ?, last_update_time = ?",
                (f"{artifacts}/0", now, now),
            )
    except sqlite3.DatabaseError:  # so it is made anew, and kept
        path.unlink()
        with suppress(OSError):
            kept.unlink()
        return False
    return True


def keep_template(database: Path) -> None:
    """Keep a copy of an empty database that nobody has open, unless there is one, or no place for it."""
    kept = _kept()
    if kept is None or kept.exists():
        return
    draft = kept.with_name(f"{kept.name}.new-{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(database, draft)
        draft.replace(kept)
    except OSError:  # a home that can't be written, a full disk: the next database is made as this one was
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def fits(database: Path) -> bool:
    """Whether a database has the schema of the installed MLflow: its version, and every table with the very columns of
    the empty one that is kept. False as well where none is kept. Raises sqlite3.Error and OSError of the database."""
    kept = _kept()
    if kept is None or not kept.is_file():
        return False
    try:
        wanted = _schema(kept)
    except (OSError, sqlite3.DatabaseError):  # the next database that is made will be kept in its place
        return False
    if not wanted.columns:
        return False
    there = _schema(database)
    return there.version == wanted.version and all(
        there.columns.get(table) == columns for table, columns in wanted.columns.items()
    )


class _Schema(NamedTuple):
    version: list[tuple[str]]
    columns: dict[str, set[str]]  # of each table


def _schema(database: Path) -> _Schema:
    columns: dict[str, set[str]] = {}
    with closing(sqlite3.connect(sqlite_uri(database), uri=True, timeout=20)) as connection:
        for table, column in connection.execute(_COLUMNS):
            columns.setdefault(table, set()).add(column)
        return _Schema(connection.execute("SELECT version_num FROM alembic_version").fetchall(), columns)


def has_template() -> bool:
    """Whether an empty database of the installed MLflow is kept."""
    kept = _kept()
    return kept is not None and kept.is_file()


def _kept() -> Path | None:
    """Return where this MLflow's is kept; None: nowhere, as this user has no home."""
    folder = cache_folder()
    return folder and folder / f"mlflow-{schema_name()}.db"
