"""Sequences: a recurrent network that reads one step after the other and says a number.

data: {source: adding, length: 50}   the sum of two marked numbers among many: how far back does a network remember?
                                     (the default; `rows` sequences, 2,000)
      {csv: sales.csv, target: units, time: date, length: 28, horizon: 1}
                                     your own table, in the order of a column: the target `horizon` rows ahead of
                                     `length` rows; split in that order, so that no trial sees what comes later
      {arrays: measured.npz}         your own arrays x [N, steps, features] and y [N], as numpy.savez writes them
Each takes `validation` and `test` (shares of the rows, default 0.2); the first and the last `split_seed`.
Targets are standardised for training (`target_transform: none`: they are not); metrics are in their own units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import hpo

if TYPE_CHECKING:
    import torch
    from torch import nn


class Sequence(hpo.TorchTask):
    """What number belongs to a sequence?"""

    kind = "regression"
    parameters: ClassVar = {**hpo.RECURRENT_PARAMETERS, **hpo.STANDARDIZED_TARGET}

    def libraries(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        table = ("pandas", "sklearn.impute", "sklearn.pipeline") if "csv" in data else ()
        return (*super().libraries(data), *table)

    def check_data(self, data: Mapping[str, Any]) -> list[hpo.Fault]:
        return hpo.check_sequences(data)

    def splits(self, data: Mapping[str, Any]) -> hpo.Splits:
        return hpo.load_sequences(data)

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return hpo.recurrent(params, features, outputs)


objective = Sequence
