"""A database of MLflow's that is of no use is completed or replaced, by a sweep as by `hpo doctor --fix`.

What was in it, the studies have.
"""

from __future__ import annotations

import time

from hpo.ledger.mirror.database import complete_database, make_database, set_aside
from hpo.ledger.mirror.health import Ailment, ailment_of, database_file, drafts
from hpo.ledger.mirror.moved import correct_locations, old_locations
from hpo.ledger.study.file_lock import FileLock
from hpo.ledger.study.home import Home
from hpo.ledger.study.urls import masked

_BEING_MADE = 30.0  # seconds in which another process makes the tables of a database
_REMEDIES = {
    "broken": "move it away, or restore it",
    "unfinished": "`mlflow db upgrade` brings it up to this MLflow",
    "release": "use the MLflow that wrote it, or move it away",
}


class UnusableStore(LookupError):
    """MLflow's store can't be written; trying again is of no use."""


def see_to_database(home: Home, thorough: bool = False) -> list[str]:
    """Let the home's own database of MLflow be there and whole; remove what a process left that was killed while it
    made one. Returns what was done about a database that was damaged, or a home that was moved.

    thorough: read all of it. Raises UnusableStore if it is not the home's own, or is another MLflow's.
    """
    database = home.mlflow_database
    for leftover in drafts(home):
        leftover.unlink(missing_ok=True)
    if database is not None and not database.exists():
        make_database(database)
        return []
    ailment = _lasting_ailment(home, thorough)
    if ailment is None:
        return [f"the home was moved: {what}" for what in correct_locations(home, old_locations(home))]
    if ailment.kind in ("missing", "unreachable"):
        return []
    if database is not None and ailment.kind in ("broken", "unfinished"):
        return [ailment.text, *mend_database(home, ailment.kind)]
    raise UnusableStore(f"{ailment.text} ({_REMEDIES[ailment.kind]})")


def _lasting_ailment(home: Home, thorough: bool) -> Ailment | None:
    """Return what is wrong with MLflow's database; one that several write may lack tables since another is just making
    them, which takes seconds."""
    deadline = time.monotonic() + _BEING_MADE
    while True:
        ailment = ailment_of(home, thorough)
        lasts = ailment is None or ailment.kind != "unfinished" or home.mlflow_database is not None
        if lasts or time.monotonic() > deadline:
            return ailment
        time.sleep(0.5)


def mend_database(home: Home, kind: str) -> list[str]:
    """Make MLflow's database usable; return what was done. kind: an Ailment's, which was found just now.

    Raises what stops it, and if it may pass: the database is locked, or the disk is full.
    """
    path = database_file(home)
    if kind == "unfinished" and path is not None:
        try:
            complete_database(home.tracking_uri)
        except Exception as error:
            if _passes(error):
                raise
        if ailment_of(home) is None:
            return [f"MLflow's tables in {path} were completed"]
    if path is None:
        complete_database(home.tracking_uri)
        moved = []
    else:
        lock = FileLock(path)
        lock.acquire()
        try:  # another sweep in this home may have done it
            broken = path.exists() and (still := ailment_of(home)) is not None and still.kind != "missing"
            moved = [f"{path} was moved to {set_aside(path)}"] if broken else []
        finally:
            lock.release()
        if not path.exists():
            make_database(path)
    others = "other studies: hpo doctor STUDY --fix for each"
    return [*moved, f"the database {masked(home.tracking_uri)} was made anew ({others})"]


def _passes(error: BaseException | None) -> bool:
    """Whether what stopped the completion of a database may pass: it is locked, or the disk is full. Anything else
    means that the database is of no use."""
    while error is not None:
        text = str(error).lower()
        if isinstance(error, OSError) or any(sign in text for sign in ("locked", "full", "readonly", "i/o error")):
            return True
        error = error.__cause__ or error.__context__
    return False
