"""A trial's diagnoses, from its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.diagnosis import FEWEST, Diagnosis, diagnoses_of
from hpo.diagnosis.figures import is_health
from hpo.events import DIVERGED_HEALTH
from hpo.ledger.study.records import TrialRecord


def curves_of(record: TrialRecord) -> dict[str, list[float]]:
    """Return each metric's values in the order of steps; of one that diverged also the figures of health that were
    measured in the epoch in which it did."""
    last: Mapping[str, Any] = record.info.get(DIVERGED_HEALTH, {})
    curves: dict[str, list[float]] = {}
    for metrics in (*(record.steps[step] for step in sorted(record.steps)), last):
        for name, value in metrics.items():
            curves.setdefault(name, []).append(value)
    return curves


def diagnosed(record: TrialRecord, metric: str, goal: str) -> tuple[Diagnosis, ...] | None:
    """Return what is wrong with an ended trial's training; None where nothing can be told: it failed, or reported too
    little. metric, goal: the sweep's."""
    if not record.counts:
        return None
    curves, complete = curves_of(record), record.state == "complete"
    found = diagnoses_of(curves, metric=metric, goal=goal, complete=complete, diverged=record.diverged)
    tells = any(is_health(name) or len(values) >= FEWEST for name, values in curves.items())
    return tuple(found) if found or tells else None
