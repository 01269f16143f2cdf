"""A table of any kind: a multilayer perceptron, for the task that the target's column asks for.

data: {csv: houses.csv, target: price}             your own table; the kind of the task follows from the target
      {csv: quality.csv, target: stars, kind: regression}  or you say it: binary, multiclass or regression

Two values: binary. Texts: multiclass. Numbers with fractions: regression. Whole numbers: multiclass if there are at
most 20, each in three rows or more, else regression. A note says what was found. Besides, all that
docs/your-table.md has of tables: `validation` and `test` (shares of the rows, default 0.2), `split`, `split_seed`
(default 0), `scale`, `resample`, `folds`, `weight`, ...
A sweep file needs no metric: it is val_accuracy for classes, val_rmse for numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import hpo

if TYPE_CHECKING:
    import torch
    from torch import nn


class Perceptron(hpo.TableTask):
    """What the tasks of all kinds share."""

    default_metric = "val_accuracy"

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return hpo.mlp(params, features, outputs)


class BinaryTable(Perceptron):
    """Is a row of class 1?"""

    kind = "binary"


class MulticlassTable(Perceptron):
    """Of which class is a row?"""

    kind = "multiclass"


class RegressionTable(Perceptron):
    """What number belongs to a row?"""

    kind = "regression"
    default_metric = "val_rmse"
    parameters = hpo.STANDARDIZED_TARGET


class Table(hpo.TableTask):
    """Whatever the target asks for."""

    kinds = (BinaryTable, MulticlassTable, RegressionTable)


objective = Table
