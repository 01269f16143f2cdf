"""Does anybody run a study? Asked by who only looks: nothing is written, and no driver is kept out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpo.ledger.sharing import rows
from hpo.ledger.sharing.owner_file import is_locked
from hpo.ledger.sharing.owners import owners_in
from hpo.ledger.study.home import Home, open_database
from hpo.ledger.study.records import is_ours

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def is_run(home: Home, study: str, attributes: Mapping[str, Any], storage: BaseStorage | None = None) -> bool:
    """Return whether a driver runs a study, as far as that can be told: of a study that hpo did not make nothing is
    known, and its records are believed.

    attributes: the study's. storage: the home's, if it is open.
    """
    if not is_ours(attributes):
        return True
    if home.database is None:
        return is_locked(home.owner_file(study))
    drivers = owners_in(attributes.get("owners"))
    if not drivers:
        return False
    from hpo.ledger.study.database import PatientStorage

    database = storage if isinstance(storage, PatientStorage) else open_database(home.database)
    with database.engine.connect() as connection:
        now = rows.now(connection)
    return any(not driver.dead(now) for driver in drivers)


def runs_now(home: Home, study: str) -> bool:
    """Return whether a driver runs a study, read anew; False if there is no such study."""
    if home.database is None:
        return is_locked(home.owner_file(study))
    database = open_database(home.database)
    found = [each.user_attrs for each in database.get_all_studies() if each.study_name == study]
    return any(is_run(home, study, attributes, database) for attributes in found)
