"""The table of what trials reported at each step."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from hpo.ledger.study.home import Home
from hpo.ledger.study.records import INTERRUPTED, Outcome
from hpo.review.curves import curves_of
from hpo.review.studies import read_study

from .recorded import Trial, driven, recorded, sweep_of

LAYER = "health/0/gradient_norm"
NAN = float("nan")
TRIALS = [
    Trial(
        {"x": 1}, Outcome("complete", value=0.5), {LAYER: [2.0, NAN, 3.0], "größe 大": [1], "score": [0.2, 0.9, 0.5]}
    ),
    Trial({"x": 2}, Outcome("complete", value=2)),  # it reported nothing
    Trial({"x": 3}, Outcome("pruned"), {"val_loss": [0.1], "score": [0.1, 0.8], "step": [7.0], "metric_step": [8.0]}),
    Trial({"x": 4}, Outcome("failed", error=INTERRUPTED, interrupted=True), {"score": [0.3]}),
    Trial({"x": 5}, None, {"score": [0.3, 0.95], "val_loss": [0.2]}),
]
KEYS = {"number": "int64", "step": "int64", "seconds": "float64"}


def table(folder: Path, trials: list[Trial]) -> pd.DataFrame:
    home = recorded(Home(folder / "home"), sweep_of(folder, {"x": {"min": 1, "max": 9}}), trials)
    with driven(home, "small"):
        return curves_of(read_study(home, "small"))


def test_what_is_in_it(tmp_path: Path) -> None:
    frame = table(tmp_path, TRIALS)
    assert list(frame.columns) == [*KEYS, "score", "größe 大", "val_loss", "metric_metric_step", "metric_step", LAYER]
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == dict.fromkeys(frame, "float64") | KEYS
    assert list(zip(frame["number"], frame["step"], strict=True)) == [
        *((0, 1), (0, 2), (0, 3)), *((2, 1), (2, 2)), (3, 1), *((4, 1), (4, 2)),
    ]  # fmt: skip
    assert list(frame["seconds"])[:6] == [1, 2, 3, 1, 2, 1] and frame["seconds"][6:].isna().all()
    assert list(frame["score"]) == [0.2, 0.9, 0.5, 0.1, 0.8, 0.3, 0.3, 0.95]
    assert list(frame[LAYER].fillna(0)) == [2, 0, 3, 0, 0, 0, 0, 0]
    assert list(frame["val_loss"].dropna()) == [0.1]  # of the running trial the study has the sweep's metric only
    assert list(frame["metric_metric_step"].dropna()) == [7] and list(frame["metric_step"].dropna()) == [8]


def test_no_trial(tmp_path: Path) -> None:
    frame = table(tmp_path, [])
    assert frame.empty and {name: str(kind) for name, kind in frame.dtypes.items()} == KEYS
