"""MLflow's private names: there, and meaning what they are used for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient, MlflowException
from mlflow.store.artifact import local_artifact_repo
from mlflow.store.db import utils
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import NullPool, create_engine, text

from hpo.ledger.mirror import artifacts, compat
from hpo.ledger.mirror.tables import COLUMNS


@pytest.mark.slow
def test_a_database_from_nothing_to_whole(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    engine = create_engine(uri, poolclass=NullPool)
    assert compat.is_empty(engine)
    compat.make_tables(engine)
    assert not compat.is_empty(engine)
    assert compat.has_all_tables(engine)
    there, wanted = compat.schema_versions(engine)
    assert there == wanted
    assert wanted in compat.known_versions(uri)
    assert type(compat.store_of(MlflowClient(uri))) is SqlAlchemyStore
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE latest_metrics"))
        connection.execute(text("DELETE FROM alembic_version"))
    assert not compat.has_all_tables(engine)
    assert compat.schema_versions(engine) == (None, wanted)


def test_release_and_schema_are_known_without_mlflow() -> None:
    code = (
        "import sys; from hpo.ledger.mirror.compat import release, schema_name; "
        "print(release(), schema_name(), 'mlflow' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True).stdout.split()
    assert said[0] == mlflow.__version__
    assert said[1].startswith(f"{mlflow.__version__}-")
    assert said[2] == "False"


def test_unfinished_files_are_named_as_mlflow_names_them() -> None:
    assert local_artifact_repo._TEMP_ARTIFACT_PREFIX == artifacts.DRAFT


def test_tables_have_the_columns_that_are_written() -> None:
    theirs = compat.own_columns()
    assert {name: theirs[name] for name in COLUMNS} == COLUMNS


def test_the_version_of_the_schema_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what MLflow asks for it, when it opens a database, is the name that was replaced."""
    asked: list[str] = []
    monkeypatch.setattr(utils, "_get_latest_schema_revision", lambda: asked.append("again") or "the latest")
    compat.remember_schema_version()
    for _ in range(2):
        with pytest.raises(MlflowException, match="but expected the latest"):
            utils._verify_schema(create_engine("sqlite://"))
    assert asked == ["again"]
