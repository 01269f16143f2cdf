"""What references reach is taken from the user's cache: for the same rows and measures, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hpo
from hpo.objective import kept_references, references
from objective.test_references import measured
from objectives.binary import Binary
from objectives.multiclass import Multiclass
from objectives.regression import Regression

NAMES = ("constant", "linear")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "hpo" / "references"


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that were fitted, as they are."""
    names: list[str] = []
    make = references._model

    def noted(kind: Any, name: str) -> Any:
        names.append(name)
        return make(kind, name)

    monkeypatch.setattr(references, "_model", noted)
    return names


@pytest.mark.parametrize("task", [Binary, Multiclass, Regression])
@pytest.mark.parametrize("data", [{}, {"resample": "kfold", "folds": 2}])
def test_they_are_fitted_once(task: type[hpo.TableTask], data: Mapping[str, Any], fitted: list[str]) -> None:
    first = measured(task(), data, names=NAMES)
    folds = data.get("folds", 1)
    assert sorted(fitted) == sorted(NAMES * folds)
    assert measured(task(), data, names=NAMES) == first
    assert len(fitted) == 2 * folds


def test_other_rows_are_measured(fitted: list[str]) -> None:
    first = measured(Binary(), {}, names=NAMES)
    for data in ({"split_seed": 1}, {"validation": 0.3}, {"label_noise": 0.2}, {"scale": False}):
        assert measured(Binary(), data, names=NAMES)["linear"].data != first["linear"].data
    assert len(fitted) == 10


def test_what_classes_are_called_is_told_by_the_data_at_hand() -> None:
    splits = replace(Binary().splits({}), classes=("no", "yes"))
    assert measured(Binary(), splits, names=["constant"])["constant"].says in ("'no'", "'yes'")
    others = replace(splits, classes=("left", "right"))
    assert measured(Binary(), others, names=["constant"])["constant"].says in ("'left'", "'right'")


def test_another_loss_is_measured() -> None:
    losses = [
        measured(Regression(), {}, names=["linear"], loss_params={"loss": loss})["linear"].metrics.get("val_loss")
        for loss in ("mse", "mae", "mse")
    ]
    assert losses[0] == losses[2] != losses[1]
    assert "val_loss" not in measured(Regression(), {}, names=["linear"])["linear"].metrics


def test_another_release_is_measured(fitted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    measured(Binary(), {}, names=["linear"])
    monkeypatch.setattr(kept_references, "version", lambda name: "99")
    measured(Binary(), {}, names=["linear"])
    monkeypatch.setattr(kept_references, "_code", lambda measuring: "changed")
    measured(Binary(), {}, names=["linear"])
    assert len(fitted) == 3


def test_where_the_code_is_no_text_they_are_measured_each_time(
    cache: Path, fitted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references, "__file__", str(cache / "references.pyc"))
    for _ in range(2):
        assert measured(Binary(), {}, names=["linear"])["linear"].metrics
    assert fitted == ["linear", "linear"] and not cache.exists()


def test_a_failure_is_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(references, "_model", lambda kind, name: 1 / 0)
        assert "division by zero" in measured(Binary(), {}, names=["linear"])["linear"].missing
    assert not cache.exists()
    assert measured(Binary(), {}, names=["linear"])["linear"].missing == ""


def test_a_second_sweep_needs_no_scikit_learn(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from hpo.events import Assignment, ReferenceMeasured, ReferenceOrder\n"
        "from hpo.objective.torch_task import TorchObjective\n"
        "from objectives.binary import Binary\n"
        "class Line:\n"
        "    exchange = attach = None\n"
        "    def refer(self, measured):\n"
        "        print(measured.name, measured.missing, measured.metrics)\n"
        "objective = TorchObjective(Binary(), {})\n"
        "for library in objective.libraries:\n"
        "    __import__(library)\n"
        "objective.prepare()\n"
        "order = ReferenceOrder(('constant', 'linear', 'random_forest', 'gradient_boosting'))\n"
        "objective.run(Assignment(-1, (), references=order), Line())\n"
        "print([name for name in ('sklearn.base', 'scipy', 'pandas') if name in sys.modules])\n"
    )
    root = Path(__file__).parents[2]
    first, second = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root).stdout
        for _ in range(2)
    )
    *told, loaded = first.splitlines()
    assert len(told) == 4
    assert "sklearn.base" in loaded
    assert second.splitlines() == [*told, "[]"]
