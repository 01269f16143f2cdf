"""Who runs a study that is kept in a database, which several machines may share.

The study attribute `owners` has an entry for each driver. It is read and changed in one transaction that holds the
study's row, so two drivers never both find the study free. Entries are renewed; one whose process is gone, or that was
not renewed for a minute by the database's own clock, is a dead driver's and is taken over.

Drivers that share a study (`--join`) have to know who sees to the trials of one that is gone: each entry has an
`estate`, the numbers of earlier drivers whose trials are now this one's to settle and to run again. Whoever enters
alone inherits from everybody before; else an estate passes on with each takeover and each leave.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from hpo import machine
from hpo.ledger.sharing import rows
from hpo.spec.faults import UserError
from hpo.spec.sweep import Sweep

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hpo.ledger.study.database import PatientStorage

OWNER_SECONDS = 60.0  # without a sign of life after which a driver counts as dead
_TRIES = 20  # to find or make a study that others make and remove


def ways_out(sweeping: bool) -> str:
    """Return what can be done while somebody else runs a study. sweeping: who asks would run a sweep file, which can
    name another study."""
    return "wait for it, stop it, or choose another name with -o name=..." if sweeping else "wait for it, or stop it"


class OwnershipLost(UserError):
    """Another driver took the study over: this one was silent for too long, and must write nothing more."""


@dataclass(frozen=True)
class Owner:
    """A driver's entry. Times are the database's."""

    number: int  # of the driver, in the order in which they came to this study, from 1
    host: str
    machine: str  # where its pid means something
    pid: int
    since: float
    seen: float
    join: bool
    estate: tuple[int, ...] = ()  # drivers before it whose trials it sees to; 0: all that ran before there were numbers

    def dead(self, now: float) -> bool:
        return now - self.seen > OWNER_SECONDS or self._has_died()

    def _has_died(self) -> bool:
        return self.machine == machine.this_machine() and not machine.is_alive(self.pid)

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host} since {since}"


def owners_in(noted: Mapping[str, Any] | None) -> list[Owner]:
    """Return the drivers that the study attribute `owners` names, dead ones too. noted: it; None: there is none."""
    return [Owner(**{**entry, "estate": tuple(entry["estate"])}) for entry in (noted or {}).get("drivers", ())]


@dataclass
class _Page:
    """What the transaction holds of a study: its owners by number, and how many there ever were."""

    connection: Connection
    now: float
    owners: dict[int, Owner]
    entered: int


class SharedOwnership:
    """This driver's entry among the owners of a study in a database (ownership.Ownership). Held from `take` to
    `give_up`; `renew` it every few seconds."""

    def __init__(self, storage: PatientStorage, sweep: Sweep, join: bool = False, sweeping: bool = False) -> None:
        """join: share the study with other drivers that do. sweeping: as in `ways_out`."""
        self._storage = storage
        self.patience = storage.patience
        self._sweep = sweep
        self._join = join
        self._sweeping = sweeping
        self._study_id = -1
        self._made = False  # the study was made here
        self.number = 0  # of this driver; 0: it has no entry
        self.alone = True  # whether there was nobody else when it entered
        self.estate: frozenset[int] = frozenset()
        self.taken_over: list[Owner] = []  # dead ones, by this driver

    def take(self) -> None:
        """Enter, making the study if there is none. Raises UserError, naming the owner, if the study is not free, and
        DatabaseAway."""
        for _ in range(_TRIES):
            self._find_or_make()
            if self.patience.carry_out(self._take):
                return
            time.sleep(0.05)  # it was removed in between: its driver could not start
        raise UserError(f"the study {self._sweep.name!r} comes and goes: other drivers try and fail to start it")

    def _take(self, again: bool) -> bool:
        with self._locked() as page:
            if page is None:
                return False
            mine = page.owners.get(self.number) if again else None
            if mine is None or (mine.machine, mine.pid) != (machine.this_machine(), os.getpid()):
                self._enter(page)  # else the connection was lost after all was done
            return True

    def _find_or_make(self) -> None:
        from optuna.exceptions import DuplicatedStudyError
        from optuna.study import StudyDirection

        name, goal = self._sweep.name, self._sweep.metric.goal
        with contextlib.suppress(KeyError):
            self._study_id = self._storage.get_study_id_from_name(name)
            return
        with contextlib.suppress(DuplicatedStudyError):
            self._storage.create_new_study([StudyDirection[goal.upper()]], name)
            self._made = True
        with contextlib.suppress(KeyError):
            self._study_id = self._storage.get_study_id_from_name(name)

    def _enter(self, page: _Page) -> None:
        self._remove_dead(page)
        others = list(page.owners.values())
        if others and not (self._join and all(owner.join for owner in others)):
            raise UserError(self._refusal(others, page.now))
        self.alone = not others
        self._be_of_hpo(page.connection)
        self.number = page.entered = page.entered + 1
        estate = range(self.number) if self.alone else sorted(self.estate)
        host = os.uname().nodename
        page.owners[self.number] = Owner(
            self.number, host, machine.this_machine(), os.getpid(), page.now, page.now, self._join, tuple(estate)
        )
        self.estate = frozenset(estate)
        self._write(page)

    def _refusal(self, others: list[Owner], now: float) -> str:
        first, more = others[0], len(others) - 1
        seen = f"last seen {max(0.0, now - first.seen):.0f} s ago"
        and_more = f", and {more} more" if more else ""
        remedy = ways_out(self._sweeping)
        if self._join:
            remedy = f"it was started without --join, so it can't be joined; {remedy}"
        elif first.join and self._sweeping:
            remedy = f"take part with --join, or {remedy}"
        return f"the study {self._sweep.name!r} is being run by {first}, {seen}{and_more} ({remedy})"

    def _be_of_hpo(self, connection: Connection) -> None:
        """Give a new study its id and its definition, so that drivers that come later compare theirs with it."""
        if self.alone and rows.is_blank(connection, self._study_id):
            if rows.read(connection, self._study_id, "id") is None:
                rows.write(connection, self._study_id, "id", uuid.uuid4().hex)
            rows.write(connection, self._study_id, "identity", self._sweep.identity())

    def renew(self) -> None:
        """Say that this driver is alive, and take over dead ones. Raises OwnershipLost."""
        self.patience.carry_out(self._renew)

    def _renew(self, again: bool) -> None:
        with self._locked() as page:
            mine = page.owners.get(self.number) if page is not None else None
            if page is None or mine is None:
                self.number = 0
                raise OwnershipLost(self._loss(page))
            page.owners[self.number] = replace(mine, seen=page.now)
            self.estate = frozenset(mine.estate)
            # Who was silent itself for so long was kept from the database, perhaps with all the others.
            if page.now - mine.seen < OWNER_SECONDS:
                self._remove_dead(page)
            page.owners[self.number] = replace(page.owners[self.number], estate=tuple(sorted(self.estate)))
            self._write(page)

    def _loss(self, page: _Page | None) -> str:
        heirs = list(page.owners.values()) if page is not None else []
        by = f"taken over by {heirs[0]}" if heirs else "taken over by another driver"
        return (
            f"the study {self._sweep.name!r} was {by}, since this process gave no sign of life for more than "
            f"{OWNER_SECONDS:.0f} s; it stops, and writes nothing more"
        )

    def agree(self, key: str, known: Any, change: Callable[[Any, Collection[int]], Any]) -> tuple[Any, Any]:
        if not self._join:
            return known, change(known, ())
        return self.patience.carry_out(lambda again: self._agree(key, change))

    def _agree(self, key: str, change: Callable[[Any, Collection[int]], Any]) -> tuple[Any, Any]:
        with self._locked() as page:
            if page is None or self.number not in page.owners:
                raise OwnershipLost(self._loss(page))
            old = rows.read(page.connection, self._study_id, key)
            value = change(old, page.owners.keys() - {self.number})
            rows.write(page.connection, self._study_id, key, value)
        return old, value

    def wait_while_away(self, seconds: float, tell: Callable[[str], None], hurry: Callable[[], bool]) -> None:
        self.patience.seconds, self.patience.tell, self.patience.hurry = seconds, tell, hurry

    def leave(self) -> bool:
        """Begin to end. Returns True, with the entry still held, if there is nobody else; else the entry is gone, and
        one of the others sees to what this driver leaves."""
        last = self.patience.carry_out(self._leave)
        self.number = self.number if last else 0
        return last

    def _leave(self, again: bool) -> bool:
        with self._locked() as page:
            if page is None or self.number not in page.owners:
                if again and page is not None:  # the connection was lost after all was done
                    return False
                raise OwnershipLost(self._loss(page))
            self._remove_dead(page)
            if len(page.owners) == 1:
                return True
            self._hand_over(page)
            self._write(page)
        return False

    def give_up(self) -> None:
        """End the ownership, if it is held; remove a study that was made for it and in which nothing was recorded."""
        from sqlalchemy.exc import SQLAlchemyError

        if not self.number:
            return
        with contextlib.suppress(SQLAlchemyError), self._locked() as page:
            if page is not None and self.number in page.owners:
                self._hand_over(page)
                self._write(page)
                if self._made and not page.owners and rows.is_blank(page.connection, self._study_id):
                    rows.remove(page.connection, self._study_id)
        self.number = 0

    def _hand_over(self, page: _Page) -> None:
        """Remove this driver's entry; the one that came first of the others inherits."""
        mine = page.owners.pop(self.number)
        if page.owners:
            heir = page.owners[min(page.owners)]
            page.owners[heir.number] = replace(heir, estate=tuple(sorted({*heir.estate, *mine.estate, mine.number})))

    def _remove_dead(self, page: _Page) -> None:
        """Remove the entries of dead drivers and inherit from them."""
        for owner in list(page.owners.values()):
            if owner.number != self.number and owner.dead(page.now):
                del page.owners[owner.number]
                self.estate |= {owner.number, *owner.estate}
                self.taken_over.append(owner)

    @contextmanager
    def _locked(self) -> Iterator[_Page | None]:
        """Hold the study's row; commit if the block ends well. None: there is no such study (any more)."""
        with self._storage.engine.connect() as connection:
            if not rows.lock(connection, self._study_id):
                yield None
                return
            noted = rows.read(connection, self._study_id, "owners")
            owners = {owner.number: owner for owner in owners_in(noted)}
            yield _Page(connection, rows.now(connection), owners, noted["entered"] if noted else 0)
            connection.commit()

    def _write(self, page: _Page) -> None:
        drivers = [asdict(owner) for owner in page.owners.values()]
        rows.write(page.connection, self._study_id, "owners", {"entered": page.entered, "drivers": drivers})
