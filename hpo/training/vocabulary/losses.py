"""Losses, each as a function of one example, on raw outputs (logits), in the form that cannot overflow.

With an `output_activation` a loss is taken of what that makes of the outputs (output_activations.py).

A per-example function is elementwise over leading dimensions, so that one call also serves a cohort of K models:

    binary, regression: outputs [..., B], targets [..., B] float           -> [..., B]
    multiclass:         outputs [..., B, C], targets [..., B] int64         -> [..., B]

Its keyword parameters are numbers, or tensors that broadcast: [K, 1] (`class_weight`: [C], or [K, 1, C]).
The mean over examples is taken by the caller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.contract import Known
from hpo.training.task import Kind, Split
from hpo.training.vocabulary.choose import choose
from hpo.training.vocabulary.output_activations import (
    DEFAULT,
    OUTPUT_ACTIVATIONS,
    answer_of,
    known_output_activation,
    logits_behind,
)
from hpo.training.vocabulary.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

_PROBABLE = {"sigmoid", "softmax"}  # output activations whose values are probabilities
Bound = dict[str, Any]  # keyword arguments of a per-example function


def _as_given(values: Mapping[str, Any], train: Split, outputs: int) -> Bound:
    return dict(values)


@dataclass(frozen=True)
class LossChoice:
    """One loss.

    function: the per-example loss, as described above.
    bind: turns the hyperparameters and the training split into the function's keyword arguments.
    derivative: that of the function by its outputs, with the same arguments; None: autograd finds it. Only stacks use
    it, where autograd's bookkeeping costs more than the numbers.
    link: the output activation that the function has built in; "": none, and it goes with no other.
    of_made: the loss of what an output activation has made, where that need be no probability; None: the function, of
    the logits that are behind what was made.
    scaled: whether its size says how good a model is; else smaller weights alone make it smaller.
    counts: further metrics of trials that train with it, from raw outputs and targets, without a prefix.
    """

    name: str
    function: Callable[..., Tensor]
    takes: tuple[str, ...] = ()
    bind: Callable[[Mapping[str, Any], Split, int], Bound] = _as_given
    aliases: tuple[str, ...] = ()
    derivative: Callable[..., Tensor] | None = None
    link: str = ""
    of_made: Callable[..., Tensor] | None = None
    scaled: bool = True
    counts: tuple[tuple[str, Callable[[Tensor, Tensor], Tensor]], ...] = ()


# --- binary: outputs are logits, targets 0 or 1 --------------------------------------------------------------------


def bce(outputs: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy; torch.nn.BCEWithLogitsLoss."""
    return torch.nn.functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")


def _bce_derivative(outputs: Tensor, targets: Tensor) -> Tensor:
    return torch.sigmoid(outputs).sub_(targets)


def weighted_bce(outputs: Tensor, targets: Tensor, pos_weight: float | Tensor) -> Tensor:
    """Binary cross-entropy with positives weighted; torch.nn.BCEWithLogitsLoss(pos_weight=...)."""
    softplus = torch.nn.functional.softplus
    return pos_weight * targets * softplus(-outputs) + (1 - targets) * softplus(outputs)


def _weighted_bce_derivative(outputs: Tensor, targets: Tensor, pos_weight: float | Tensor) -> Tensor:
    sigmoid = torch.sigmoid
    return (1 - targets) * sigmoid(outputs) - pos_weight * targets * sigmoid(-outputs)


def focal(
    outputs: Tensor, targets: Tensor, focal_gamma: float | Tensor, focal_alpha: float | Tensor
) -> Tensor:  # fmt: skip
    """Focal loss, alpha_t * (1 - p_t)^gamma * -log p_t (Lin et al. 2017, eq. 5)."""
    weight = focal_alpha * targets + (1 - focal_alpha) * (1 - targets)
    return weight * _focal_of_margin(outputs * (2 * targets - 1), focal_gamma)


def _focal_derivative(
    outputs: Tensor, targets: Tensor, focal_gamma: float | Tensor, focal_alpha: float | Tensor
) -> Tensor:
    sign = 2 * targets - 1
    margin = outputs * sign
    others = torch.sigmoid(-margin)  # 1 - p_t
    log_p = torch.nn.functional.logsigmoid(margin)
    power = torch.exp(focal_gamma * (log_p - margin))  # (1 - p_t)^gamma, since 1 - p_t = p_t / exp(margin)
    weight = focal_alpha * targets + (1 - focal_alpha) * (1 - targets)
    return weight * sign * power * (focal_gamma * (1 - others) * log_p - others)


def hinge(outputs: Tensor, targets: Tensor) -> Tensor:
    """max(0, 1 - margin), the support vector machine's loss; sklearn.metrics.hinge_loss."""
    return torch.relu(1 - outputs * (2 * targets - 1))


def _hinge_derivative(outputs: Tensor, targets: Tensor) -> Tensor:
    sign = 2 * targets - 1
    return torch.where(outputs * sign < 1, -sign, 0.0)


def perceptron(outputs: Tensor, targets: Tensor) -> Tensor:
    """max(0, -margin), whose step is the perceptron rule (Rosenblatt 1958): a row on the wrong side of the neuron's
    step, or on its edge, has weights move by learning_rate * (+-row); others change nothing."""
    margin = outputs * (2 * targets - 1)
    return torch.where(margin <= 0, -margin, 0.0)  # its slope at 0 is -1, where that of relu(-margin) is 0


def _perceptron_derivative(outputs: Tensor, targets: Tensor) -> Tensor:
    sign = 2 * targets - 1
    return torch.where(outputs * sign <= 0, -sign, 0.0)


def mistakes(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return how many rows are on the wrong side of 0, or on it: [..., B], [..., B] -> [...], float64."""
    return (outputs * (2 * targets - 1) <= 0).sum(-1).double()


def binary_mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squared error of the probability; the Brier score, sklearn.metrics.brier_score_loss."""
    return (torch.sigmoid(outputs) - targets).square()


def _binary_mse_derivative(outputs: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(outputs)
    return 2 * (p - targets) * p * (1 - p)


def binary_mae(outputs: Tensor, targets: Tensor) -> Tensor:
    """Absolute error of the probability."""
    return mae(torch.sigmoid(outputs), targets)


def _focal_of_margin(margin: Tensor, gamma: float | Tensor) -> Tensor:
    # With p_t = sigmoid(margin), 1 - p_t = exp(-softplus(margin)). Written as a power of 1 - p_t, its gradient would be
    # 0 * inf at confident examples for gamma < 1.
    softplus = torch.nn.functional.softplus
    return torch.exp(-gamma * softplus(margin)) * softplus(-margin)


def _pos_weight(values: Mapping[str, Any], train: Split, outputs: int) -> Bound:
    if values["pos_weight"] is not None:
        return dict(values)
    positives = train.positives
    negatives = len(train) - positives
    # A training split of one class has nothing to balance.
    return {"pos_weight": negatives / positives if positives and negatives else 1.0}


# --- multiclass: outputs are logits, targets class indices ----------------------------------------------------------


def _of_target(values: Tensor, targets: Tensor) -> Tensor:
    return values.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy; torch.nn.CrossEntropyLoss."""
    return -_of_target(outputs.log_softmax(-1), targets)


def _cross_entropy_derivative(outputs: Tensor, targets: Tensor) -> Tensor:
    found = outputs.softmax(-1)
    return found.scatter_add_(-1, targets.unsqueeze(-1), found.new_full((1,), -1.0).expand(*targets.shape, 1))


def weighted_cross_entropy(outputs: Tensor, targets: Tensor, class_weight: Tensor) -> Tensor:
    """Cross-entropy times the weight of the target's class.

    The mean is over examples, not over weights as torch.nn.CrossEntropyLoss(weight=...) takes it: that one would make
    an example's weight depend on the rest of its batch.
    """
    return cross_entropy(outputs, targets) * _of_target(class_weight.expand(outputs.shape), targets)


def label_smoothing(outputs: Tensor, targets: Tensor, smoothing: float | Tensor) -> Tensor:
    """Cross-entropy with a share `smoothing` of the target spread evenly over all classes (Szegedy et al. 2016);
    torch.nn.CrossEntropyLoss(label_smoothing=...)."""
    log_p = outputs.log_softmax(-1)
    return -(1 - smoothing) * _of_target(log_p, targets) - smoothing * log_p.mean(-1)


def weighted_label_smoothing(
    outputs: Tensor, targets: Tensor, smoothing: float | Tensor, class_weight: Tensor
) -> Tensor:
    """Label smoothing with each class's term times that class's weight, as torch.nn.CrossEntropyLoss(weight=...,
    label_smoothing=...) has it; but the mean is over examples (see `weighted_cross_entropy`)."""
    weighted = outputs.log_softmax(-1) * class_weight.expand(outputs.shape)
    return -(1 - smoothing) * _of_target(weighted, targets) - smoothing * weighted.mean(-1)


def multiclass_focal(
    outputs: Tensor, targets: Tensor, focal_gamma: float | Tensor, focal_alpha: float | Tensor
) -> Tensor:
    """Focal loss, alpha * (1 - p_t)^gamma * -log p_t. Without a background class alpha weighs all classes alike."""
    is_target = torch.nn.functional.one_hot(targets, outputs.shape[-1]).bool()
    others = outputs.masked_fill(is_target, -math.inf).logsumexp(-1)
    # p_t = sigmoid(logit of the target - logsumexp of the others): the binary form serves.
    return focal_alpha * _focal_of_margin(_of_target(outputs, targets) - others, focal_gamma)


def multiclass_mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squared error of the probabilities against the one-hot target, mean over classes; torch.nn.MSELoss."""
    return _mse_to_one_hot(outputs.softmax(-1), targets)


def multiclass_mae(outputs: Tensor, targets: Tensor) -> Tensor:
    """Absolute error of the probabilities against the one-hot target, mean over classes; torch.nn.L1Loss."""
    return _mae_to_one_hot(outputs.softmax(-1), targets)


def multiclass_bce(outputs: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of each class against the rest, mean over classes: each output has a sigmoid of its own."""
    return bce(outputs, _one_hot(targets, outputs)).mean(-1)


def _one_hot(targets: Tensor, outputs: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(targets, outputs.shape[-1]).to(outputs.dtype)


def _mse_to_one_hot(values: Tensor, targets: Tensor) -> Tensor:
    return (values - torch.nn.functional.one_hot(targets, values.shape[-1])).square().mean(-1)


def _mae_to_one_hot(values: Tensor, targets: Tensor) -> Tensor:
    return mae(values, _one_hot(targets, values)).mean(-1)


def _smoothed_class_weight(values: Mapping[str, Any], train: Split, outputs: int) -> Bound:
    return {"smoothing": values["smoothing"], **_class_weight(values, train, outputs)}


def _class_weight(values: Mapping[str, Any], train: Split, outputs: int) -> Bound:
    count = torch.bincount(train.y, minlength=outputs).float()
    present = count > 0
    balanced = len(train) / (present.sum() * count.clamp(min=1))  # sklearn.utils.compute_class_weight("balanced")
    return {"class_weight": torch.where(present, balanced, 1.0) ** values["class_weight_power"]}


# --- regression: outputs and targets in the same (transformed) units ---------------------------------------------


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squared error; torch.nn.MSELoss."""
    return (outputs - targets).square()


def _mse_derivative(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).mul_(2)


def mae(outputs: Tensor, targets: Tensor) -> Tensor:
    """Absolute error; torch.nn.L1Loss."""
    return (outputs - targets).abs()


def huber(outputs: Tensor, targets: Tensor, huber_delta: float | Tensor) -> Tensor:
    """Half the squared error up to `huber_delta`, linear beyond (Huber 1964); torch.nn.HuberLoss."""
    error = (outputs - targets).abs()
    clipped = error.clamp(max=huber_delta)
    return clipped * (error - 0.5 * clipped)


def quantile(outputs: Tensor, targets: Tensor, quantile: float | Tensor) -> Tensor:
    """Pinball loss of the conditional quantile (Koenker and Bassett 1978); sklearn.metrics.mean_pinball_loss."""
    error = targets - outputs
    return torch.maximum(quantile * error, (quantile - 1) * error)


def log_cosh(outputs: Tensor, targets: Tensor) -> Tensor:
    """log(cosh(error)): half the squared error near 0, the absolute error less log 2 far away."""
    error = (outputs - targets).abs()
    return error + torch.nn.functional.softplus(-2 * error) - math.log(2)


_FOCAL = {
    "focal_gamma": Known("float", 2.0, "how much confident examples are discounted; 0: not", within="[0, inf)"),
    "focal_alpha": Known("float", 0.25, "weight of positives, 1 - alpha of negatives", within="(0, 1)"),
}


def _linked(link: str, choices: list[LossChoice]) -> list[LossChoice]:
    """Return the entries of losses that go with output activations; link: what they have built in, unless they say."""
    return [replace(each, link=each.link or link, takes=(*each.takes, "output_activation")) for each in choices]


LOSSES: dict[Kind, Registry[LossChoice]] = {
    "binary": Registry(
        "loss",
        "bce",
        [
            *_linked(
                "sigmoid",
                [
                    LossChoice("bce", bce, derivative=_bce_derivative),
                    LossChoice(
                        "weighted_bce", weighted_bce, ("pos_weight",), _pos_weight,
                        derivative=_weighted_bce_derivative,
                    ),
                    LossChoice("focal", focal, ("focal_gamma", "focal_alpha"), derivative=_focal_derivative),
                ],
            ),
            LossChoice("hinge", hinge, derivative=_hinge_derivative),
            LossChoice(
                "perceptron", perceptron, derivative=_perceptron_derivative, scaled=False,
                counts=(("mistakes", mistakes),),
            ),
            *_linked(
                "sigmoid",
                [
                    LossChoice("mse", binary_mse, derivative=_binary_mse_derivative, of_made=mse),
                    LossChoice("mae", binary_mae, of_made=mae),
                ],
            ),
        ],
        {
            "pos_weight": Known(
                "float", None, "weight of positives; null: negatives / positives of the training split",
                within="(0, inf)", nullable=True,
            ),
            **_FOCAL,
            "output_activation": known_output_activation("binary"),
        },
    ),
    "multiclass": Registry(
        "loss",
        "cross_entropy",
        _linked(
            "softmax",
            [
                LossChoice("cross_entropy", cross_entropy, derivative=_cross_entropy_derivative),
                LossChoice("weighted_cross_entropy", weighted_cross_entropy, ("class_weight_power",), _class_weight),
                LossChoice("label_smoothing", label_smoothing, ("smoothing",)),
                LossChoice(
                    "weighted_label_smoothing", weighted_label_smoothing, ("smoothing", "class_weight_power"),
                    _smoothed_class_weight,
                ),
                LossChoice("focal", multiclass_focal, ("focal_gamma", "focal_alpha")),
                LossChoice("bce", multiclass_bce, link="sigmoid"),
                LossChoice("mse", multiclass_mse, of_made=_mse_to_one_hot),
                LossChoice("mae", multiclass_mae, of_made=_mae_to_one_hot),
            ],
        ),
        {
            "class_weight_power": Known(
                "float", 1.0, "power of the balanced class weights; 0: all 1, 1: fully balanced", within="[0, inf)"
            ),
            "smoothing": Known("float", 0.1, "share of the target spread over all classes", within="[0, 1)"),
            **_FOCAL,
            "focal_alpha": Known("float", 0.25, "weight of every class", within="(0, 1)"),
            "output_activation": known_output_activation("multiclass"),
        },
    ),
    "regression": Registry(
        "loss",
        "mse",
        _linked(
            "linear",
            [
                LossChoice("mse", mse, derivative=_mse_derivative),
                LossChoice("mae", mae),
                LossChoice("huber", huber, ("huber_delta",)),
                LossChoice("quantile", quantile, ("quantile",)),
                LossChoice("log_cosh", log_cosh),
            ],
        ),
        {
            "huber_delta": Known("float", 1.0, "error from which the loss is linear", within="(0, inf)"),
            "quantile": Known("float", 0.5, "the quantile to predict; 0.5: the median", within="(0, 1)"),
            "output_activation": known_output_activation("regression"),
        },
    ),
}  # fmt: skip


def bind_loss(kind: Kind, params: Mapping[str, Any], train: Split, outputs: int = 1) -> tuple[LossChoice, Bound]:
    """Return the chosen loss, of what the output activation makes of raw outputs, and the keyword arguments of its
    per-example function.

    train: the training split, for weights that depend on its classes.
    outputs: number of classes of a multiclass task (a class may be missing in the training split).

    Raises:
        ValueError: an unknown loss, or a hyperparameter that it does not take.
    """
    choice, values = choose(LOSSES[kind], params)
    activation = _activation(kind, values)
    return _of_activation(choice, activation), choice.bind(values, train, outputs)


@cache
def _of_activation(choice: LossChoice, activation: str) -> LossChoice:
    """Return a loss as one of raw outputs, to which the activation is applied first; under a name of its own, unless
    it is what the loss has built in."""
    if activation in (DEFAULT, choice.link):
        return choice
    of_made = choice.of_made
    # Which takes what was made as it is; the others take the logits behind it.
    prepared = OUTPUT_ACTIVATIONS[activation] if of_made else logits_behind(choice.link, activation)
    function = of_made or choice.function

    def of_raw(outputs: Tensor, targets: Tensor, **bound: Any) -> Tensor:
        return function(prepared(outputs), targets, **bound)

    return replace(choice, name=f"{choice.name} of {activation}", function=of_raw, derivative=None, of_made=None)


def answers(kind: Kind, params: Mapping[str, Any]) -> Callable[[Tensor], Tensor] | None:
    """Return what makes of raw outputs the logits, or values, that metrics and predictions go by; None: they are it.

    Raises as `bind_loss`.
    """
    choice, values = choose(LOSSES[kind], params)
    return answer_of(kind, choice.link, _activation(kind, values))


def improbable(kind: Kind) -> dict[str, dict[str, str]]:
    """Return the values of hyperparameters beside which a classification's outputs are no probabilities, and why."""
    margins = {choice.name: "a margin is no probability" for choice in LOSSES[kind] if not choice.link}
    others = set(OUTPUT_ACTIVATIONS) - _PROBABLE
    return {"loss": margins, "output_activation": dict.fromkeys(sorted(others), "it makes no probabilities")}


def makes_probabilities(kind: Kind, params: Mapping[str, Any]) -> bool:
    """Return whether a classification's outputs go through what makes probabilities of them. A margin does not, nor
    does an output activation that a loss has to clamp, or compares with 0 and 1 as it is. Raises as `bind_loss`."""
    choice, values = choose(LOSSES[kind], params)
    activation = _activation(kind, values)
    return (choice.link if activation == DEFAULT else activation) in _PROBABLE


def _activation(kind: Kind, values: dict[str, Any]) -> str:
    """Take the output activation out of a loss's hyperparameters."""
    activation: str = values.pop("output_activation", DEFAULT)
    if objection := known_output_activation(kind).objection(activation):
        raise ValueError(f"output_activation {objection}")
    return activation


def make_loss(
    kind: Kind, params: Mapping[str, Any], train: Split, outputs: int = 1
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the mean loss of a batch as a function of (outputs, targets). Arguments and errors as in `bind_loss`."""
    choice, bound = bind_loss(kind, params, train, outputs)
    function = choice.function

    def mean_loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return function(outputs, targets, **bound).mean()

    return mean_loss
