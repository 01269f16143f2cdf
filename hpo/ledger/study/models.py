"""The models that were made of a study's trials and registered with MLflow, as the study keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

MODELS = "models"  # the attribute's name
CHAMPION = "champion"  # the confirmed one


@dataclass(frozen=True)
class ModelRecord:
    """One model. It is in the study before MLflow hears of it; `version` says that it was registered to the end."""

    trial: int
    on: str  # the rows that it was trained on: train, or train+validation
    digest: str  # of its weights
    moment: float  # when it was first noted, in seconds since the Unix epoch
    name: str  # of the registered model
    model_id: str = ""  # of MLflow's logged model
    version: str = ""  # of the registered model
    alias: str = ""  # of the version: CHAMPION, of at most one model of a study

    @property
    def key(self) -> tuple[int, str, str]:
        """What makes it this model and no other."""
        return self.trial, self.on, self.digest


def models_of(attributes: Mapping[str, Any]) -> list[ModelRecord]:
    """Return a study's models, the earliest first. attributes: the study's."""
    return [ModelRecord(**each) for each in attributes.get(MODELS, ())]


def with_model(attributes: Mapping[str, Any], model: ModelRecord) -> list[dict[str, Any]]:
    """Return what the attribute becomes with a model, which takes its own former place if it has one, and its alias
    from all others. Plain JSON."""
    known = {each.key: each for each in models_of(attributes)}
    if model.alias:
        known = {key: replace(each, alias="") if each.alias == model.alias else each for key, each in known.items()}
    return [asdict(each) for each in (known | {model.key: model}).values()]
