"""A home that nobody can write to (a read-only disk, somebody else's folder, a full disk) is shown all the same.

MLflow's server writes into its database when it starts, and both servers write logs. So these get a folder of their own
among the temporary ones: MLflow a copy of its database, as it is then. The studies are read where they are.
"""

from __future__ import annotations

import errno
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpo.ledger.mirror.moved import correct_locations, old_locations
from hpo.ledger.study.home import Home
from hpo.ledger.study.urls import sqlite_uri, sqlite_url
from hpo.review.ui_origin import Wsgi
from hpo.spec.faults import UserError

_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT)
_PROBE = bytes(1 << 16)  # a full disk still takes an empty file


@dataclass(frozen=True)
class ShownHome:
    """A home as the UIs are given it. why: it can't be written; "": it can. logs: where those of the UIs go."""

    home: Home
    logs: Path
    why: str = ""


@contextmanager
def shown_home(home: Home, with_mlflow: bool) -> Iterator[ShownHome]:
    """Yield a home as the UIs can show it, writable or not. with_mlflow: MLflow's UI is one of them.

    Raises UserError if neither the home nor a temporary folder can be written, or if MLflow's database can't be copied.
    """
    why = _why_unwritable(home)
    if not why:
        yield ShownHome(home, home.logs)
        return
    try:
        folder = tempfile.TemporaryDirectory(prefix="hpo-ui-", ignore_cleanup_errors=True)
    except OSError as error:
        raise UserError(_nowhere(home, why, error)) from None
    with folder as name:
        try:
            shown = _with_copy(home, Path(name)) if with_mlflow and home.mlflow_database is not None else home
            Path(name, "ui.log").write_bytes(_PROBE)
        except OSError as error:
            raise UserError(_nowhere(home, why, error)) from None
        yield ShownHome(shown, Path(name), why)


def _nowhere(home: Home, why: str, error: OSError) -> str:
    place = tempfile.gettempdir() if error.filename is None else error.filename
    return (
        f"the home {home.path} can't be written ({why}), and for a copy of its MLflow {place} can't be used: "
        f"{error.strerror or error} (make space there, or name another folder with TMPDIR)"
    )


def _why_unwritable(home: Home) -> str:
    """Return why nothing can be written into a home, "" if it can. Makes its folders. Raises UserError for what is no
    matter of rights and room."""
    try:
        home.logs.mkdir(parents=True, exist_ok=True)
        for folder in (home.path, home.logs):
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".writable") as file:
                file.write(_PROBE)
    except OSError as error:
        if error.errno in _UNWRITABLE:
            return error.strerror or str(error)
        raise UserError(
            f"the home folder {home.path} can't be written: {error.strerror or error} (choose another with --home DIR)"
        ) from None
    return ""


def _with_copy(home: Home, folder: Path) -> Home:
    """Return the home with a copy of MLflow's database, in which files are noted where they are. Raises UserError, and
    OSError if there is no room for it."""
    database, copy = home.mlflow_database, folder / "mlflow.db"
    assert database is not None
    if database.exists():
        room = "--no-mlflow shows the studies without it"
        try:
            _copy_database(database, copy)
            correct_locations(home, old_locations(home, copy), copy)
        except sqlite3.Error as error:
            if "full" in str(error):
                raise OSError(errno.ENOSPC, str(error), str(folder)) from None
            raise UserError(f"MLflow's database {database} can't be copied: {error} ({room})") from None
    return replace(home, tracking=sqlite_url(copy))


def _copy_database(database: Path, copy: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(sqlite_uri(database), uri=True, timeout=20)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.OperationalError:  # SQLite wants to write beside it, and there is no room
        for old in (database, database.with_name(f"{database.name}-wal")):
            new = copy.with_name(old.name.replace(database.name, copy.name))
            new.unlink(missing_ok=True)
            if old.exists():
                shutil.copyfile(old, new)
        with closing(sqlite3.connect(copy)) as target:
            if (found := target.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(found) from None


def read_only(application: Wsgi, why: str) -> Wsgi:
    """Return a dashboard's application that refuses (403) whatever would change something, and says why."""

    def checked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("REQUEST_METHOD") in ("GET", "HEAD"):
            return application(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "application/json")])
        return [json.dumps({"reason": f"nothing can be changed: {why}"}).encode()]

    return checked
