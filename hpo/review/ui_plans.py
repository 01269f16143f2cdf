"""How the two UIs are started."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from hpo.ledger.study.home import Home
from hpo.review.summary import home_options, hpo_command
from hpo.review.ui_dashboard import (
    COMMAND_VARIABLE,
    MLFLOW_VARIABLE,
    READ_ONLY_VARIABLE,
    REMOTE_VARIABLE,
    STORAGE_VARIABLE,
)
from hpo.review.ui_mlflow import ARTIFACTS_VARIABLE, DASHBOARD_VARIABLE, TRACKING_VARIABLE
from hpo.review.ui_web import dashboard_page, mlflow_page

# What would make MLflow's server another than the one meant here.
_MLFLOW_VARIABLES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_STATIC_PREFIX",
    "MLFLOW_ARTIFACTS_ONLY",
    "MLFLOW_GUNICORN_OPTS",
    "MLFLOW_UVICORN_OPTS",
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE",
    "MLFLOW_SERVER_ALLOWED_HOSTS",
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
    "MLFLOW_ENABLE_WORKSPACES",
)


def unheeded() -> list[str]:
    """Return the variables of an MLflow server's that are set, and have no effect on the one that is started here."""
    return [name for name in _MLFLOW_VARIABLES if name != "MLFLOW_TRACKING_URI" and os.environ.get(name)]


@dataclass(frozen=True)
class Plan:
    """How one UI is started, how it shows that it is there, and where it shows a study."""

    name: str
    slug: str  # in the log's name
    port: int  # as wanted
    health: str  # a path that answers 200 once it is there
    argv: Callable[[int], list[str]]  # from the port that it gets
    env: dict[str, str]
    page: Callable[[str, str | None], str]  # (address, study; None: all studies) -> address, "" if there is none
    path: str = ""  # of its own first page
    front: str = ""  # what the page at its root is called, if that is another one


def mlflow_plan(home: Home, port: int) -> Plan:
    """Return the plan of an MLflow server over the home's runs."""
    env = {name: value for name, value in os.environ.items() if name not in _MLFLOW_VARIABLES}
    env |= {
        TRACKING_VARIABLE: home.tracking_uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # no more processes
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONSAFEPATH": "1",  # the working directory is the user's: no mlflow.py or json.py of theirs
    }
    # The files of a run lie at file:// addresses, which the server reads itself.
    env |= {ARTIFACTS_VARIABLE: home.artifacts} if home.artifacts is not None else {}
    argv = [sys.executable, "-m", "hpo.review.ui_mlflow"]
    return Plan("MLflow UI", "mlflow", port, "/health", lambda port: [*argv, str(port)], env, mlflow_page)


def dashboard_plan(home: Home, port: int, read_only: str = "") -> Plan:
    """Return the plan of an Optuna dashboard over the home's studies, with the first page before it. read_only: why the
    home can't be written; "": it can."""
    env = {**os.environ, STORAGE_VARIABLE: home.storage_url, "PYTHONSAFEPATH": "1"}
    env[READ_ONLY_VARIABLE] = read_only
    env[COMMAND_VARIABLE] = json.dumps([hpo_command(), home_options(home)])
    argv = [sys.executable, "-m", "hpo.review.ui_dashboard"]
    name, health = "Optuna dashboard", "/api/meta"
    return Plan(
        name, "dashboard", port, health, lambda port: [*argv, str(port)], env, dashboard_page,
        path="/dashboard", front="All studies",
    )  # fmt: skip


def addresses(mlflow: str, dashboard: str, remote: bool) -> dict[str, str]:
    """Return what the UIs are told of each other. An address is "" where there is none; remote: MLflow is a server that
    was there before."""
    return {MLFLOW_VARIABLE: mlflow, REMOTE_VARIABLE: "1" if remote else "", DASHBOARD_VARIABLE: dashboard}
