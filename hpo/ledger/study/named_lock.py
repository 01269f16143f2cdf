"""A lock of a shared database that goes by a name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from hpo.ledger.study.patience import options

_SECONDS = 20  # that a lock is waited for; who holds one opens a sweep in MLflow


@contextmanager
def one_at_a_time(url: str, what: str) -> Iterator[None]:
    """Hold a lock of a shared database (PostgreSQL or MySQL) that goes by a name; it dies with its holder.

    Raises what SQLAlchemy raises if the database is away, and if somebody else holds the lock for long.
    """
    from sqlalchemy import NullPool, create_engine, text

    name = f"hpo-{hashlib.sha256(what.encode()).hexdigest()[:32]}"
    with create_engine(url, poolclass=NullPool, **options(url)).connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SET lock_timeout = '{_SECONDS}s'"))
            connection.execute(text("SELECT pg_advisory_lock(hashtext(:name))"), {"name": name})
        elif connection.scalar(text(f"SELECT GET_LOCK(:name, {_SECONDS})"), {"name": name}) != 1:
            raise TimeoutError(f"somebody has held the lock {name} for {_SECONDS} s")
        yield
