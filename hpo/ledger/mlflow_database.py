"""MLflow's own database in the home."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from sqlalchemy import Engine, event


def make_database(path: Path) -> None:
    """Make an empty MLflow database, all of it or nothing.

    MLflow takes seconds to do so, in steps; one that is killed in between is of no use to MLflow ever after.
    """
    draft = path.with_name(f"{path.name}.new-{os.getpid()}")
    whole = path.with_name(f"{draft.name}-whole")
    try:
        MlflowClient(f"sqlite:///{draft}").search_experiments(max_results=1)
        shutil.copyfile(draft, whole)  # nothing writes to it any more, though its connections are still open
        with closing(sqlite3.connect(whole)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # for good: readers and the writer never wait for each other
        with contextlib.suppress(FileExistsError):  # another sweep in this home was quicker
            os.link(whole, path)
    finally:
        for leftover in (draft, whole):
            leftover.unlink(missing_ok=True)


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
