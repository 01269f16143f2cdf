"""The right to write a study: one driver has it alone, or several share it (`--join`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from hpo.ledger.sharing.owner_file import FileOwnership
from hpo.ledger.sharing.owners import Owner, SharedOwnership
from hpo.ledger.study.compat import CachedStorage
from hpo.ledger.study.home import Home, open_database
from hpo.spec.faults import UserError
from hpo.spec.sweep import Sweep

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


class Ownership(Protocol):
    """A driver's right to write a study, from its making to `give_up`. Every method but that may raise OwnershipLost, a
    UserError: another driver has taken the study over."""

    number: int  # of this driver among all that ever ran a study of a database; 0 where drivers have no numbers
    alone: bool  # whether there was nobody else when it entered
    estate: frozenset[int]  # the drivers before it whose trials it sees to
    taken_over: list[Owner]  # dead drivers, by this one, of which nobody has been told yet

    def renew(self) -> None:
        """Say that this driver lives. Call it every few seconds."""

    def agree(self, key: str, known: Any, change: Callable[[Any, Collection[int]], Any]) -> tuple[Any, Any]:
        """Return what a study attribute was, and what it becomes by `change`, for all who run the study.

        known: what the attribute is as far as this driver knows. It holds where no other can have changed it: then
        nothing is written here, and the caller has to. Drivers that share a study read and write it here, while no
        other can.
        change: returns what it becomes, given what it was (None: there was none) and the numbers of the other drivers.
        Given its own result, it must return that.
        """

    def wait_while_away(self, seconds: float, tell: Callable[[str], None], hurry: Callable[[], bool]) -> None:
        """From now on, wait so long for a database that is away, unless told to `hurry`; `tell` the user so."""

    def leave(self) -> bool:
        """Begin to end. Returns True, with the right still held, if nobody else has it; else it is given up, and one of
        the others sees to what this driver leaves."""

    def give_up(self) -> None:
        """End the ownership, if it is held."""


def own_study(
    sweep: Sweep,
    home: Home,
    join: bool = False,
    storage: BaseStorage | None = None,
    to_look: bool = False,
    sweeping: bool = False,
) -> tuple[Ownership, BaseStorage | None]:
    """Become a study's owner; return the ownership and the storage, if it had to be opened for that or was given.

    to_look: nothing will be written; a journal whose lock can't be written will do. sweeping: as in `ways_out`.

    Raises UserError if another driver owns the study, or if it can't be shared where it is kept.
    """
    from hpo.ledger.study.database import PatientStorage

    if join:
        refuse_join(home.storage)
    if home.database is None:
        lock = FileOwnership(home.owner_file(sweep.name), sweep.name, sweeping)
        lock.take(to_look)
        return lock, storage
    database = storage if isinstance(storage, PatientStorage) else open_database(home.database)
    entry = SharedOwnership(database, sweep, join, sweeping)
    entry.take()
    return entry, CachedStorage(database) if join else database  # cached: each look reads only what is new


@contextmanager
def owned(home: Home, sweep: Sweep, storage: BaseStorage | None = None, to_look: bool = False) -> Iterator[Ownership]:
    """Own a study inside the block, as a driver does. to_look: nothing will be written. Raises UserError if somebody
    runs it."""
    ownership, _ = own_study(sweep, home, storage=storage, to_look=to_look)
    try:
        yield ownership
    finally:
        ownership.give_up()


def refuse_join(storage: str | None) -> None:
    """Raise UserError if drivers can't share a study that is kept there."""
    needs = "--join needs a database that many can write at once: --storage postgresql://... or mysql://..."
    if storage is None or "://" not in storage:
        raise UserError(f"{needs}; a journal file has one writer, which holds most of its trials in memory")
    if storage.startswith("sqlite"):
        raise UserError(f"{needs}; SQLite locks the whole file for each write, and can't be shared by machines")
