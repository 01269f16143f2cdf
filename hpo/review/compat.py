"""Private names of MLflow that its UI's process needs, read from MLflow 3.17.2.

tests/review/test_ui.py fails if one of them is gone.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Any

_PRIVATE = "_MLFLOW_SERVER_"


def mlflow_application(tracking: str, artifacts: str | None, environment: MutableMapping[str, str] = os.environ) -> Any:
    """Return the ASGI application of an MLflow server, as `mlflow server` has it served by uvicorn.

    tracking: the address of its database; artifacts: where the files of new experiments go (None: MLflow's default).
    It reads both from the environment of the process, which can have one such server. Raises what MLflow raises if the
    database can't be used.
    """
    from mlflow.server.constants import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR, REGISTRY_STORE_URI_ENV_VAR

    for name in [name for name in environment if name.startswith(_PRIVATE)]:  # of another server, which started this
        del environment[name]
    environment[BACKEND_STORE_URI_ENV_VAR] = environment[REGISTRY_STORE_URI_ENV_VAR] = tracking
    if artifacts is not None:
        environment[ARTIFACT_ROOT_ENV_VAR] = artifacts
    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(tracking, tracking, artifacts)
    return app
