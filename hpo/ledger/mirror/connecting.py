"""How MLflow is written: by itself, or without it where that leads to the same and spares the seconds of loading it."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass

from hpo.ledger.mirror import bulk
from hpo.ledger.mirror.local import LocalClient
from hpo.ledger.mirror.template import fits, has_template
from hpo.ledger.mirror.tracking import Client
from hpo.ledger.study.home import Home

# Settings that change what MLflow's own client and store do: how they open a database, or what they write.
_WEIGHTY = (
    "MLFLOW_ENABLE_WORKSPACES", "MLFLOW_SQLALCHEMYSTORE_", "MLFLOW_TRUNCATE_LONG_VALUES",
    "MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH", "MLFLOW_ACTIVE_MODEL_ID", "_MLFLOW_ACTIVE_MODEL_ID",
)  # fmt: skip


@dataclass(frozen=True)
class Connected:
    """What writes MLflow."""

    client: Client
    reason: str  # why MLflow is written run by run; "": it is not


def needs_mlflow(home: Home) -> bool:
    """Whether MLflow has to be loaded to write the MLflow of a home, as far as that is known before it is opened.

    Not for the home's own database, if that is one of a tested release, like the empty one that is kept, or is still to
    be made of that.
    """
    database = home.mlflow_database
    if database is None or bulk.untested_release() or any(name.startswith(_WEIGHTY) for name in os.environ):
        return True
    try:
        return not (fits(database) if database.exists() else has_template())
    except (sqlite3.Error, OSError):  # what is wrong with it, is found out and told when it is opened
        return True


def connect(home: Home) -> Connected:
    """Connect to the MLflow of a home, which is known to be usable. Raises what stops it."""
    if home.mlflow_database is not None and not needs_mlflow(home):
        local = LocalClient(home.mlflow_database)
        if local.is_ordinary():
            return Connected(local, "")
        local.engine.dispose()
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=home.tracking_uri, registry_uri=home.tracking_uri)
    return Connected(client, bulk.why_not(client))
