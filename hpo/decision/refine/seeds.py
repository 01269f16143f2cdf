"""The configurations that a refined sweep tries first: the best ones of the study."""

from __future__ import annotations

from typing import Any

from hpo.decision.refine.evidence import TrialEvidence
from hpo.ledger.study.space_change import fits
from hpo.spec.conditions import identity_of
from hpo.spec.space import Space

_SHARE = 0.1  # of the budget, at most
_MOST = 5


def seeds_of(evidence: TrialEvidence, space: Space, budget: int) -> list[tuple[int, dict[str, Any]]]:
    """Return (trial, configuration) of the best trial and of the best complete ones, the best first, as the refined
    space has them.

    What is fixed there takes its value, and a trial that lies outside is passed over. The best one is always there.
    """
    most = max(1, min(_MOST, int(_SHARE * budget)))
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    for record in evidence.good:
        if record.state != "complete" and record is not evidence.best:
            continue
        params = space.complete(record.params)
        if fits(space, params):
            found.setdefault(identity_of(params), (record.number, params))
        if len(found) == most:
            break
    return list(found.values())
