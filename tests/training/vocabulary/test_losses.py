from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import sklearn.utils
import torch
from torch import Tensor, nn

from hpo.training.task import Kind, Split
from hpo.training.vocabulary.losses import LOSSES, bind_loss, make_loss

from ..tiny import CLASSES, KINDS, splits_of

EVERY_LOSS = pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in KINDS for name in LOSSES[kind].names()]
)


def outputs_of(kind: Kind, rows: int, *leading: int) -> Tensor:
    shape = (*leading, rows, 3) if kind == "multiclass" else (*leading, rows)
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def focal_reference(p_target: Tensor, alpha: Tensor | float, gamma: float) -> Tensor:
    """Lin et al. 2017, equation 5, as it is printed."""
    return (-alpha * (1 - p_target) ** gamma * p_target.log()).mean()


def reference(kind: Kind, name: str, outputs: Tensor, y: Tensor, train: Split) -> float:
    """Return the same loss by PyTorch's module, scikit-learn's function or the paper's formula, at the defaults."""
    p = outputs.softmax(-1) if kind == "multiclass" else outputs.sigmoid()
    of_target = p.gather(-1, y.long()[:, None])[:, 0] if kind == "multiclass" else torch.where(y > 0.5, p, 1 - p)
    if kind == "multiclass":
        counts = train.y.numpy()
        balanced = sklearn.utils.class_weight.compute_class_weight("balanced", classes=np.arange(3), y=counts)
        weighted = nn.CrossEntropyLoss(torch.tensor(balanced), reduction="sum")
        smoothed = nn.CrossEntropyLoss(torch.tensor(balanced), reduction="sum", label_smoothing=0.1)
        by_name: dict[str, Any] = {
            "cross_entropy": lambda: nn.CrossEntropyLoss()(outputs, y),
            "weighted_cross_entropy": lambda: weighted(outputs, y) / len(y),
            "label_smoothing": lambda: nn.CrossEntropyLoss(label_smoothing=0.1)(outputs, y),
            "weighted_label_smoothing": lambda: smoothed(outputs, y) / len(y),
            "focal": lambda: focal_reference(of_target, 0.25, 2.0),
            "bce": lambda: nn.BCEWithLogitsLoss()(outputs, nn.functional.one_hot(y, 3).double()),
            "mse": lambda: nn.MSELoss()(p, nn.functional.one_hot(y, 3).double()),
            "mae": lambda: nn.L1Loss()(p, nn.functional.one_hot(y, 3).double()),
        }
    elif kind == "binary":
        positives = float(train.y.sum())
        weight = torch.tensor((len(train) - positives) / positives)
        by_name = {
            "bce": lambda: nn.BCEWithLogitsLoss()(outputs, y),
            "weighted_bce": lambda: nn.BCEWithLogitsLoss(pos_weight=weight)(outputs, y),
            "focal": lambda: focal_reference(of_target, torch.where(y > 0.5, 0.25, 0.75), 2.0),
            "hinge": lambda: sklearn.metrics.hinge_loss(y.numpy(), outputs.numpy()),
            "perceptron": lambda: torch.relu(-outputs * (2 * y - 1)).mean(),
            "mse": lambda: sklearn.metrics.brier_score_loss(y.numpy(), p.numpy()),
            "mae": lambda: nn.L1Loss()(p, y),
        }
    else:
        by_name = {
            "mse": lambda: nn.MSELoss()(outputs, y),
            "mae": lambda: nn.L1Loss()(outputs, y),
            "huber": lambda: nn.HuberLoss()(outputs, y),
            "quantile": lambda: sklearn.metrics.mean_pinball_loss(y.numpy(), outputs.numpy(), alpha=0.5),
            "log_cosh": lambda: (outputs - y).cosh().log().mean(),
        }
    return float(by_name[name]())


def target_of(kind: Kind, rows: int) -> tuple[Split, Tensor]:
    train = splits_of(kind).train
    y = train.y[:rows]
    return train, y if kind == "multiclass" else y.double()


@EVERY_LOSS
def test_agrees_with_a_reference(kind: Kind, name: str) -> None:
    train, y = target_of(kind, 32)
    outputs = outputs_of(kind, 32)
    loss = make_loss(kind, {"loss": name}, train, CLASSES[kind])(outputs, y)
    assert loss.item() == pytest.approx(reference(kind, name, outputs, y, train), rel=1e-6)


@EVERY_LOSS
@pytest.mark.parametrize("size", [0.0, 1.0, 100.0])
def test_value_and_gradient_are_finite_at_large_logits(kind: Kind, name: str, size: float) -> None:
    train, y = splits_of(kind).train, splits_of(kind).train.y
    rows = torch.arange(len(y))
    signs = torch.where(rows % 2 == 0, 1.0, -1.0)
    outputs = size * (torch.stack([signs, -signs, 0 * signs], -1) if kind == "multiclass" else signs)
    outputs.requires_grad_()
    # gamma below 1 is where (1 - p)^gamma, written naively, has an infinite slope.
    params: dict[str, Any] = {"loss": name} | ({"focal_gamma": 0.5} if name == "focal" else {})
    loss = make_loss(kind, params, train, CLASSES[kind])(outputs, y)
    torch.autograd.backward(loss)
    assert loss.isfinite() and outputs.grad is not None and outputs.grad.isfinite().all()


@EVERY_LOSS
def test_gradient_is_the_slope(kind: Kind, name: str) -> None:
    train, y = target_of(kind, 8)
    outputs = outputs_of(kind, 8).requires_grad_()
    loss = make_loss(kind, {"loss": name}, train, CLASSES[kind])
    assert torch.autograd.gradcheck(lambda out: loss(out, y), (outputs,))


@EVERY_LOSS
def test_a_cohort_is_its_members(kind: Kind, name: str) -> None:
    """One call over [K, B] with parameters of shape [K, 1] gives what K calls give."""
    train, y = target_of(kind, 8)
    choice = LOSSES[kind][name]
    members = [
        {"loss": name} | dict.fromkeys(set(choice.takes) - {"output_activation"}, value)  # all are valid at these
        for value in (0.2, 0.5, 0.9)
    ]
    outputs = outputs_of(kind, 8, len(members))
    bound = [bind_loss(kind, params, train, CLASSES[kind])[1] for params in members]
    stacked = {
        key: torch.stack([torch.as_tensor(one[key], dtype=torch.float64).reshape(1, -1) for one in bound])
        for key in bound[0]
    }
    stacked = {key: value if key == "class_weight" else value.squeeze(-1) for key, value in stacked.items()}
    together = choice.function(outputs, y.expand(len(members), -1), **stacked)
    alone = torch.stack([choice.function(out, y, **one) for out, one in zip(outputs, bound, strict=True)])
    assert together.shape == (len(members), 8)
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-9)


def test_huber_and_quantile_take_their_parameter() -> None:
    train, y = target_of("regression", 32)
    outputs = outputs_of("regression", 32)
    huber = make_loss("regression", {"loss": "huber", "huber_delta": 0.3}, train)(outputs, y)
    assert huber.item() == pytest.approx(nn.HuberLoss(delta=0.3)(outputs, y).item())
    pinball = make_loss("regression", {"loss": "quantile", "quantile": 0.9}, train)(outputs, y)
    assert pinball.item() == pytest.approx(sklearn.metrics.mean_pinball_loss(y.numpy(), outputs.numpy(), alpha=0.9))


def test_class_weight_power() -> None:
    train = splits_of("multiclass").train
    full = bind_loss("multiclass", {"loss": "weighted_cross_entropy"}, train, 3)[1]["class_weight"]
    half = bind_loss("multiclass", {"loss": "weighted_cross_entropy", "class_weight_power": 0.5}, train, 3)[1]
    torch.testing.assert_close(half["class_weight"] ** 2, full)


def test_a_class_missing_in_training_has_weight_one() -> None:
    train = Split(torch.zeros(4, 1), torch.tensor([0, 0, 0, 2]))
    weight = bind_loss("multiclass", {"loss": "weighted_cross_entropy"}, train, 4)[1]["class_weight"]
    torch.testing.assert_close(weight, torch.tensor([4 / 6, 1.0, 2.0, 1.0]))


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_training_split_needs_no_balance(label: float) -> None:
    train = Split(torch.zeros(3, 1), torch.full((3,), label))
    assert bind_loss("binary", {"loss": "weighted_bce"}, train)[1] == {"pos_weight": 1.0}


def test_pos_weight_given() -> None:
    train = splits_of("binary").train
    assert bind_loss("binary", {"loss": "weighted_bce", "pos_weight": 3.0}, train)[1] == {"pos_weight": 3.0}


def test_another_losss_parameter_is_an_error() -> None:
    with pytest.raises(ValueError, match="loss 'bce' takes output_activation, but got focal_gamma=2"):
        make_loss("binary", {"focal_gamma": 2}, splits_of("binary").train)
