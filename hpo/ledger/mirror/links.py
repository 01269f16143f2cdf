"""Addresses at which one of the two UIs leads to the other. They hold at whichever ports `hpo ui` serves them.

Both answer the path `/hpo/open` with a redirection (hpo/review/ui_links.py), so a link that is kept in a description
has no port in it. Other MLflow servers don't know that path: there, links are addresses within MLflow's own page.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlencode

Where = Literal["dashboard", "mlflow", "runs", "charts"]  # runs, charts: MLflow's table of a study's trials, its charts
OPEN = "/hpo/open"
VIEW = "hpo"  # the name of MLflow's shared view of the runs table
MACHINE_LEARNING = "workflowType=machine_learning"  # else MLflow 3 has its menus for language models


def link_to(where: Where, study: str, trial: int | None = None) -> str:
    """Return the address, without a host, of a study's page or of a trial's, in one of the UIs."""
    asked = {"in": where, "study": study} | ({} if trial is None else {"trial": str(trial)})
    return f"{OPEN}?{urlencode(asked)}"


def run_page(experiment: str, run_id: str) -> str:
    """Return the address of a run, from any page of the same MLflow."""
    return f"#/experiments/{experiment}/runs/{run_id}?{MACHINE_LEARNING}"


def runs_page(experiment: str, charts: bool = False) -> str:
    """Return the address of an experiment's table of runs, or of its charts, from any page of the same MLflow."""
    mode = "&compareRunsMode=CHART" if charts else ""
    return f"#/experiments/{experiment}/runs?{MACHINE_LEARNING}&viewStateShareKey={VIEW}{mode}"
