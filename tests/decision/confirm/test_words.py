"""What is said of a confirmation, without training anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from review.recorded import complete, recorded, sweep_of

from hpo.decision.confirm.words import confirmation_json, lines_of
from hpo.ledger.study.confirmations import CONFIRMATIONS, Confirmation, Final, JudgedDifference, Ranked, Yardstick
from hpo.ledger.study.home import Home
from hpo.ledger.study.references import REFERENCES
from hpo.review.studies import RecordedStudy, read_study
from hpo.scripting.confirming import latest


def study_of(folder: Path, **data: Any) -> RecordedStudy:
    """Return a study with references, whose data are split as `data` says."""
    home = recorded(Home(folder / "home"), sweep_of(folder, {"x": {"values": [1, 2]}}), [complete(0.9, x=1)])
    study = read_study(home, "small")
    models = {"linear": {"metrics": {"score": 0.95}, "moment": 0.0}}
    config = study.config | {"data": data}
    return replace(
        study,
        attributes={
            **study.attributes,
            "sweep": config,
            REFERENCES: {"data": "digest", "kind": "binary", "models": models},
            CONFIRMATIONS: [confirmation(0.01).attribute()],
        },
    )


def confirmation(spread: float) -> Confirmation:
    sides = {"trial 0": 0.9, "baseline": 0.8}
    ranking = tuple(Ranked(name, 0, {}, name == "baseline", (0, 1), at, spread) for name, at in sides.items())
    winner, baseline = (Final(name, 0, {}, at, spread, None, None, (0, 1)) for name, at in sides.items())
    result = JudgedDifference(0.1, (0.1 - spread, 0.1 + spread), 0.95, "better", "by hand")
    return Confirmation(
        "small.confirm", 0.0, (1, 2), ranking, winner, baseline, Yardstick("score", "maximize", "validation"), result
    )


@pytest.mark.parametrize(("data", "shown"), [({}, True), ({"resample": "kfold", "folds": 5}, False)])
def test_references_of_other_rows_are_left_out_for_people_and_for_scripts(
    tmp_path: Path, data: dict[str, Any], shown: bool
) -> None:
    study = study_of(tmp_path, **data)
    found = latest(study)
    assert found is not None and str(found) == "\n".join(lines_of(study, confirmation(0.01)))
    assert ("a linear model is" in str(found)) is shown


@pytest.mark.parametrize(("spread", "said"), [(0.0, True), (0.01, False)])
def test_seeds_that_make_no_difference_are_said(tmp_path: Path, spread: float, said: bool) -> None:
    lines = lines_of(study_of(tmp_path), confirmation(spread))
    assert any("every seed gave the same" in line for line in lines) is said
    assert confirmation_json("small", confirmation(spread))["seeds_ignored"] is said
