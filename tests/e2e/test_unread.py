"""Hyperparameters that a Torch task never reads: refused before anything is recorded, told where a study has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.support import Place

pytestmark = pytest.mark.slow

CODE = """
import torch, hpo
from torch import nn

class Mine(hpo.TorchTask):
    kind = "binary"
    parameters = {"width": hpo.Known("int", 8, "units", within="[1, inf)")}

    def splits(self, data):
        x = torch.linspace(-1, 1, 160).reshape(40, 4)
        split = hpo.Split(x, (x[:, 0] > 0).float())
        return hpo.Splits(split, split, split)

    def model(self, params, features, outputs):
        layers = [nn.Linear(features[0], 8), nn.Dropout(params["dropout"]), nn.Linear(8, 1), nn.Flatten(0)]
        return nn.Sequential(*layers)
"""
FILE = """\
name: small
objective: mine.py:Mine
metric: {name: val_accuracy, goal: maximize}
budget: {trials: 2, epochs: 1}
engine: {workers: 2}
parameters:
  learning_rate: {min: 0.001, max: 0.1}
  dropout:
    min: 0.0
    max: 0.5
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "s.yaml").write_text(FILE)
    return Place(tmp_path, torch=True)


def test_what_is_not_read_is_refused_with_its_place(place: Place):
    fixed = CODE.replace('nn.Dropout(params["dropout"])', "nn.ReLU()")
    (place.folder / "mine.py").write_text(fixed)
    refused = place.run("sweep", "s.yaml", "-o", "parameters.width.value=9")
    assert refused.returncode == 2, refused.stdout
    first, second, last = sorted(refused.stderr.splitlines(), key=lambda line: line.startswith("hpo: "))
    assert first.startswith(
        "s.yaml:8: parameters.dropout: Mine never reads 'dropout', neither in 'model' nor in 'batch'"
    )
    assert 'parameters = {"dropout": None}' in first
    assert second.startswith("-o parameters.width.value=9: parameters.width: Mine never reads 'width'")
    assert "setting it has no effect" in second and "out of Mine.parameters" in second
    assert last == "hpo: 2 faults; nothing was started"
    assert "no study" in place.run("list").stdout

    (place.folder / "mine.py").write_text(
        fixed.replace('parameters = {"width"', 'parameters = {"dropout": None, "width"')
    )
    refused = place.run("sweep", "s.yaml")
    assert refused.returncode == 2 and "the objective knows no hyperparameter 'dropout'" in refused.stderr


def test_a_study_that_has_trials_goes_on_and_is_told(place: Place):
    place.sweep(place.folder / "s.yaml")
    (place.folder / "mine.py").write_text(CODE.replace('params["dropout"]', "0.5"))
    done = place.run("sweep", "s.yaml", "--extend", "1", "--changed", "ok")
    assert done.returncode == 0, done.stderr
    assert "warning: Mine never reads dropout: what this study has of it says nothing" in done.stdout
    assert "small: 3 complete" in done.stdout
