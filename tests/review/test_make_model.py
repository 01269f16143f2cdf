"""A model that was trained again, and what its study has recorded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from hpo.review.make_model import _compared


@pytest.mark.parametrize(
    ("now", "likeness"),
    [
        ({"val_loss": 0.5}, "equal"),
        ({"val_loss": 0.5, "health/model/zero_weights": 0.0}, "equal"),  # this release measures more
        ({"val_loss": 0.5 + 1e-9}, "rounding"),
        ({"val_loss": 0.6}, "different"),
        ({}, "different"),
    ],
)
def test_only_what_was_recorded_is_compared(now: dict[str, float], likeness: str) -> None:
    study = SimpleNamespace(sweep=SimpleNamespace(metric=SimpleNamespace(name="val_loss")))
    trial = SimpleNamespace(steps={1: {"val_loss": 0.5}}, value=0.5)
    chosen = cast(
        Any, SimpleNamespace(trial=trial, study=study, on="train", versions={}, steps=trial.steps, until=None)
    )
    found = _compared(chosen, cast(Any, SimpleNamespace(reports={1: now})))
    assert found.verdict == likeness
