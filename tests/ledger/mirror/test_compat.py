"""MLflow's private names: there, and meaning what they are used for."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import NullPool, create_engine, text

from hpo.ledger.mirror import compat


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
