"""What is done about wrong labels: suspected ones count less, or easy rows come first.

Both go by how probable a row's label is to a random forest that has not seen the row (its out-of-bag estimate). Only
training rows are ever weighted; what is measured counts all rows alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.contract import Known
from hpo.training.task import Kind, Split
from hpo.training.vocabulary.choose import choose
from hpo.training.vocabulary.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor
else:
    np = lazy_import("numpy")
    torch = lazy_import("torch")

_TREES = 200  # nearly every row is out of the bag of some seventy of them


@dataclass(frozen=True)
class LabelRule:
    """What is done about labels that are probably wrong.

    weights: (how probable each row's label is [N], parameters) to a factor for each row [N], at least 0.
    """

    name: str
    weights: Callable[[NDArray[Any], Mapping[str, Any]], NDArray[Any]] | None = None  # None: all alike
    takes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Curriculum:
    """In which order rows are learned.

    share: (epoch from 0, parameters) to the share of the rows, the easiest ones, that count in it. It never falls.
    """

    name: str
    share: Callable[[int, Mapping[str, Any]], float] | None = None  # None: all rows, always
    takes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


def _downweight(probable: NDArray[Any], params: Mapping[str, Any]) -> NDArray[Any]:
    """Rows whose label is less probable than `suspect_below` count `suspect_weight`, the others 1. (Northcutt, Jiang
    and Chuang 2021 find wrong labels in the same way, by predictions for rows that were not trained on.)"""
    factors: NDArray[Any] = np.where(probable < params["suspect_below"], params["suspect_weight"], 1.0)
    return factors


def _easy_first(epoch: int, params: Mapping[str, Any]) -> float:
    """From `curriculum_start` up to all rows, evenly over `curriculum_epochs` (Bengio et al. 2009; the linear pacing
    and the scoring by another model are Hacohen and Weinshall's, 2019)."""
    start: float = params["curriculum_start"]
    share: float = min(1.0, start + (1 - start) * epoch / params["curriculum_epochs"])
    return share


SUSPECT_LABELS: Registry[LabelRule] = Registry(
    "suspect_labels",
    "none",
    [
        LabelRule("none"),
        LabelRule("downweight", _downweight, ("suspect_below", "suspect_weight")),
    ],
    {
        "suspect_below": Known(
            "float", 0.2, "a label is suspected if a forest finds it less probable than this", within="(0, 1)"
        ),
        "suspect_weight": Known(
            "float", 0.0, "how much a row of a suspected label counts; others count 1", within="[0, 1)"
        ),
    },
)
CURRICULA: Registry[Curriculum] = Registry(
    "curriculum",
    "none",
    [
        Curriculum("none"),
        Curriculum("easy_first", _easy_first, ("curriculum_start", "curriculum_epochs")),
    ],
    {
        "curriculum_start": Known("float", 0.5, "share of the rows that count in the first epoch", within="(0, 1]"),
        "curriculum_epochs": Known("int", 10, "epochs until all rows count", within="[1, inf)"),
    },
)


class RowWeights:
    """How much each training row counts, epoch by epoch, with a mean of 1 over the rows.

    A batch's loss is the mean of its rows' losses, each times its weight. So a row's weight doesn't depend on who is in
    its batch.
    """

    def __init__(self, base: Tensor, rank: Tensor | None, share: Callable[[int], float]) -> None:
        """base: [N], at least 0, with a mean of 1. rank: [N] from 0, the easiest first; None: no row waits."""
        self._base = base
        self._rank = rank
        self._share = share
        self._last = -1, base  # the epoch that was asked for last: each of its steps asks

    def at(self, epoch: int) -> Tensor:
        """Return the weights [N] in an epoch, from 0."""
        if self._rank is None:
            return self._base
        if self._last[0] != epoch:
            count = max(1, round(self._share(epoch) * len(self._base)))
            found = torch.where(self._rank < count, self._base, 0.0)
            # The easiest rows may be those that the table gives no weight.
            self._last = epoch, _of_mean_1(found) if found.any() else self._base
        return self._last[1]


def row_weights(kind: Kind, train: Split, params: Mapping[str, Any]) -> RowWeights | None:
    """Return the weights of the training rows; None: all count alike, always.

    params: hyperparameters; the defaults stand in for those that are missing. A regression has none of these.
    Raises ValueError if no row is left that counts.
    """
    chosen = params if kind != "regression" else {}
    rule, rule_values = choose(SUSPECT_LABELS, chosen)
    curriculum, pace = choose(CURRICULA, chosen)
    if train.weight is None and rule.weights is None and curriculum.share is None:
        return None
    base = torch.ones(len(train), device=train.y.device)
    if train.weight is not None:
        base = train.weight.to(base)
    rank = None
    if rule.weights is not None:
        base = base * torch.from_numpy(rule.weights(train.once(label_probabilities), rule_values)).to(base)
    if curriculum.share is not None:
        order = np.argsort(-train.once(label_probabilities), kind="stable")
        rank = torch.from_numpy(np.argsort(order, kind="stable")).to(base.device)
    if not base.sum() > 0:
        raise ValueError("no training row has a weight above 0 (suspect_below is too high, or data.weight is all 0)")
    how = curriculum.share or (lambda epoch, values: 1.0)
    return RowWeights(_of_mean_1(base), rank, lambda epoch: how(epoch, pace))


def label_probabilities(train: Split) -> NDArray[Any]:
    """Return how probable each training row's label [N] is to trees of a random forest that have not seen the row.

    A row that every tree has seen has the probability 1. The same rows always give the same numbers.
    """
    from sklearn.ensemble import RandomForestClassifier

    x = train.x.detach().cpu().numpy().reshape(len(train), -1)
    classes, labels = np.unique(train.y.detach().cpu().numpy(), return_inverse=True)
    if len(classes) < 2:
        return np.ones(len(train))
    forest = RandomForestClassifier(_TREES, min_samples_leaf=3, max_features="sqrt", oob_score=True, random_state=0)
    forest.fit(x, labels)
    found: NDArray[Any] = forest.oob_decision_function_[np.arange(len(labels)), labels]
    found[np.isnan(found)] = 1.0
    return found


def _of_mean_1(weights: Tensor) -> Tensor:
    return weights / weights.mean()
