"""What references (models of scikit-learn beside the trials) reach, as the study keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
