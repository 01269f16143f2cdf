"""Are the models that the study names still in MLflow, whole?"""

from __future__ import annotations

from collections.abc import Sequence

from hpo.ledger.doctor.findings import Findings
from hpo.ledger.mirror.registry import ModelRegistry
from hpo.ledger.study.home import Home
from hpo.ledger.study.models import ModelRecord


def audit_models(home: Home, models: Sequence[ModelRecord], findings: Findings) -> None:
    """Look for a study's registered models in MLflow; add what is wrong to the findings.

    Raises what MLflow's client raises.
    """
    registry = ModelRegistry(home)
    for model in models:
        for fault in registry.faults(model):
            findings.add("mlflow.model", f"its model ({model.on}, weights {model.digest[:8]}): {fault}", model.trial)
