"""An optimizer of one model, made of the update that a stack uses. A subclass of Torch's: importing it loads Torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hpo.training.vocabulary.hyper import Hyper

if TYPE_CHECKING:
    from hpo.training.vocabulary.updates import Update


class ByUpdate(torch.optim.Optimizer):
    """Takes the steps of an entry of OPTIMIZERS that torch.optim has no class for: each parameter is a stack of one.

    As with the classes of torch.optim, `state` has for each parameter `step`, tensors of its shape, and numbers.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], update: Update, defaults: Mapping[str, Any]) -> None:
        """defaults: the hyperparameters, named and grouped as torch.optim's classes do (`lr`, `betas`)."""
        super().__init__(parameters, dict(defaults))
        self._update = update

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; return what `closure` returns, which computes the gradients anew (None: they are there)."""
        result = None
        if closure is not None:
            with torch.enable_grad():
                result = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, parameter.grad, group)
        return result

    def _step(self, parameter: nn.Parameter, gradient: Tensor, group: Mapping[str, Any]) -> None:
        state = self.state[parameter]
        row = parameter.reshape(1, -1)  # a copy, where the parameter does not lie in one piece
        hyper = Hyper([group], row)
        hyper.steps = [int(state["step"]) + 1 if state else 1]
        hyper.state = {name: each.reshape(1, -1) for name, each in state.items() if name != "step"}
        self._update(row, gradient.reshape(1, -1).clone(), hyper)
        parameter.copy_(row.view_as(parameter))
        state["step"] = torch.tensor(float(hyper.steps[0]))
        for name, each in hyper.state.items():
            state[name] = each.view_as(parameter) if each.shape == row.shape else each.view(())
