"""The L1 penalty on weights: `l1_penalty` times the sum of their absolute values is added to what training minimizes.

Its slope alone (the sign of a weight) never makes a weight 0: it would go on jumping from one side to the other. So a
weight that a step takes across 0, or away from it, is set to 0 where the loss pulls at it with less than the penalty:
there 0 is the best that it can be, by the optimality condition of the lasso (Andrew and Gao, "Scalable training of
L1-regularized log-linear models", ICML 2007; for gradients of a batch Tsuruoka, Tsujii and Ananiadou, ACL 2009). This
holds for every optimizer, and what is minimized is what Keras minimizes with `kernel_regularizer=l1(...)`.

As with weight decay, `train_loss` is the loss alone, without the penalty: it can be compared with `val_loss`. What is
penalized are trained tensors of two dimensions or more: neither biases nor the scales of norms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_import("torch")


def l1_penalty(params: Mapping[str, Any]) -> float:
    """Return a trial's penalty; 0: none."""
    return float(params.get("l1_penalty", 0.0))


def penalized(model: nn.Module) -> list[nn.Parameter]:
    """Return what counts as a weight: trained tensors of two dimensions or more, neither biases nor scales of norms."""
    return [each for each in model.parameters() if each.requires_grad and each.dim() > 1]


class Pull:
    """One step's pull towards 0 on weights, of one model or of a stack.

    weights, gradients: of one shape. penalty: a number, or one for each weight; where it is 0 nothing is done.
    """

    def __init__(self, weights: Tensor, gradients: Tensor, penalty: float | Tensor) -> None:
        """Take in the weights before the step and the loss's gradients, and add the penalty's to these, in place."""
        self._weights = weights
        self._signs = weights.sign()
        self._held = (gradients.abs() <= penalty) & (torch.as_tensor(penalty, device=weights.device) > 0)
        gradients.add_(self._signs * penalty)

    def settle(self) -> None:
        """Set to 0, after the step, what it took across 0 or away from it without the loss wanting it more."""
        self._weights.masked_fill_((self._weights.sign() != self._signs) & self._held, 0.0)


class L1Penalty:
    """The penalty on one model that trains by the plain loop."""

    def __init__(self, model: nn.Module, size: float) -> None:
        self._weights = penalized(model)
        self._size = size
        self._pulls: list[Pull] = []

    def add(self) -> None:
        """Add its gradients to those that the weights have of the loss, before any are clipped."""
        self._pulls = []
        for weight in self._weights:
            if weight.grad is None:  # it has no part in the loss
                weight.grad = torch.zeros_like(weight)
            self._pulls.append(Pull(weight.data, weight.grad, self._size))

    def settle(self) -> None:
        """Call it after the optimizer's step."""
        for pull in self._pulls:
            pull.settle()
