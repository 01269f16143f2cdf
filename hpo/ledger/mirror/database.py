"""MLflow's own database in the home."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, event

from hpo.ledger.mirror.compat import make_store, make_tables
from hpo.ledger.mirror.template import copy_template, keep_template
from hpo.ledger.study.file_lock import FileLock
from hpo.ledger.study.urls import sqlite_url

_ROWS_LOOKED_AT = 1000  # of each index


def make_database(path: Path) -> None:
    """Make an empty MLflow database, all of it or nothing.

    MLflow takes seconds to do so, in steps; one that is killed in between is of no use to MLflow ever after. The first
    is kept for other homes (template.py).
    """
    draft = path.with_name(f"{path.name}.new-{os.getpid()}")
    whole = path.with_name(f"{draft.name}-whole")
    try:
        # By itself MLflow names the working directory in a statement that it does not quote.
        artifacts = (path.parent / "artifacts").absolute().as_uri()
        if not copy_template(whole, artifacts):
            make_store(sqlite_url(draft), artifacts)
            shutil.copyfile(draft, whole)  # nothing writes to it any more, though its connections are still open
            keep_template(whole)
        with closing(sqlite3.connect(whole)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # for good: readers and the writer never wait for each other
        lock = FileLock(path)
        lock.acquire()
        try:
            if not path.exists():  # else another sweep in this home was quicker
                for orphan in sidecars(path):
                    orphan.unlink(missing_ok=True)
                os.link(whole, path)
        finally:
            lock.release()
    finally:
        for leftover in (draft, *sidecars(draft), whole):
            leftover.unlink(missing_ok=True)


def sidecars(path: Path) -> list[Path]:
    """Return the files that SQLite keeps beside a database. It would apply them to any other of the same name."""
    return [path.with_name(f"{path.name}-{suffix}") for suffix in ("wal", "shm", "journal")]


def complete_database(uri: str) -> None:
    """Make the tables that a database lacks, as MLflow's own `db upgrade` does. Raises whatever stops it."""
    engine = create_engine(uri, poolclass=NullPool)
    try:
        make_tables(engine)
    finally:
        engine.dispose()


def set_aside(path: Path) -> Path:
    """Move a database that is of no use out of the way; return where to."""
    number = 1
    while (kept := path.with_name(f"{path.name}.broken-{number}")).exists():
        number += 1
    for old, new in zip((path, *sidecars(path)), (kept, *sidecars(kept)), strict=True):
        if old.exists():
            old.replace(new)
    return kept


def tell_sizes(engine: Engine) -> None:
    """Let SQLite find out how long its tables are, in hundredths of a second; nothing for other databases, which do so
    themselves.

    Without that it takes them for short, and to order 46,000 runs by a metric or a parameter it compares each run with
    each: two minutes in place of half a second. It finds a good way as soon as it knows of some twenty runs.
    """
    if engine.dialect.name != "sqlite":
        return
    with engine.begin() as connection:
        connection.exec_driver_sql(f"PRAGMA analysis_limit={_ROWS_LOOKED_AT}")
        connection.exec_driver_sql("ANALYZE")


def spare_fsyncs(engine: Engine) -> None:
    """Let a SQLite database in WAL mode reach the disk when the system likes.

    A power cut may then cost the last transactions, never the database; the next sweep writes them from the study.
    Without WAL it could cost the database, so such a one is left as it is.
    """

    @event.listens_for(engine, "connect")
    def relax(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        if cursor.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    engine.dispose()  # connections from before
