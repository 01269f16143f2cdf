"""Several classes: a multilayer perceptron on a table.

data: {source: digits}               scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, ten classes (the default)
      {source: wine}                 178 wines of 13 measurements, three classes
      {csv: flowers.csv, target: species}  your own table; `weight: column` says how much a row counts in training
Each takes `validation` and `test` (shares of the rows, default 0.2), `split`, `split_seed` (default 0), `scale`,
`resample` and `folds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import hpo

if TYPE_CHECKING:
    import torch
    from torch import nn

OPTIONS = {"source": hpo.Known("choice", "digits", choices=("digits", "wine"))}


class Multiclass(hpo.TableTask):
    """Of which class is a row?"""

    kind = "multiclass"
    options = OPTIONS
    source_is_fixed = True

    def load_source(self, options: Mapping[str, Any]) -> tuple[Any, Any]:
        from sklearn.datasets import load_digits, load_wine

        load = load_wine if options["source"] == "wine" else load_digits
        return load(return_X_y=True)  # type: ignore[no-any-return]

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return hpo.mlp(params, features, outputs)


objective = Multiclass
