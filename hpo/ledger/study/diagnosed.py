"""A trial's diagnoses, from its record."""

from __future__ import annotations

from collections.abc import Mapping

from hpo.diagnosis import FEWEST, Diagnosis, diagnoses_of
from hpo.diagnosis.figures import is_judged
from hpo.events import DIVERGED_HEALTH
from hpo.ledger.study.records import TrialRecord


def health_at_its_end(record: TrialRecord) -> Mapping[str, float]:
    """Return the figures of health that were measured in the epoch in which a trial diverged."""
    found: Mapping[str, float] = record.info.get(DIVERGED_HEALTH, {})
    return found


def curves_of(record: TrialRecord) -> dict[str, list[float]]:
    """Return each metric's values in the order of steps; of one that diverged `health_at_its_end`, too."""
    curves: dict[str, list[float]] = {}
    for metrics in (*(record.steps[step] for step in sorted(record.steps)), health_at_its_end(record)):
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
    tells = any(is_judged(name) or len(values) >= FEWEST for name, values in curves.items())
    return tuple(found) if found or tells else None
