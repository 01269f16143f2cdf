"""Binary classification: a multilayer perceptron on a table.

data: {source: synthetic}            1,000 rows of 20 numbers, two classes (the default)
      {source: make_classification}  the same by scikit-learn's defaults: 2 of the 20 numbers and their sums say all
      {source: separable}            two classes with a gap between them, which a straight line can tell apart
      {source: xor}                  two classes in opposite corners, which no straight line can tell apart
      {source: breast_cancer}        scikit-learn's copy of the Wisconsin data: 569 rows of 30 numbers
      {csv: churn.csv, target: left} your own table; `weight: column` says how much a row counts in training;
                                     `time`, `group`, `split_column` and `test_csv`: docs/your-table.md

The sources that are made take `rows`, most of them `features` and `imbalance` (the share of class 1). All sources take
`label_noise`, the share of the *training* labels that are turned round; validation and test stay true.
Each table takes `validation` and `test` (shares of the rows, default 0.2), `split`, `split_seed` (default 0), `scale`,
`resample` and `folds`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import hpo

if TYPE_CHECKING:
    import torch
    from torch import nn

MADE = ("synthetic", "make_classification", "separable", "xor")
WIDE = ("synthetic", "make_classification", "separable")
MIXED = ("synthetic", "make_classification")
OPTIONS = {
    "source": hpo.Known("choice", "synthetic", choices=(*MADE, "breast_cancer")),
    "rows": hpo.Known("int", 1000, "how many rows are made", within="[30, 1000000]", requires={"source": MADE}),
    "features": hpo.Known("int", 20, "how many numbers a row has", within="[2, 1000]", requires={"source": WIDE}),
    "imbalance": hpo.Known("float", 0.5, "share of class 1", within="(0, 0.5]", requires={"source": MIXED}),
    "label_noise": hpo.Known("float", 0.0, "share of the training labels that are turned round", within="[0, 0.5]"),
}
GAP = 0.1  # of `separable`: how far rows, of length 1, keep from the plane between the classes


class Binary(hpo.TableTask):
    """Is a row of class 1?"""

    kind = "binary"
    options = OPTIONS
    source_is_fixed = True

    def load_source(self, options: Mapping[str, Any]) -> tuple[Any, Any]:
        from sklearn.datasets import load_breast_cancer, make_classification

        source, rows, features, rare = (options[name] for name in ("source", "rows", "features", "imbalance"))
        if source == "breast_cancer":
            return load_breast_cancer(return_X_y=True)  # type: ignore[no-any-return]
        if source == "xor":
            return xor(rows)
        if source == "separable":
            return separable(rows, features)
        classes = [1 - rare, rare] if rare != OPTIONS["imbalance"].default else None
        if source == "make_classification":
            repeated = min(2, features - 2)  # scikit-learn's default, where there are so many features
            made = make_classification(rows, features, n_redundant=repeated, weights=classes, random_state=42)
            return made  # type: ignore[no-any-return]
        # Half of the features say something, a quarter repeat them, a quarter are noise, and one label in 40 is wrong
        # (flip_y redraws 5 per cent, and fewer of a rare class): no model is perfect, and tuning pays.
        return make_classification(  # type: ignore[no-any-return]
            rows,
            features,
            n_informative=max(2, features // 2),
            n_redundant=features // 4,
            flip_y=0.1 * rare,
            class_sep=1.0,
            weights=classes,
            random_state=42,
        )

    def splits(self, data: Mapping[str, Any], cut: hpo.Cut | None = None) -> hpo.Splits:
        splits = super().splits(data, cut)
        return splits if "csv" in data else turn_round(splits, hpo.fill_options(data, OPTIONS)["label_noise"])

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return hpo.mlp(params, features, outputs)


def xor(rows: int) -> tuple[Any, Any]:
    """Return points about the corners of a square, and whether their coordinates differ in sign."""
    import numpy as np

    generator = np.random.default_rng(42)
    corners = generator.integers(0, 2, (rows, 2)) * 2 - 1
    return corners + generator.uniform(-0.5, 0.5, (rows, 2)), (corners[:, 0] != corners[:, 1]).astype(int)


def separable(rows: int, features: int) -> tuple[Any, Any]:
    """Return points of length 1, and on which side of a plane through their middle they lie, none nearer than GAP."""
    import numpy as np

    generator = np.random.default_rng(42)
    normal = generator.normal(size=features)
    normal /= np.linalg.norm(normal)
    points = generator.normal(size=(rows, features))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    along = points @ normal
    rest = points - np.outer(along, normal)
    # Along the normal all are pushed away from the plane, and the length stays 1 at most.
    away = np.sign(along) * (GAP + (1 - GAP) * np.abs(along))
    rest *= np.sqrt((1 - away**2) / np.maximum((rest**2).sum(axis=1), 1e-12))[:, None]
    return rest + np.outer(away, normal), (along > 0).astype(int)


def turn_round(splits: hpo.Splits, share: float) -> hpo.Splits:
    """Return the splits with `share` of the training labels turned round."""
    import torch

    train = splits.train
    count, generator = round(share * len(train)), torch.Generator().manual_seed(42)
    if not count:
        return splits
    rows = torch.randperm(len(train), generator=generator)[:count]
    y = train.y.clone()
    y[rows] = 1 - y[rows]
    note = f"{count} of {len(train)} training labels are turned round on purpose (data.label_noise={share})"
    return dataclasses.replace(splits, train=hpo.Split(train.x, y), notes=(*splits.notes, note))


objective = Binary
