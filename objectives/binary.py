"""Binary classification: a multilayer perceptron on a table.

data: {source: synthetic}            1,000 rows of 20 numbers, two classes (the default)
      {source: breast_cancer}        scikit-learn's copy of the Wisconsin data: 569 rows of 30 numbers
      {csv: churn.csv, target: left} your own table
Each takes `validation` and `test` (shares of the rows, default 0.2), `split_seed` (default 0), `resample` and `folds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import hpo

if TYPE_CHECKING:
    import torch
    from torch import nn

OPTIONS = {"source": hpo.Known("choice", "synthetic", choices=("synthetic", "breast_cancer"))}


class Binary(hpo.TableTask):
    """Is a row of class 1?"""

    kind = "binary"
    options = OPTIONS

    def load_source(self, options: Mapping[str, Any]) -> tuple[Any, Any]:
        from sklearn.datasets import load_breast_cancer, make_classification

        if options["source"] == "breast_cancer":
            return load_breast_cancer(return_X_y=True)  # type: ignore[no-any-return]
        # Half of the features say something, a quarter repeat them, a quarter are noise, and one label in 40 is wrong
        # (flip_y redraws 5 per cent): no model is perfect, and tuning pays.
        return make_classification(  # type: ignore[no-any-return]
            n_samples=1000, n_features=20, n_informative=10, n_redundant=5, flip_y=0.05, class_sep=1.0, random_state=42
        )

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return hpo.mlp(params, features, outputs)


objective = Binary
