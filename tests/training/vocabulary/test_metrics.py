from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from torch import Tensor

from hpo.training.task import Kind
from hpo.training.vocabulary.losses import LOSSES
from hpo.training.vocabulary.metrics import (
    METRICS,
    OF_PROBABILITIES,
    LogitReading,
    as_floats,
    known_metrics,
    measure,
)

from ..tiny import KINDS

Case = tuple[Tensor, Tensor]


def calibration_error(y: NDArray[Any], p: NDArray[Any]) -> float:
    """Return the mean over rows of what scikit-learn's calibration curve has of their bins, of which there are 15."""
    shares, means = calibration_curve(y, p, n_bins=15)  # of the bins that have rows
    sizes = np.bincount(np.searchsorted(np.linspace(0, 1, 16)[1:-1], p))
    return float(np.average(abs(shares - means), weights=sizes[sizes > 0]))


def reference(kind: Kind, outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Return scikit-learn's values; what it cannot define is left out."""
    out: NDArray[Any] = outputs.double().numpy()
    y: NDArray[Any] = targets.numpy()
    if kind == "regression":
        found = {
            "rmse": sk.root_mean_squared_error(y, out),
            "mae": sk.mean_absolute_error(y, out),
            "r2": sk.r2_score(y, out) if len(y) > 1 else math.nan,
            "median_absolute_error": sk.median_absolute_error(y, out),
        }
        return {name: value for name, value in found.items() if math.isfinite(value)}
    binary = kind == "binary"
    predicted = out > 0 if binary else out.argmax(-1)
    average: Any = {"average": "binary"} if binary else {"average": "macro"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of missing classes, which are the point of some cases
        found = {
            "accuracy": sk.accuracy_score(y, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(y, predicted),
            "f1": sk.f1_score(y, predicted, zero_division=0, **average),
            "precision": sk.precision_score(y, predicted, zero_division=0, **average),
            "recall": sk.recall_score(y, predicted, zero_division=0, **average),
        }
        if binary:
            p = 1 / (1 + np.exp(-out))
            found["average_precision"] = sk.average_precision_score(y, out)
            found["brier"] = sk.brier_score_loss(y, p)
            found["calibration_error"] = calibration_error(y, p)
    if binary and len(np.unique(y)) == 2:
        found["roc_auc"] = sk.roc_auc_score(y, out)
    elif not binary and len(np.unique(y)) == out.shape[-1]:
        p = torch.from_numpy(out).softmax(-1).numpy()
        found["roc_auc"] = sk.roc_auc_score(y, p, multi_class="ovr", average="macro")
    return found


def cases(kind: Kind) -> dict[str, Case]:
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    if kind == "regression":
        y = normal(41)
        return {
            "odd": (y + normal(41), y),
            "even": (normal(40), y[:40]),
            "perfect": (y, y),
            "constant targets": (normal(10), torch.full((10,), 2.0)),
            "constant and perfect": (torch.full((10,), 2.0), torch.full((10,), 2.0)),
            "one row": (normal(1), normal(1)),
            "far from zero": (1e6 + normal(30), 1e6 + normal(30)),
        }
    if kind == "binary":
        y = (normal(60) > 0.4).double()
        return {
            "noisy": (y + normal(60), y),
            "ties": ((y + normal(60)).round(), y),
            "all tied": (torch.zeros(60), y),
            "sure": ((y + normal(60)) * 200, y),
            "in float32": ((y + normal(60)).float(), y.float()),
            "perfect": (y - 0.5, y),
            "reversed": (0.5 - y, y),
            "all called negative": (normal(60).abs().neg() - 0.1, y),
            "only negatives": (normal(9), torch.zeros(9)),
            "only positives": (normal(9), torch.ones(9)),
            "one row": (normal(1), torch.ones(1)),
        }
    classes = torch.randint(4, (80,), generator=generator)
    return {
        "noisy": (normal(80, 4) + torch.nn.functional.one_hot(classes, 4), classes),
        "ties": (normal(5, 4)[torch.randint(5, (80,), generator=generator)], classes),  # five distinct rows
        "perfect": (torch.nn.functional.one_hot(classes, 4).double(), classes),
        "one class called": (torch.tensor([[0.0, 0.0, 1.0, 0.0]]).expand(80, 4), classes),
        "a class missing": (normal(80, 4), classes.clamp(max=2)),
        "one class": (normal(7, 4), torch.full((7,), 2)),
        "one row": (normal(1, 4), torch.tensor([1])),
    }


CASES = [(kind, name) for kind in KINDS for name in cases(kind)]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_agrees_with_scikit_learn(kind: Kind, name: str) -> None:
    outputs, targets = cases(kind)[name]
    assert as_floats(measure(kind, outputs, targets)) == pytest.approx(reference(kind, outputs, targets), abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("own_targets", [False, True])
def test_a_cohort_is_its_members(kind: Kind, own_targets: bool) -> None:
    outputs, targets = next(iter(cases(kind).values()))
    shuffled = [torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    stacked = torch.stack([outputs[rows] for rows in shuffled])
    wanted = torch.stack([targets[rows] for rows in shuffled]) if own_targets else targets
    together = measure(kind, stacked, wanted)
    for member in range(3):
        alone = measure(kind, stacked[member], wanted[member] if own_targets else wanted)
        for name, value in alone.items():
            torch.testing.assert_close(together[name][member], value)


def test_an_edge_belongs_to_the_bin_below_it() -> None:
    """Also where it comes back from a logit with other last digits."""
    p = torch.arange(1, 15).repeat(7).double() / 15
    y = (torch.arange(len(p)) % 3 == 0).double()
    found = measure("binary", torch.logit(p + 1e-11 * (torch.arange(len(p)) % 2)), y)["calibration_error"].item()
    assert found == pytest.approx(calibration_error(y.numpy(), p.numpy()), abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_model_that_went_astray_changes_nothing_for_the_others(dtype: torch.dtype) -> None:
    outputs, targets = (each.to(dtype) for each in cases("binary")["noisy"])
    astray = outputs.clone()
    astray[::3], astray[1::3] = torch.nan, torch.inf
    found = measure("binary", torch.stack([outputs, outputs * torch.nan, astray]), targets)
    alone = measure("binary", outputs, targets)
    assert {name: value[0].item() for name, value in found.items()} == pytest.approx(as_floats(alone), abs=1e-12)


def test_without_probabilities_only_an_order_is_measured() -> None:
    outputs, targets = cases("binary")["noisy"]
    found, logits = (measure("binary", outputs.expand(2, -1), targets, reading) for reading in (
        LogitReading(probable=torch.tensor([True, False])), LogitReading()))  # fmt: skip
    assert as_floats({name: value[0] for name, value in found.items()}) == as_floats(
        {name: value[1] for name, value in logits.items()}
    )
    rest = as_floats({name: value[1] for name, value in found.items()})
    assert rest == as_floats(measure("binary", outputs, targets, LogitReading(probable=torch.tensor(False))))
    assert rest.keys() == set(METRICS["binary"]) - {"loss"} - set(OF_PROBABILITIES)


@pytest.mark.parametrize("kind", KINDS)
def test_measures_what_the_contract_names(kind: Kind) -> None:
    outputs, targets = next(iter(cases(kind).values()))
    assert {"loss", *measure(kind, outputs, targets)} == set(METRICS[kind])


def test_float32_regression_does_not_overflow() -> None:
    found = as_floats(measure("regression", torch.full((3,), 1e30), torch.zeros(3)))
    assert found["rmse"] == pytest.approx(1e30)


def test_what_varies_with_what() -> None:
    loss = frozenset(LOSSES["regression"].known()) - {"output_activation"}
    facts = known_metrics("regression", loss, frozenset({"outliers"}))
    assert facts["val_loss"].varies_with == {"loss", "huber_delta", "quantile", "outliers"}
    assert facts["val_rmse"].varies_with == set()
    assert facts["train_rmse"].varies_with == {"outliers"}
    assert (facts["val_rmse"].goal, facts["val_r2"].goal) == ("minimize", "maximize")
