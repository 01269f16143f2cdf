"""Regression: a multilayer perceptron on a table, where some training targets are wrong.

data: {source: friedman}             2,000 rows of 10 numbers, a smooth function of 5 of them plus noise (the default)
      {source: diabetes}             scikit-learn's copy of Efron et al. 2004: 442 rows of 10 numbers
      {csv: houses.csv, target: price}  your own table; `weight: column` says how much a row counts in training

`friedman` takes `rows` and `features` (at least 5). Each table takes `validation` and `test` (shares of the rows,
default 0.2), `split`, `split_seed` (default 0), `scale`, `resample` and `folds`; the two sources also `outliers`, the
share of the *training* targets that are spoilt (default 0.05). Validation and test
stay true, so a metric says how well a trial coped with the outliers, not how well it learned them. Targets are
standardised for training (`target_transform: none`: they are not); metrics are in their own units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import hpo

if TYPE_CHECKING:
    import torch
    from torch import nn

OPTIONS = {
    "source": hpo.Known("choice", "friedman", choices=("friedman", "diabetes")),
    "rows": hpo.Known(
        "int", 2000, "how many rows are made", within="[30, 1000000]", requires={"source": ("friedman",)}
    ),
    "features": hpo.Known(
        "int", 10, "how many numbers a row has", within="[5, 1000]", requires={"source": ("friedman",)}
    ),
    "outliers": hpo.Known("float", 0.05, within="[0, 0.5]"),
}


class Regression(hpo.TableTask):
    """What number belongs to a row?"""

    kind = "regression"
    options = OPTIONS
    source_is_fixed = True
    parameters = hpo.STANDARDIZED_TARGET

    def load_source(self, options: Mapping[str, Any]) -> tuple[Any, Any]:
        from sklearn.datasets import load_diabetes, make_friedman1

        if options["source"] == "diabetes":
            return load_diabetes(return_X_y=True)  # type: ignore[no-any-return]
        made = make_friedman1(options["rows"], options["features"], noise=1.0, random_state=42)
        return made  # type: ignore[no-any-return]

    def splits(self, data: Mapping[str, Any], cut: hpo.Cut | None = None) -> hpo.Splits:
        splits = super().splits(data, cut)
        return splits if "csv" in data else spoil(splits, hpo.fill_options(data, OPTIONS)["outliers"])

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return hpo.mlp(params, features, outputs)


def spoil(splits: hpo.Splits, share: float) -> hpo.Splits:
    """Return the splits with `share` of the training targets moved up by 5 to 10 standard deviations.

    All go one way, like a sensor that sticks: outliers on both sides would cancel out in the mean.
    """
    import dataclasses

    import torch

    train = splits.train
    count, generator = round(share * len(train)), torch.Generator().manual_seed(42)
    rows = torch.randperm(len(train), generator=generator)[:count]
    y = train.y.clone()
    y[rows] += (5 + 5 * torch.rand(count, generator=generator)) * train.y.std()
    note = f"{count} of {len(train)} training targets are spoilt on purpose (data.outliers={share})"
    return dataclasses.replace(splits, train=hpo.Split(train.x, y), notes=(*splits.notes, note))


objective = Regression
