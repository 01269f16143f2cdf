"""What is done about wrong labels: suspected ones count less, or easy rows come first.

Both go by what a random forest says of a row that it has not seen (its out-of-bag estimate), with classes weighted so
that a rare one is no less probable for being rare. Only training rows are ever weighted; what is measured counts all
rows alike.
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

    weights: (which rows' labels are suspected [N], parameters) to a factor for each row [N], at least 0.
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


@dataclass(frozen=True)
class LabelEvidence:
    """What a forest says of the training rows' labels.

    suspected: [N] of bool. difficulty: [N], in (0, 1], a row's rank among those of its class, from the one whose label
    is the most probable.
    """

    suspected: NDArray[Any]
    difficulty: NDArray[Any]


def _downweight(suspected: NDArray[Any], params: Mapping[str, Any]) -> NDArray[Any]:
    factors: NDArray[Any] = np.where(suspected, params["suspect_weight"], 1.0)
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
        LabelRule("downweight", _downweight, ("suspect_weight",)),
    ],
    {
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
        base = _checked(train.weight, len(train)).to(base)
    rank = None
    if rule.weights is not None:
        base = base * torch.from_numpy(rule.weights(train.once(label_evidence).suspected, rule_values)).to(base)
    if curriculum.share is not None:
        order = np.argsort(train.once(label_evidence).difficulty, kind="stable")
        rank = torch.from_numpy(np.argsort(order, kind="stable")).to(base.device)
    if not base.sum() > 0:
        raise ValueError("no training row has a weight above 0")
    how = curriculum.share or (lambda epoch, values: 1.0)
    return RowWeights(_of_mean_1(base), rank, lambda epoch: how(epoch, pace))


def label_evidence(train: Split) -> LabelEvidence:
    """Ask a random forest about the training rows' labels. The same rows always give the same answer.

    A label is suspected where another class is more probable, and at least as probable as it is for the rows of that
    class in the mean: the rule of confident learning (Northcutt, Jiang and Chuang 2021, "Confident learning: estimating
    uncertainty in dataset labels"). Where a forest can't tell many classes apart it suspects right labels, too.
    """
    from sklearn.ensemble import RandomForestClassifier

    x = train.x.detach().cpu().numpy().reshape(len(train), -1)
    classes, labels = np.unique(train.y.detach().cpu().numpy(), return_inverse=True)
    rows = np.arange(len(labels))
    if len(classes) < 2:
        return LabelEvidence(np.zeros(len(labels), dtype=bool), (rows + 1) / len(labels))
    forest = RandomForestClassifier(
        _TREES, min_samples_leaf=3, class_weight="balanced_subsample", oob_score=True, random_state=0
    )
    found = forest.fit(x, labels).oob_decision_function_
    own = found[rows, labels]
    difficulty = np.empty(len(labels))
    usual = np.empty(len(classes))
    for label in range(len(classes)):
        members = np.flatnonzero(labels == label)
        usual[label] = own[members].mean()
        difficulty[members[np.argsort(-own[members], kind="stable")]] = np.arange(1, len(members) + 1) / len(members)
    others = np.where(found >= usual, found, 0.0)
    others[rows, labels] = 0.0
    return LabelEvidence(others.max(1) > own, difficulty)


def _checked(weight: Tensor, rows: int) -> Tensor:
    """Return a split's weights. Raises ValueError if they are no weights of its rows."""
    if tuple(weight.shape) != (rows,):
        raise ValueError(f"a split's weight must have the shape ({rows},), but it has {tuple(weight.shape)}")
    if not (weight.isfinite().all() and (weight >= 0).all()):
        raise ValueError("a split's weights must be finite and at least 0")
    return weight


def _of_mean_1(weights: Tensor) -> Tensor:
    return weights / weights.mean()
