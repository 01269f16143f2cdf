"""Models of scikit-learn beside the trials: the same rows, the same features, the same metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import datasets, dummy, ensemble, linear_model, metrics
from torch import nn
from training.vocabulary.test_metrics import calibration_error

import hpo
from hpo.events import Assignment, Decision, Event, ReferenceMeasured, ReferenceOrder
from hpo.objective import references
from hpo.objective.references import measure_references
from hpo.objective.torch_task import TorchObjective
from hpo.spec.grammar import REFERENCES
from hpo.training.task import Split, Splits
from objectives.binary import Binary
from objectives.multiclass import Multiclass
from objectives.regression import Regression


class Irises(hpo.TableTask):
    kind = "multiclass"
    options: Mapping[str, hpo.Known] = {"source": hpo.Known("choice", "iris", choices=("iris",))}

    def load_source(self, options: Mapping[str, Any]) -> tuple[Any, Any]:
        return datasets.load_iris(return_X_y=True)

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return hpo.mlp(params, features, outputs)


class Line:
    """A channel that keeps what it is told of references."""

    def __init__(self) -> None:
        self.told: list[ReferenceMeasured] = []

    def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
        raise AssertionError("there are no trials")

    def attach(self, number: int, name: str, path: str) -> None:
        raise AssertionError("there are no files")

    def refer(self, measured: ReferenceMeasured) -> None:
        self.told.append(measured)


def measured(task: hpo.TableTask, data: Mapping[str, Any] | Splits, **order: Any) -> dict[str, ReferenceMeasured]:
    """Return what each reference reaches, by name, as a worker with these data tells it."""
    line = Line()
    wanted = ReferenceOrder(**{"names": REFERENCES, **order})
    if isinstance(data, Splits):
        measure_references(task, [data], wanted, line)
    else:
        TorchObjective(task, data).run(Assignment(-1, (), references=wanted), line)
    return {found.name: found for found in line.told}


def arrays(split: Split) -> tuple[np.ndarray, np.ndarray]:
    return split.x.numpy().astype(float), split.y.numpy().astype(float)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("constant", dummy.DummyClassifier()),
        ("linear", linear_model.LogisticRegression()),
        ("random_forest", ensemble.RandomForestClassifier(random_state=0)),
        ("gradient_boosting", ensemble.HistGradientBoostingClassifier(random_state=0)),
    ],
)
@pytest.mark.parametrize("task", [Binary(), Irises()], ids=["binary", "multiclass"])
def test_classes_are_measured_as_scikit_learn_measures_them(task: hpo.TableTask, name: str, model: Any) -> None:
    splits = task.splits({"source": "breast_cancer"} if isinstance(task, Binary) else {})
    (x, y), (x_val, y_val) = arrays(splits.train), arrays(splits.validation)
    model.fit(x, y)
    said, shares = model.predict(x_val), model.predict_proba(x_val)
    found = measured(task, splits, names=(name,))[name]
    average = "binary" if task.kind == "binary" else "macro"
    scores = shares[:, 1] if task.kind == "binary" else shares
    assert found.missing == "" and found.kind == task.kind
    expected = {
        "val_accuracy": metrics.accuracy_score(y_val, said),
        "val_balanced_accuracy": metrics.balanced_accuracy_score(y_val, said),
        "val_f1": metrics.f1_score(y_val, said, average=average, zero_division=0),
        "val_precision": metrics.precision_score(y_val, said, average=average, zero_division=0),
        "val_recall": metrics.recall_score(y_val, said, average=average, zero_division=0),
        "val_roc_auc": metrics.roc_auc_score(y_val, scores, multi_class="ovr"),
    }
    if task.kind == "binary":
        expected["val_average_precision"] = metrics.average_precision_score(y_val, scores)
        expected["val_brier"] = metrics.brier_score_loss(y_val, scores)
        expected["val_calibration_error"] = calibration_error(y_val, scores)
    # Of two classes 0 and 1 are kept as logits, of 1e-7 and 1 - 1e-7.
    assert found.metrics == pytest.approx(expected, abs=1e-6 if task.kind == "binary" else 1e-9)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("constant", dummy.DummyRegressor()),
        ("linear", linear_model.Ridge()),
        ("random_forest", ensemble.RandomForestRegressor(random_state=0)),
        ("gradient_boosting", ensemble.HistGradientBoostingRegressor(random_state=0)),
    ],
)
def test_values_are_measured_in_the_targets_own_units(name: str, model: Any) -> None:
    task = Regression()
    splits = task.splits({"source": "diabetes"})
    (x, y), (x_val, y_val) = arrays(splits.train), arrays(splits.validation)
    said = model.fit(x, y).predict(x_val)
    found = measured(task, splits, names=(name,))[name]
    assert found.metrics == pytest.approx(
        {
            "val_rmse": metrics.root_mean_squared_error(y_val, said),
            "val_mae": metrics.mean_absolute_error(y_val, said),
            "val_r2": metrics.r2_score(y_val, said),
            "val_median_absolute_error": metrics.median_absolute_error(y_val, said),
        }
    )


def test_the_same_twice_and_the_digest_is_of_what_is_read() -> None:
    task, data = Binary(), {"source": "synthetic"}
    first, second = measured(task, data), measured(task, data)
    assert list(first) == list(REFERENCES)
    assert first == second
    splits = task.splits(data)
    digest = splits.digest("binary")
    assert {found.data for found in first.values()} == {digest}
    spoilt = Split(torch.full_like(splits.test.x, torch.nan), splits.test.y)
    assert replace(splits, test=spoilt).digest("binary") == digest
    assert measured(task, replace(splits, test=spoilt)) == first  # the test rows are never looked at
    for part in ("train", "validation"):
        rows = getattr(splits, part)
        moved = rows.x.clone()
        moved[3, 2] += 1e-6
        assert replace(splits, **{part: Split(moved, rows.y)}).digest("binary") != digest


def test_without_names_only_the_data_is_looked_at() -> None:
    task, data = Binary(), {"source": "synthetic"}
    (found,) = measured(task, data, names=()).values()
    assert (found.data, found.metrics) == (task.splits(data).digest("binary"), {})


@pytest.mark.parametrize(("loss", "comparable"), [("bce", True), ("focal", False), ("hinge", False)])
def test_a_loss_of_probabilities_is_the_trials_own(loss: str, comparable: bool) -> None:
    task = Binary()
    splits = task.splits({"source": "synthetic"})
    # Whatever the trials make of their outputs: these models give logits.
    params = {"loss": loss, **({"output_activation": "tanh"} if loss == "bce" else {})}
    found = measured(task, splits, names=("linear",), loss_params=params)["linear"]
    assert ("val_loss" in found.metrics) is comparable
    if comparable:
        (x, y), (x_val, y_val) = arrays(splits.train), arrays(splits.validation)
        shares = linear_model.LogisticRegression().fit(x, y).predict_proba(x_val)
        assert found.metrics["val_loss"] == pytest.approx(metrics.log_loss(y_val, shares), rel=1e-5)
    assert "val_loss" not in measured(task, splits, names=("linear",))["linear"].metrics  # nobody asked for it


@pytest.mark.parametrize(("loss", "comparable"), [("cross_entropy", True), ("bce", False), ("mse", False)])
def test_a_loss_of_several_classes(loss: str, comparable: bool) -> None:
    """A binary cross-entropy of each class takes other logits than these models give: as a softmax has them."""
    task = Multiclass()
    found = measured(task, task.splits({"source": "wine"}), names=("constant",), loss_params={"loss": loss})["constant"]
    assert ("val_loss" in found.metrics) is comparable


@pytest.mark.parametrize("transform", ["none", "standardize", "log", None])
def test_a_loss_is_on_the_scale_of_the_trials_targets(transform: str | None) -> None:
    task, data = Regression(), {"source": "diabetes", "outliers": 0}
    params = {"loss": "mse"} | ({"target_transform": transform} if transform else {})
    found = measured(task, data, names=("linear",), loss_params=params)["linear"].metrics
    splits = task.splits(data)
    (x, y), (x_val, y_val) = ((split.x.double(), split.y.double()) for split in (splits.train, splits.validation))
    predicted = torch.from_numpy(linear_model.Ridge().fit(x.numpy(), y.numpy()).predict(x_val.numpy()))
    if transform == "log":  # of values from 25 to 346, the same as of their distance from 25, standardized
        assert 0.1 < found["val_loss"] < 2
        return
    deviation = 1.0 if transform == "none" else float(y.std(correction=0))
    assert found["val_loss"] == pytest.approx(float(((predicted - y_val) / deviation).square().mean()), rel=1e-4)


def test_one_that_fails_takes_no_other_with_it() -> None:
    task = Binary()
    splits = task.splits({"source": "synthetic"})
    one_class = replace(splits, train=Split(splits.train.x, torch.zeros_like(splits.train.y)))
    found = measured(task, one_class, names=("constant", "linear", "random_forest"))
    assert found["linear"].missing.startswith("ValueError: ") and found["linear"].metrics == {}
    assert found["constant"].metrics["val_accuracy"] == found["random_forest"].metrics["val_accuracy"]


def test_a_class_that_training_lacks() -> None:
    task = Irises()
    splits = task.splits({})
    kept = splits.train.y != 0
    fewer = replace(splits, train=Split(splits.train.x[kept], splits.train.y[kept]))
    right = {name: found.metrics["val_accuracy"] for name, found in measured(task, fewer).items()}
    others = float((splits.validation.y != 0).float().mean())
    assert others >= right["linear"] > others - 0.1  # it tells those apart that it has seen, by their own numbers
    assert max(right.values()) <= others + 1e-6


def test_a_table_that_is_too_large_is_fitted_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(references._LARGEST, "random_forest", 11_999)  # 600 rows of 20 numbers
    task, data = Binary(), {"source": "synthetic"}
    names = ("linear", "random_forest")
    unasked = measured(task, data, names=names)
    assert unasked["linear"].metrics
    assert "references: [random_forest]" in unasked["random_forest"].missing
    assert measured(task, data, names=names, patient=True)["random_forest"].metrics


def test_what_is_always_said(tmp_path: Path) -> None:
    (tmp_path / "left.csv").write_text("a,left\n" + "".join(f"{i},{'yes' if i % 4 else 'nö'}\n" for i in range(80)))
    table = {"csv": str(tmp_path / "left.csv"), "target": "left"}
    assert measured(Binary(), table, names=("constant",))["constant"].says == "'yes'"
    assert measured(Binary(), {"source": "breast_cancer"}, names=("constant",))["constant"].says == "class 1"
    data = {"source": "diabetes"}
    mean = float(Regression().splits(data).train.y.double().mean())
    found = measured(Regression(), data, names=("constant", "linear"))
    assert (found["constant"].says, found["linear"].says) == (f"{mean:.6g}", "")
