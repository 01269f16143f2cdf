"""What a trial's record says of its training."""

from __future__ import annotations

import pytest

from hpo.ledger.study.diagnosed import curves_of, diagnosed
from hpo.ledger.study.records import Outcome, TrialRecord


def record(metrics: dict[str, float]) -> TrialRecord:
    return TrialRecord(0, {}, 7, outcome=Outcome("complete", value=0.5), steps={1: {"score": 0.5, **metrics}})


@pytest.mark.parametrize(
    ("metrics", "tells"),
    [
        ({}, False),
        ({"health/0/dead": 0.1}, True),
        ({"health/0/gradient_norm": 0.1}, True),
        ({"health/0/activation_norm": 1.0}, False),
        ({"health/model/learning_rate": 0.1}, False),
    ],
)
def test_a_trial_is_healthy_if_what_diagnoses_go_by_was_measured(metrics: dict[str, float], tells: bool) -> None:
    assert diagnosed(record(metrics), "score", "maximize") == (() if tells else None)
    assert curves_of(record(metrics)) == {"score": [0.5]} | {name: [value] for name, value in metrics.items()}
