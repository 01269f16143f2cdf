"""What is said of references: models of scikit-learn with their defaults, measured on the same split as the trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo.ledger.study.references import References
from hpo.spec.space import show

_WORDS: Mapping[str, tuple[str, str]] = {  # of classification, of regression
    "constant": ("majority class", "mean"),
    "linear": ("logistic regression", "ridge regression"),
    "random_forest": ("random forest", "random forest"),
    "gradient_boosting": ("gradient boosting", "gradient boosting"),
}


@dataclass(frozen=True)
class ComparedReference:
    """One reference beside the best trial."""

    name: str  # in the sweep file
    words: str
    value: float  # of the sweep's metric
    beaten: bool
    says: str  # what it always says; "": it looks at the row


def compared(references: References | None, metric: str, goal: str, best: float | None) -> list[ComparedReference]:
    """Return the references that have the metric, the best first. A tie does not beat one. best: the best trial's
    value."""
    if references is None:
        return []
    sign = 1.0 if goal == "maximize" else -1.0
    rows = [
        ComparedReference(
            name,
            _WORDS.get(name, (name, name))[references.kind == "regression"],
            model.metrics[metric],
            best is not None and sign * best > sign * model.metrics[metric],
            model.says,
        )
        for name, model in references.models.items()
        if metric in model.metrics
    ]
    return sorted(rows, key=lambda row: -sign * row.value)


def reference_lines(
    rows: Sequence[ComparedReference], metric: str, best: float | None, who: str = "the best trial"
) -> list[str]:
    """Return the references as a short table, and a sentence if the best trial does not beat one; [] without any.

    who: has the value `best`.
    """
    if not rows or best is None:
        return []
    width, digits = max(len(row.words) for row in rows), max(len(show(row.value)) for row in rows)
    lines = [f"references: {metric} of scikit-learn's models, with their defaults, on the same split"]
    for row in rows:
        remark = "" if row.beaten else "   not beaten"
        lines.append(f"  {row.words:<{width}}  {show(row.value):<{digits}}{remark}".rstrip())
    unbeaten = [row for row in rows if not row.beaten]
    constant = next((row for row in unbeaten if row.says), None)
    if constant is not None:
        lines.append(f"{who}, {show(best)}, is no better than always saying {constant.says}")
    floor = constant.value if constant is not None else None  # nothing new is said of those that are no better
    first = next((row for row in unbeaten if row.value != floor), None)
    if first is not None:
        article = "" if first.name == "gradient_boosting" else "a "
        name = f"{article}{first.words} with its defaults reaches {show(first.value)}"
        lines.append(f"{name}: {who}, {show(best)}, does not beat it")
    return lines


def references_json(references: References | None, rows: Sequence[ComparedReference]) -> dict[str, Any] | None:
    """Return the references for scripts: every metric of each, and which are not beaten; None if there are none."""
    if references is None:
        return None
    return {
        "models": {name: dict(model.metrics) for name, model in references.models.items()},
        "not_beaten": [row.name for row in rows if not row.beaten],
    }
