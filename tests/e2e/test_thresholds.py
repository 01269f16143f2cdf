"""A threshold that was chosen on validation, on its way through the records into models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_objectives import task

import hpo
from e2e.support import Place
from hpo.ledger.study.records import record_of
from hpo.review.make_model import make_model
from hpo.training.data.splitting import split_indices
from objectives.binary import OPTIONS

pytestmark = pytest.mark.slow

DATA = {"source": "synthetic", "rows": 400, "imbalance": 0.2}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A study of two trials in one stack, the second with a threshold that it chooses."""
    place = Place(tmp_path_factory.mktemp("thresholds"), torch=True)
    keys = {
        "objective": "objectives.binary",
        "data": DATA,
        "metric": {"name": "val_f1"},
        "method": "grid",
        "budget": {"trials": 2, "epochs": 4},
        "engine": {"workers": 1},
        "references": "off",
        "keep": {"models": 2},
        "parameters": {
            "threshold_rule": {"values": ["fixed", "best_f1"]},
            "threshold": {"value": 0.6, "when": {"threshold_rule": "fixed"}},
        },
    }
    place.sweep(place.write("none", **keys))
    return place


def last(place: Place, number: int) -> dict[str, float]:
    record = record_of(place.trials()[number])
    return dict(record.steps[max(record.steps)])


def test_a_model_of_kept_weights_goes_by_the_threshold_that_was_recorded(place: Place, tmp_path: Path) -> None:
    """Its F1 on the validation rows is the trial's; of the trials in a stack only one chose."""
    recorded = last(place, 1)
    chosen = recorded["val_threshold"]
    assert "val_threshold" not in last(place, 0) and 0 < chosen < 0.5
    made = make_model(place.home, "small", 1, tmp_path / "m")
    model = hpo.load_model(tmp_path / "m")
    assert (made.kept, model.threshold) == (True, chosen)
    x, labels = task("binary").load_source(hpo.fill_options(DATA, OPTIONS))
    rows = split_indices(labels, "binary")[1]
    y, found = labels[rows], np.asarray(model.predict(x[rows]))
    assert 2 * (found * y).sum() / (found.sum() + y.sum()) == pytest.approx(recorded["val_f1"])


def test_on_the_rows_of_both_it_is_the_trials_own(place: Place, tmp_path: Path) -> None:
    """Its rows are trained on, so that none is left to choose a threshold on."""
    chosen = last(place, 1)["val_threshold"]
    made = make_model(place.home, "small", 1, tmp_path / "m", "train+validation")
    assert (made.config["threshold"], made.comparison.verdict) == (chosen, "none")
    [remark] = made.remarks
    assert f"is above {chosen:.6g}, as it was chosen on the validation rows" in remark
