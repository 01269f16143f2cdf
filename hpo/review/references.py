"""What is said of references: models of scikit-learn with their defaults, measured on the same split as the trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpo.ledger.study.references import ComparedReference, References, compared, sanity_lines
from hpo.spec.space import show

__all__ = ["ComparedReference", "compared", "reference_lines", "references_json"]


def reference_lines(
    rows: Sequence[ComparedReference], metric: str, best: float | None, who: str = "the best trial"
) -> list[str]:
    """Return the references as a short table, and a sentence for what the best trial does not beat; [] without any.

    who: has the value `best`.
    """
    if not rows or best is None:
        return []
    width, digits = max(len(row.words) for row in rows), max(len(show(row.value)) for row in rows)
    lines = [f"references: {metric} of scikit-learn's models, with their defaults, on the same split"]
    for row in rows:
        remark = "" if row.beaten else "   not beaten"
        lines.append(f"  {row.words:<{width}}  {show(row.value):<{digits}}{remark}".rstrip())
    return lines + sanity_lines(rows, best, who)


def references_json(
    references: References | None, rows: Sequence[ComparedReference], best: float | None
) -> dict[str, Any] | None:
    """Return the references for scripts: every metric of each, which are not beaten, and that in sentences; None if
    there are none. best: the best trial's value."""
    if references is None:
        return None
    return {
        "models": {name: dict(model.metrics) for name, model in references.models.items()},
        "not_beaten": [row.name for row in rows if not row.beaten],
        "says": sanity_lines(rows, best),
    }
