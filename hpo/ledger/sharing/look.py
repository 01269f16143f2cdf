"""Does anybody run a study? Asked by who only looks: nothing is written, and no driver is kept out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hpo.ledger.sharing import rows
from hpo.ledger.sharing.owner_file import holder_of, is_locked
from hpo.ledger.sharing.owners import Owner, owners_in
from hpo.ledger.study.home import Home, open_database
from hpo.ledger.study.patience import DatabaseAway
from hpo.ledger.study.records import is_ours

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def is_run(home: Home, study: str, attributes: Mapping[str, Any], storage: BaseStorage | None = None) -> bool:
    """Return whether a driver runs a study, as far as that can be told. Of a study that hpo did not make nothing is
    known, nor if the database goes away in between: then its records are believed, and True is returned.

    attributes: the study's. storage: the home's, if it is open.
    """
    if not is_ours(attributes):
        return True
    if home.database is None:
        return is_locked(home.owner_file(study))
    try:
        return bool(_living(home.database, attributes, storage))
    except DatabaseAway:
        return True


def who_runs(home: Home, study: str, attributes: Mapping[str, Any], storage: BaseStorage | None = None) -> list[str]:
    """Return the drivers that run a study, in words, each with its process, its machine and since when. attributes: the
    study's. storage: the home's, if it is open. Raises DatabaseAway, an OSError."""
    if home.database is None:
        return list(filter(None, [holder_of(home.owner_file(study))]))
    return [str(driver) for driver in _living(home.database, attributes, storage)]


def _living(url: str, attributes: Mapping[str, Any], storage: BaseStorage | None) -> list[Owner]:
    """Return the drivers in a study's attributes that are not dead."""
    drivers = owners_in(attributes.get("owners"))
    if not drivers:
        return []
    from hpo.ledger.study.database import PatientStorage

    database = storage if isinstance(storage, PatientStorage) else open_database(url)

    def ask(again: bool) -> float:
        with database.engine.connect() as connection:
            return rows.now(connection)

    now = database.patience.carry_out(ask)
    return [driver for driver in drivers if not driver.dead(now)]


def runs_now(home: Home) -> Callable[[str], bool]:
    """Return what tells of a study of a home whether a driver runs it, read anew each time; False if there is no such
    study. A database is opened once for all of it."""
    if home.database is None:
        return lambda study: is_locked(home.owner_file(study))
    database = open_database(home.database)

    def is_run_now(study: str) -> bool:
        found = [each.user_attrs for each in database.get_all_studies() if each.study_name == study]
        return any(is_run(home, study, attributes, database) for attributes in found)

    return is_run_now
