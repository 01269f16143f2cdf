"""Losses and answers of what an output activation makes, against formulas of probabilities as they are printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from numpy.typing import NDArray

from hpo.spec.contract import Known
from hpo.training.task import Kind
from hpo.training.vocabulary.losses import LOSSES, answers, bind_loss
from hpo.training.vocabulary.metrics import measure
from hpo.training.vocabulary.output_activations import answer_of, known_output_activation

from ..tiny import CLASSES, KINDS, splits_of
from .test_losses import outputs_of, target_of

Array = NDArray[np.float64]
EDGE = 1e-7  # of Keras

MADE: dict[str, Callable[[Array], Array]] = {
    "linear": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(-1, keepdims=True),
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "softplus": lambda z: np.log1p(np.exp(z)),
}
ALL = [(kind, name) for kind in KINDS for name in known_output_activation(kind).choices if name != "default"]
EVERY = pytest.mark.parametrize(("kind", "activation"), ALL)


def clamped(values: Array) -> Array:
    return values.clip(EDGE, 1 - EDGE)


def crossed(p: Array, y: Array) -> Array:
    return -y * np.log(p) - (1 - y) * np.log(1 - p)


def expected_losses(kind: Kind, made: Array, y: Array) -> dict[str, Array]:
    """Return losses of what was made of the outputs, of each row."""
    error = made - (np.eye(3)[y.astype(int)] if kind == "multiclass" else y)
    if kind == "regression":
        return {"mse": error**2, "mae": abs(error), "log_cosh": np.log(np.cosh(error))}
    if kind == "binary":
        p = clamped(made)
        weight = (y == 0).sum() / y.sum()
        of_target, alpha = np.where(y > 0.5, p, 1 - p), np.where(y > 0.5, 0.25, 0.75)
        return {
            "bce": crossed(p, y),
            "weighted_bce": -weight * y * np.log(p) - (1 - y) * np.log(1 - p),
            "focal": -alpha * (1 - of_target) ** 2 * np.log(of_target),
            "mse": error**2,
            "mae": abs(error),
        }
    shares = clamped(made) / clamped(made).sum(-1, keepdims=True)
    log_p = np.log(shares)[np.arange(len(y)), y.astype(int)]
    return {
        "cross_entropy": -log_p,
        "label_smoothing": -0.9 * log_p - 0.1 * np.log(shares).mean(-1),
        "focal": -0.25 * (1 - np.exp(log_p)) ** 2 * log_p,
        "bce": crossed(clamped(made), np.eye(3)[y.astype(int)]).mean(-1),
        "mse": (error**2).mean(-1),
        "mae": abs(error).mean(-1),
    }


@EVERY
def test_losses_are_of_what_was_made(kind: Kind, activation: str) -> None:
    train, y = target_of(kind, 32)
    z = outputs_of(kind, 32)
    for loss, expected in expected_losses(kind, MADE[activation](z.numpy()), y.numpy()).items():
        choice, bound = bind_loss(kind, {"loss": loss, "output_activation": activation}, train, CLASSES[kind])
        found = choice.function(z, y, **bound)
        assert found.numpy() == pytest.approx(expected, rel=1e-5, abs=1e-6), loss
        leaf = z.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(choice.function(leaf, y, **bound).sum(), leaf)
        assert gradient.isfinite().all(), loss


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_loss_has_built_in_changes_nothing(kind: Kind) -> None:
    train = splits_of(kind).train
    for choice in LOSSES[kind]:
        if choice.link:
            params = {"loss": choice.name, "output_activation": choice.link}
            assert bind_loss(kind, params, train, CLASSES[kind])[0] is choice
            assert bind_loss(kind, {"loss": choice.name}, train, CLASSES[kind])[0] is choice
        else:
            assert "output_activation" not in choice.takes
    assert answers(kind, {}) is None


@EVERY
def test_answers_say_what_was_made(kind: Kind, activation: str) -> None:
    _, y = target_of(kind, 32)
    z = outputs_of(kind, 32)
    made = MADE[activation](z.numpy())
    answer = answers(kind, {"output_activation": activation})
    found = z if answer is None else answer(z)
    if kind == "regression":
        assert found.numpy() == pytest.approx(made)
        return
    metrics = measure(kind, found, y)
    if kind == "binary":
        assert found.sigmoid().numpy() == pytest.approx(clamped(made), abs=1e-6)
        assert metrics["accuracy"] == ((made > 0.5) == (y.numpy() > 0.5)).mean()
        assert metrics["roc_auc"] == pytest.approx(sklearn.metrics.roc_auc_score(y.numpy(), made))
    else:
        shares = clamped(made) / clamped(made).sum(-1, keepdims=True)
        assert found.softmax(-1).numpy() == pytest.approx(shares, abs=1e-2)  # beyond the edges the order is kept
        assert metrics["accuracy"] == (made.argmax(-1) == y.numpy()).mean()


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_answers_at_the_edges_have_all_their_digits(kind: Kind) -> None:
    """Or other runtimes (ONNX) would give other ones."""
    answer = answers(kind, {"output_activation": "linear"})
    assert answer is not None
    z = torch.tensor([[-3.0, 0.0, 1e-7], [1e-6, 0.5, 0.999], [0.999999, 0.9999999, 1.0], [1.5, 40.0, -40.0]])
    torch.testing.assert_close(answer(z), answer(z.double()).float(), rtol=1e-5, atol=1e-5)


def test_a_sigmoid_for_each_class_is_told_apart_where_it_is_1_but_for_rounding() -> None:
    answer = answers("multiclass", {"loss": "bce"})
    assert answer is not None
    assert answer(torch.tensor([[40.0, 60.0, 1.0], [-200.0, -300.0, -90.0]])).argmax(-1).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [("binary", "softmax", "write sigmoid"), ("regression", "softmax", "write linear"), ("binary", "none", "default")],
)
def test_what_makes_no_sense_has_a_remedy(kind: Kind, value: str, says: str) -> None:
    known: Known = known_output_activation(kind)
    assert known.objection(value) and says in known.hints[value]
    params: dict[str, Any] = {"output_activation": value}
    with pytest.raises(ValueError, match=f"output_activation must be one of .* but got '{value}'"):
        bind_loss(kind, params, splits_of(kind).train)


def test_a_margin_has_no_other_output() -> None:
    for loss in ("hinge", "perceptron"):
        with pytest.raises(ValueError, match=f"loss '{loss}' takes no hyperparameters, but got output_activation"):
            bind_loss("binary", {"loss": loss, "output_activation": "sigmoid"}, splits_of("binary").train)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_outputs_far_beyond_the_edge_are_no_surer_than_their_loss_takes_them(activation: str) -> None:
    """Their order is kept, and no probability shows how far beyond they are."""
    answer = answer_of("multiclass", "softmax", activation)
    assert answer is not None
    shares = answer(torch.tensor([[0.2, 0.9, 300.0, 1e6]])).softmax(-1)[0]
    clamped = torch.tensor([0.2, 0.9, 1.0, 1.0])
    assert torch.allclose(shares, clamped / clamped.sum(), atol=1e-3) and shares[3] > shares[2]
