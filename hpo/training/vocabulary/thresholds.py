"""From which probability on a row is of class 1: a threshold that is given, or chosen on the validation rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.contract import Known
from hpo.training.task import Kind
from hpo.training.upload import upload
from hpo.training.vocabulary.choose import choose
from hpo.training.vocabulary.losses import LOSSES
from hpo.training.vocabulary.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

HALF = 0.5
_EDGE = math.log((1 - 1e-9) / 1e-9)
"""Of the logits of thresholds: a float64 tells a probability no nearer to 0 or 1 than 1e-9 from its neighbours."""


@dataclass(frozen=True)
class ThresholdRule:
    """How a threshold is found.

    choose: (logits [..., N] and targets [..., N] of the validation rows) to thresholds [...], float64, in (0, 1).
    None: it is the hyperparameter `threshold`.
    """

    name: str
    choose: Callable[[Tensor, Tensor], Tensor] | None = None
    takes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


def best_f1(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the thresholds with the largest F1 of class 1 (Lipton, Elkan and Naryanaswamy 2014, "Optimal thresholding
    of classifiers to maximize F1 measure"). logits [..., N], targets [..., N] or [N] -> [...], float64.

    Looked at are the gaps between neighbouring logits, and what is below the lowest. In a gap the threshold is 0.5, if
    that is in it; else halfway between the two logits; below the lowest, half the probability of its row. Of gaps with
    the same F1 it is the threshold whose logit is nearest to 0. It is 0.5 where all rows are of one class. None is
    nearer than 1e-9 to 0 or 1. (So where all rows get the same probability, all are called class 1, as Lipton et al.
    have it.)
    """
    scores, order = logits.double().sort(-1)
    positive = (targets > 0.5).expand(logits.shape).gather(-1, order).double()
    rows, positives = scores.shape[-1], positive.sum(-1, keepdim=True)
    hits = positives - positive.cumsum(-1) + positive  # where all from this row on are called class 1
    called = torch.arange(rows, 0, -1, device=scores.device)
    below = torch.cat([torch.full_like(scores[..., :1], -torch.inf), scores[..., :-1]], -1)
    middle = (below + scores) / 2
    middle[..., 0] = torch.logit(scores[..., 0].sigmoid() / 2)
    at = torch.where((below <= 0) & (scores > 0), 0.0, middle.clamp(-_EDGE, _EDGE))
    f1 = torch.where((below <= at) & (at < scores), 2 * hits / (called + positives), -1.0)
    largest = f1.amax(-1, keepdim=True)
    nearest = torch.where(f1 == largest, at.abs(), torch.inf).argmin(-1, keepdim=True)
    is_found = (largest >= 0) & (positives > 0) & (positives < rows)
    return torch.where(is_found, at.gather(-1, nearest), 0.0).squeeze(-1).sigmoid()


THRESHOLD_RULES: Registry[ThresholdRule] = Registry(
    "threshold_rule",
    "fixed",
    [
        ThresholdRule("fixed", takes=("threshold",)),
        ThresholdRule("best_f1", best_f1, aliases=("max_f1", "optimal_f1")),
    ],
    {
        "threshold": Known(
            "float",
            HALF,
            "a row is of class 1 where its probability is above it",
            within="(0, 1)",
            hints=dict.fromkeys(("best_f1", "auto", "optimal", "f1"), "write threshold_rule: best_f1"),
            also=("cutoff", "decision_threshold", "classification_threshold", "prob_threshold"),
        )
    },
    requires={"loss": tuple(choice.name for choice in LOSSES["binary"] if choice.link)},  # a margin is no probability
)


@dataclass
class Threshold:
    """The threshold of one run. rule: how it is found; probability: where it stands now, in (0, 1)."""

    rule: ThresholdRule = THRESHOLD_RULES["fixed"]
    probability: float = HALF

    @property
    def is_chosen(self) -> bool:
        """Whether it is chosen on validation rows, anew each time that they are measured."""
        return self.rule.choose is not None


AT_HALF = Threshold()


def threshold_of(kind: Kind, params: Mapping[str, Any]) -> Threshold:
    """Return the threshold of a run that begins; of other kinds than `binary` it means nothing.

    Raises ValueError: an unknown rule, a threshold that is none, or one beside a rule that chooses its own.
    """
    if kind != "binary":
        return Threshold()
    rule, values = choose(THRESHOLD_RULES, params)
    given = values.get("threshold", HALF)
    if objection := THRESHOLD_RULES.known()["threshold"].objection(given):
        raise ValueError(f"threshold {objection}")
    return Threshold(rule, float(given))


def thresholds_now(thresholds: Sequence[Threshold], logits: Tensor, targets: Tensor | None) -> Tensor | None:
    """Return where the thresholds of k runs stand: [k], float64; None: all are 0.5.

    logits: [k, N]. targets: of these rows, [k, N], if they are those to choose on; else None.
    """
    if all(not each.is_chosen and each.probability == HALF for each in thresholds):
        return None
    found = upload([each.probability for each in thresholds], logits.device, torch.float64)
    if targets is not None:
        for rule in dict.fromkeys(each.rule for each in thresholds):
            if rule.choose is not None:
                places = [place for place, each in enumerate(thresholds) if each.rule is rule]
                found[places] = rule.choose(logits[places], targets[places])
    return found


def chosen_among(thresholds: Sequence[Threshold], now: Tensor | None) -> dict[str, Tensor]:
    """Return `threshold` [k] as a report has it, NaN where a run's was not chosen; {} if no run's was.

    now: as `thresholds_now` returned it.
    """
    if now is None or not any(each.is_chosen for each in thresholds):
        return {}
    return {"threshold": torch.where(upload([each.is_chosen for each in thresholds], now.device), now, torch.nan)}


def logit_of(probability: float | Tensor) -> Tensor:
    """Return the logit of a threshold, float64: rows with larger ones are of class 1."""
    return torch.logit(torch.as_tensor(probability, dtype=torch.float64))
