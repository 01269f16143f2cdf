"""What a transaction reads and writes of a study's rows. The tables are Optuna's; these columns are the same in all its
releases since 2.0."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LOCK_SECONDS = 30  # that SQLite waits for another writer


def _tables() -> tuple[Any, Any]:
    from sqlalchemy import column, table

    studies = table("studies", column("study_id"))
    attributes = table("study_user_attributes", column("study_id"), column("key"), column("value_json"))
    return studies, attributes


def lock(connection: Connection, study_id: int) -> bool:
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


def read(connection: Connection, study_id: int, key: str) -> Any:
    """Return a study attribute, None if there is none."""
    from sqlalchemy import select

    _, attributes = _tables()
    query = select(attributes.c.value_json).where(attributes.c.study_id == study_id, attributes.c.key == key)
    text = connection.execute(query).scalar()
    return None if text is None else json.loads(text)


def write(connection: Connection, study_id: int, key: str, value: Any) -> None:
    """Set a study attribute."""
    from sqlalchemy import insert, update

    _, attributes = _tables()
    text = json.dumps(value)
    its_row = update(attributes).where(attributes.c.study_id == study_id, attributes.c.key == key)
    if not connection.execute(its_row.values(value_json=text)).rowcount:
        connection.execute(insert(attributes).values(study_id=study_id, key=key, value_json=text))


def has_trials(connection: Connection, study_id: int) -> bool:
    """Whether a study has any trial."""
    from sqlalchemy import column, select, table

    trials = table("trials", column("study_id"))
    query = select(trials.c.study_id).where(trials.c.study_id == study_id).limit(1)
    return connection.execute(query).first() is not None


def is_blank(connection: Connection, study_id: int) -> bool:
    """Whether nothing was recorded of a study but that it is one."""
    return read(connection, study_id, "sweep") is None and not has_trials(connection, study_id)


def remove(connection: Connection, study_id: int) -> None:
    """Remove a study that has no trials."""
    from sqlalchemy import column, delete, table

    for name in ("study_user_attributes", "study_system_attributes", "study_directions", "studies"):
        rows = table(name, column("study_id"))
        connection.execute(delete(rows).where(rows.c.study_id == study_id))


def rename(connection: Connection, study_id: int, name: str) -> None:
    """Let a study be called otherwise. Raises sqlalchemy.exc.IntegrityError if another one is called so."""
    from sqlalchemy import column, table, update

    studies = table("studies", column("study_id"), column("study_name"))
    connection.execute(update(studies).where(studies.c.study_id == study_id).values(study_name=name))


def now(connection: Connection) -> float:
    """Return the time by a clock that all the study's drivers share."""
    clocks = {
        "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp())",
        "mysql": "SELECT UNIX_TIMESTAMP(SYSDATE(6))",
        "mariadb": "SELECT UNIX_TIMESTAMP(SYSDATE(6))",
    }
    clock = clocks.get(connection.dialect.name)
    return time.time() if clock is None else float(connection.exec_driver_sql(clock).scalar_one())
