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
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.ledger.study.file_lock import Ownership
from hpo.ledger.study.home import Home, open_database
from hpo.ledger.study.patience import options
from hpo.spec.faults import UserError
from hpo.spec.sweep import Sweep

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from sqlalchemy import Connection

    from hpo.ledger.study.database import PatientStorage

OWNER_SECONDS = 60.0  # without a sign of life after which a driver counts as dead
_TRIES = 20  # to find or make a study that others make and remove
_LOCK_SECONDS = 30  # that SQLite waits for another writer
_NAMED_LOCK_SECONDS = 20  # that a named lock is waited for; who holds one opens a sweep in MLflow


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
        return now - self.seen > OWNER_SECONDS or (self.machine == _machine() and not _is_alive(self.pid))

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host} since {since}"


@dataclass
class _Page:
    """What the transaction holds of a study: its owners by number, and how many there ever were."""

    connection: Connection
    now: float
    owners: dict[int, Owner]
    entered: int


class SharedOwnership:
    """This driver's entry among a study's owners. Held from `take` to `give_up`; `renew` it every few seconds."""

    def __init__(self, storage: PatientStorage, sweep: Sweep, join: bool = False) -> None:
        """join: share the study with other drivers that do."""
        self._storage = storage
        self.patience = storage.patience
        self._engine: Any = storage.engine
        self._sweep = sweep
        self._join = join
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
            if mine is None or (mine.machine, mine.pid) != (_machine(), os.getpid()):
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
        self._bury(page)
        others = list(page.owners.values())
        if others and not (self._join and all(owner.join for owner in others)):
            raise UserError(self._refusal(others, page.now))
        self.alone = not others
        self._be_of_hpo(page.connection)
        self.number = page.entered = page.entered + 1
        estate = range(self.number) if self.alone else sorted(self.estate)
        host = os.uname().nodename
        page.owners[self.number] = Owner(
            self.number, host, _machine(), os.getpid(), page.now, page.now, self._join, tuple(estate)
        )
        self.estate = frozenset(estate)
        self._write(page)

    def _refusal(self, others: list[Owner], now: float) -> str:
        first, more = others[0], len(others) - 1
        seen = f"last seen {max(0.0, now - first.seen):.0f} s ago"
        and_more = f", and {more} more" if more else ""
        remedy = "wait for it, stop it, or choose another name with -o name=..."
        if self._join:
            remedy = f"it was started without --join, so it can't be joined; {remedy}"
        elif first.join:
            remedy = f"take part with --join, or {remedy}"
        return f"the study {self._sweep.name!r} is being run by {first}, {seen}{and_more} ({remedy})"

    def _be_of_hpo(self, connection: Connection) -> None:
        """Give a new study its id and its definition, so that drivers that come later compare theirs with it."""
        if self.alone and _is_blank(connection, self._study_id):
            if _read(connection, self._study_id, "id") is None:
                _set(connection, self._study_id, "id", uuid.uuid4().hex)
            _set(connection, self._study_id, "identity", self._sweep.identity())

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
                self._bury(page)
            page.owners[self.number] = replace(page.owners[self.number], estate=tuple(sorted(self.estate)))
            self._write(page)

    def _loss(self, page: _Page | None) -> str:
        heirs = list(page.owners.values()) if page is not None else []
        by = f"taken over by {heirs[0]}" if heirs else "taken over by another driver"
        return (
            f"the study {self._sweep.name!r} was {by}, since this process gave no sign of life for more than "
            f"{OWNER_SECONDS:.0f} s; it stops, and writes nothing more"
        )

    def change(self, key: str, new: Callable[[Any, Collection[int]], Any]) -> tuple[Any, Any]:
        """Set a study attribute while nobody else can; return what it was and what it is.

        new: returns it, given what it was (None: there was none) and the numbers of the other drivers. Given its own
        result, it must return that.
        """
        return self.patience.carry_out(lambda again: self._change(key, new))

    def _change(self, key: str, new: Callable[[Any, Collection[int]], Any]) -> tuple[Any, Any]:
        with self._locked() as page:
            if page is None or self.number not in page.owners:
                raise OwnershipLost(self._loss(page))
            old = _read(page.connection, self._study_id, key)
            value = new(old, page.owners.keys() - {self.number})
            _set(page.connection, self._study_id, key, value)
        return old, value

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
            self._bury(page)
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
                if self._made and not page.owners and _is_blank(page.connection, self._study_id):
                    _remove(page.connection, self._study_id)
        self.number = 0

    def _hand_over(self, page: _Page) -> None:
        """Remove this driver's entry; the one that came first of the others inherits."""
        mine = page.owners.pop(self.number)
        if page.owners:
            heir = page.owners[min(page.owners)]
            page.owners[heir.number] = replace(heir, estate=tuple(sorted({*heir.estate, *mine.estate, mine.number})))

    def _bury(self, page: _Page) -> None:
        """Remove the entries of dead drivers and inherit from them."""
        for owner in list(page.owners.values()):
            if owner.number != self.number and owner.dead(page.now):
                del page.owners[owner.number]
                self.estate |= {owner.number, *owner.estate}
                self.taken_over.append(owner)

    @contextmanager
    def _locked(self) -> Iterator[_Page | None]:
        """Hold the study's row; commit if the block ends well. None: there is no such study (any more)."""
        with self._engine.connect() as connection:
            if not _lock(connection, self._study_id):
                yield None
                return
            noted = _read(connection, self._study_id, "owners") or {"entered": 0, "drivers": []}
            owners = [Owner(**{**entry, "estate": tuple(entry["estate"])}) for entry in noted["drivers"]]
            yield _Page(connection, _now(connection), {owner.number: owner for owner in owners}, noted["entered"])
            connection.commit()

    def _write(self, page: _Page) -> None:
        drivers = [asdict(owner) for owner in page.owners.values()]
        _set(page.connection, self._study_id, "owners", {"entered": page.entered, "drivers": drivers})


def own_study(
    sweep: Sweep, home: Home, join: bool = False, storage: BaseStorage | None = None
) -> tuple[Ownership | SharedOwnership, BaseStorage | None]:
    """Become a study's owner; return the ownership and the storage, if it had to be opened for that or was given.

    Raises UserError if another driver owns the study, or if it can't be shared where it is kept.
    """
    from optuna.storages import get_storage

    from hpo.ledger.study.database import PatientStorage

    if join:
        refuse_join(home.storage)
    if home.database is None:
        lock = Ownership(home.owner_file(sweep.name), sweep.name)
        lock.take()
        return lock, storage
    database = storage if isinstance(storage, PatientStorage) else open_database(home.database)
    entry = SharedOwnership(database, sweep, join)
    entry.take()
    return entry, get_storage(database) if join else database  # cached: each look reads only what is new


@contextmanager
def one_at_a_time(url: str, what: str) -> Iterator[None]:
    """Hold a lock of a shared database (PostgreSQL or MySQL) that goes by a name; it dies with its holder.

    Raises what SQLAlchemy raises if the database is away, and if somebody else holds the lock for long.
    """
    from sqlalchemy import NullPool, create_engine, text

    name = f"hpo-{hashlib.sha256(what.encode()).hexdigest()[:32]}"
    with create_engine(url, poolclass=NullPool, **options(url)).connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SET lock_timeout = '{_NAMED_LOCK_SECONDS}s'"))
            connection.execute(text("SELECT pg_advisory_lock(hashtext(:name))"), {"name": name})
        elif connection.scalar(text(f"SELECT GET_LOCK(:name, {_NAMED_LOCK_SECONDS})"), {"name": name}) != 1:
            raise TimeoutError(f"somebody has held the lock {name} for {_NAMED_LOCK_SECONDS} s")
        yield


def refuse_join(storage: str | None) -> None:
    """Raise UserError if drivers can't share a study that is kept there."""
    needs = "--join needs a database that many can write at once: --storage postgresql://... or mysql://..."
    if storage is None or "://" not in storage:
        raise UserError(f"{needs}; a journal file has one writer, which holds most of its trials in memory")
    if storage.startswith("sqlite"):
        raise UserError(f"{needs}; SQLite locks the whole file for each write, and can't be shared by machines")


# The transaction's statements. The tables are Optuna's; these columns are the same in all its releases since 2.0.


def _tables() -> tuple[Any, Any]:
    from sqlalchemy import column, table

    studies = table("studies", column("study_id"))
    attributes = table("study_user_attributes", column("study_id"), column("key"), column("value_json"))
    return studies, attributes


def _lock(connection: Connection, study_id: int) -> bool:
    """Lock the study's row until the transaction ends; return whether there is one."""
    from sqlalchemy import select

    studies, _ = _tables()
    query = select(studies.c.study_id).where(studies.c.study_id == study_id)
    if connection.dialect.name == "sqlite":  # has no locks on rows
        connection.exec_driver_sql(f"PRAGMA busy_timeout={_LOCK_SECONDS * 1000}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        query = query.with_for_update()
    return connection.execute(query).first() is not None


def _read(connection: Connection, study_id: int, key: str) -> Any:
    """Return a study attribute, None if there is none."""
    from sqlalchemy import select

    _, attributes = _tables()
    query = select(attributes.c.value_json).where(attributes.c.study_id == study_id, attributes.c.key == key)
    text = connection.execute(query).scalar()
    return None if text is None else json.loads(text)


def _set(connection: Connection, study_id: int, key: str, value: Any) -> None:
    from sqlalchemy import insert, update

    _, attributes = _tables()
    text = json.dumps(value)
    its_row = update(attributes).where(attributes.c.study_id == study_id, attributes.c.key == key)
    if not connection.execute(its_row.values(value_json=text)).rowcount:
        connection.execute(insert(attributes).values(study_id=study_id, key=key, value_json=text))


def _has_trials(connection: Connection, study_id: int) -> bool:
    from sqlalchemy import column, select, table

    trials = table("trials", column("study_id"))
    query = select(trials.c.study_id).where(trials.c.study_id == study_id).limit(1)
    return connection.execute(query).first() is not None


def _is_blank(connection: Connection, study_id: int) -> bool:
    """Whether nothing was recorded of a study but that it is one."""
    return _read(connection, study_id, "sweep") is None and not _has_trials(connection, study_id)


def _remove(connection: Connection, study_id: int) -> None:
    from sqlalchemy import column, delete, table

    for name in ("study_user_attributes", "study_system_attributes", "study_directions", "studies"):
        rows = table(name, column("study_id"))
        connection.execute(delete(rows).where(rows.c.study_id == study_id))


def _now(connection: Connection) -> float:
    """Return the time by a clock that all the study's drivers share."""
    clocks = {
        "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp())",
        "mysql": "SELECT UNIX_TIMESTAMP(SYSDATE(6))",
        "mariadb": "SELECT UNIX_TIMESTAMP(SYSDATE(6))",
    }
    clock = clocks.get(connection.dialect.name)
    return time.time() if clock is None else float(connection.exec_driver_sql(clock).scalar_one())


def _machine() -> str:
    """Return what tells this machine, and the container in it, from others of the same name: where a pid is a pid."""
    parts = [os.uname().nodename]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(Path("/proc/self/ns/pid").readlink().name)
    return "/".join(parts)


def _is_alive(pid: int) -> bool:
    """Whether a process of this machine is there, and not a dead one that its parent has not looked at yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return True
