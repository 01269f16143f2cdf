"""What references (models of scikit-learn beside the trials) reach, as the study keeps it, beside its best trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpo.spec.space import show

REFERENCES = "references"  # the attribute's name


@dataclass(frozen=True)
class ReferenceRecord:
    """One reference. metrics: on the validation split, named as the trials' are."""

    metrics: Mapping[str, float]
    moment: float  # when it was measured, in seconds since the Unix epoch
    says: str = ""  # what it always says, if it says the same of every row


@dataclass(frozen=True)
class References:
    """The references of a study.

    data: the digest of the rows that they were fitted and measured on. kind: the task's (binary, multiclass or
    regression). models: by the name that the sweep file has for them, the cheapest first.
    """

    data: str
    kind: str
    models: Mapping[str, ReferenceRecord] = field(default_factory=dict)

    def attribute(self) -> dict[str, Any]:
        """Return what the study keeps: plain JSON types."""
        return {"data": self.data, "kind": self.kind, "models": {n: _plain(model) for n, model in self.models.items()}}


def _plain(model: ReferenceRecord) -> dict[str, Any]:
    return {"metrics": dict(model.metrics), "moment": model.moment} | ({"says": model.says} if model.says else {})


def references_of(attributes: Mapping[str, Any]) -> References | None:
    """Return a study's references; None if none were measured. attributes: the study's."""
    kept = attributes.get(REFERENCES)
    if not kept:
        return None
    models = {name: ReferenceRecord(**its) for name, its in kept["models"].items()}
    return References(kept["data"], kept["kind"], models)


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


def sanity_lines(rows: Sequence[ComparedReference], best: float | None, who: str = "the best trial") -> list[str]:
    """Return in sentences which references the best trial does not beat: the constant, a linear model, and the best of
    all. who: has the value `best`."""
    if best is None:
        return []
    lines, unbeaten = [], [row for row in rows if not row.beaten]
    constant = next((row for row in unbeaten if row.says), None)
    if constant is not None:
        lines.append(f"{who}, {show(best)}, is no better than always saying {constant.says}")
    floor = constant.value if constant is not None else None  # nothing new is said of those that are no better
    others = [row for row in unbeaten if row.value != floor]
    linear = next((row for row in others if row.name == "linear"), None)
    if linear is not None:
        how = "as good" if linear.value == best else "better"
        reaches = f"{linear.words} with its defaults reaches {show(linear.value)}"
        lines.append(f"a linear model is {how}: {reaches}, {who} {show(best)}")
    if others and others[0] is not linear:
        first = others[0]
        article = "" if first.name == "gradient_boosting" else "a "
        name = f"{article}{first.words} with its defaults reaches {show(first.value)}"
        lines.append(f"{name}: {who}, {show(best)}, does not beat it")
    return lines
