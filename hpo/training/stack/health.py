"""The health of a stack's members: what hpo.training.health measures of one run, of all of them at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hpo.diagnosis.figures import metric_of
from hpo.training.health import Found, is_due, layer_of, rows_of

if TYPE_CHECKING:
    from hpo.training.run import Run
    from hpo.training.stack.model import StackedModel


class StackExamination:
    """What is measured in each epoch, as hpo.training.health.Examination: of the first step, then of the first
    validation rows. For the members that the model has: fewer need another one.

    activations: filled by StackedModel.infer.
    """

    def __init__(self, model: StackedModel) -> None:
        self._model = model
        self._due: list[bool] = []
        self._before: Tensor | None = None
        self._norms: Found = {}
        self.activations: Found = {}
        self.wants_step = False  # whether the step to be measured has not been taken

    def begin(self, runs: Sequence[Run]) -> None:
        """An epoch begins."""
        self._due = [is_due(run) for run in runs]
        self.wants_step = any(self._due)
        self._norms, self.activations = {}, {}

    @property
    def wants_activations(self) -> bool:
        """Whether the validation rows to be looked at have not been."""
        return any(self._due) and not self.activations

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
        """Return each member's figures, {} where its epoch is not measured."""
        if not any(self._due):
            return [{} for _ in self._due]
        weights = self._model.weights()
        zeros = ((self._model.flat == 0) & weights).sum(1).double() / weights.sum()  # NaN without weights: left out
        found = {**self._norms, **self.activations, metric_of("", "zero_weights"): zeros}
        rows = rows_of(found, len(self._due))
        return [figures if due else {} for figures, due in zip(rows, self._due, strict=True)]

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
