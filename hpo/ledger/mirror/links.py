"""Addresses at which one of the two UIs leads to the other. They hold at whichever ports `hpo ui` serves them.

Both answer the path `/hpo/open` with a redirection (hpo/review/ui_links.py), so a link that is kept in a description
has no port in it.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlencode

Where = Literal["dashboard", "mlflow", "runs", "charts"]  # runs, charts: MLflow's table of a study's trials, its charts
OPEN = "/hpo/open"
VIEW = "hpo"  # the name of MLflow's shared view of the runs table


def link_to(where: Where, study: str, trial: int | None = None) -> str:
    """Return the address, without a host, of a study's page or of a trial's, in one of the UIs."""
    asked = {"in": where, "study": study} | ({} if trial is None else {"trial": str(trial)})
    return f"{OPEN}?{urlencode(asked)}"
