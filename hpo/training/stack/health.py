"""The health of a stack's members: what hpo.training.health measures of one run, of all of them at once."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hpo.diagnosis.figures import metric_of
from hpo.training.health import Found, is_due, layer_of, of_rate, rows_of
from hpo.training.outputs import LayerOutputs, layers_of

if TYPE_CHECKING:
    from hpo.training.run import Run
    from hpo.training.stack.model import StackedModel
    from hpo.training.stack.optimizer import StackedOptimizer


class StackExamination:
    """What is measured in each epoch, as hpo.training.health.Examination: of the first step, then of the first
    validation rows. For the members that the model has: fewer need another one.

    """

    def __init__(self, model: StackedModel, optimizer: StackedOptimizer, like: nn.Module) -> None:
        """like: the model of one member, as it would be alone."""
        self._model = model
        self._optimizer = optimizer
        self._like = like
        self._is_on: list[bool] = []
        self._due: list[bool] = []
        self._before: Tensor | None = None
        self._norms: Found = {}
        self._activations: LayerOutputs | None = None
        self.wants_step = False  # whether the step to be measured has not been taken

    def begin(self, runs: Sequence[Run]) -> None:
        """An epoch begins."""
        self._is_on = [run.trial.health for run in runs]
        self._due = [is_due(run) for run in runs]
        self.wants_step = any(self._due)
        self._norms, self._activations = {}, None

    def activations(self) -> LayerOutputs | None:
        """Return what takes in those of the first validation rows; None: the epoch is not measured."""
        if any(self._due):
            self._activations = LayerOutputs(self._layer_paths)
        return self._activations

    def before(self, gradients: Sequence[Tensor]) -> None:
        """Take in the weights before the step, and the gradients of `model.parameters`, before they are clipped."""
        self._before = self._model.flat.clone()
        found: dict[str, Tensor] = {}
        for columns, each in zip(self._model.columns(), gradients, strict=True):
            if columns.has_weights and (layer := layer_of(columns.path)) not in found:
                found[layer] = _norm(each.flatten(1))
        self._norms = {metric_of(layer, "gradient_norm"): norm for layer, norm in found.items()}

    def after(self) -> None:
        """Take in the weights after the step."""
        assert self._before is not None
        moved = self._model.flat - self._before
        for layer, where in self._layers.items():
            size = _norm(self._before[:, where])
            ratio = (_norm(moved[:, where]) / size).masked_fill(size == 0, math.nan)
            self._norms[metric_of(layer, "update_ratio")] = ratio
        self._before, self.wants_step = None, False

    def figures(self) -> list[Mapping[str, float]]:
        """Return each member's figures; of an epoch that is not measured the learning rate, {} without health."""
        rates = self._optimizer.learning_rates if any(self._is_on) else [0.0] * len(self._is_on)
        return [
            {**figures, **of_rate(rate)} if on else {}
            for figures, rate, on in zip(self._measured(), rates, self._is_on, strict=True)
        ]

    def _measured(self) -> list[Mapping[str, float]]:
        """Return each member's figures of steps and rows, {} where its epoch is not measured."""
        if not any(self._due):
            return [{} for _ in self._due]
        weights = self._model.weights()
        zeros = ((self._model.flat == 0) & weights).sum(1).double() / weights.sum()  # NaN without weights: left out
        activations = {} if self._activations is None else self._activations.found
        found = {**self._norms, **activations, metric_of("", "zero_weights"): zeros}
        rows = rows_of(found, len(self._due))
        return [figures if due else {} for figures, due in zip(rows, self._due, strict=True)]

    @cached_property
    def _layer_paths(self) -> Collection[str]:
        """Return the paths of the layers whose activations are measured."""
        return layers_of(self._like).keys()

    @cached_property
    def _layers(self) -> Mapping[str, slice]:
        """Return where in `flat` each layer's weights are."""
        found: dict[str, slice] = {}
        for columns in self._model.columns():
            if columns.has_weights:
                found.setdefault(layer_of(columns.path), columns.where)
        return found


def _norm(numbers: Tensor) -> Tensor:
    """[K, N] -> [K]."""
    norm: Tensor = torch.linalg.vector_norm(numbers, dim=1)
    return norm
