"""The diagnoses, each with what it means, what shows it, and what courses teach against it. A new one is an entry here.

for found in diagnoses_of(curves, metric="val_accuracy", goal="maximize"): print(found.name, found.evidence)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hpo.diagnosis import from_curves, from_layers
from hpo.diagnosis.training import Curve, Training

_HUGE = 1e150  # its square is no number any more
HEALTHY = "healthy"  # in place of a name, where there is no diagnosis


@dataclass(frozen=True)
class DiagnosisKind:
    """A diagnosis that can be made.

    find: returns the evidence in words, "" if there is none. remedies: in words of the sweep file, the likeliest first.
    explains: names of diagnoses that are only its symptoms, and are not made beside it.
    """

    name: str
    meaning: str
    find: Callable[[Training], str]
    remedies: tuple[str, ...]
    explains: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """What was found wrong with a training. evidence: in words, with figures."""

    name: str
    evidence: str

    @property
    def meaning(self) -> str:
        """What it means, in a line; "" for a name that this version does not know."""
        return KINDS[self.name].meaning if self.name in KINDS else ""

    @property
    def remedies(self) -> tuple[str, ...]:
        """What to try, in words of the sweep file, the likeliest first; none for a name that is not known."""
        return KINDS[self.name].remedies if self.name in KINDS else ()


_SLOWNESS = ("learning rate too low", "underfit", "still improving")
_ALL = (
    DiagnosisKind(
        "vanishing gradient",
        "the first layers get next to nothing of the gradient, and hardly learn",
        from_layers.vanishing,
        (
            "activation: relu, leaky_relu, elu or gelu in place of sigmoid and tanh",
            "initializer: he_normal for relu and its kin, xavier_uniform for tanh and sigmoid",
            "batch_norm: true",
            "residual: true (hpo.mlp), or fewer hidden_layers",
        ),
        explains=_SLOWNESS,
    ),
    DiagnosisKind(
        "exploding gradient",
        "gradients are so large that a step throws the weights anywhere",
        from_layers.exploding,
        (
            "grad_clip_norm: 1.0",
            "initializer: he_normal or xavier_uniform, which keep the size of signals from layer to layer",
            "batch_norm: true",
            "a smaller learning_rate, or schedule: linear_warmup to begin with small steps",
            "for regression, target_transform: standardize; in a deep model residual: true with a smaller init_scale",
        ),
        explains=(*_SLOWNESS, "learning rate too high"),
    ),
    DiagnosisKind(
        "dead units",
        "ReLU units are 0 for every row: they get no gradient, and never come back",
        from_layers.dead,
        (
            "activation: leaky_relu, elu or gelu, whose units come back",
            "a smaller learning_rate, or schedule: linear_warmup",
            "initializer: he_normal, with biases of 0",
            "batch_norm: true",
        ),
        explains=("vanishing gradient", *_SLOWNESS),
    ),
    DiagnosisKind(
        "saturated",
        "sigmoid or tanh units are at the flat ends of their curve, where they hardly learn",
        from_layers.saturated,
        (
            "initializer: xavier_uniform or xavier_normal, whose weights suit sigmoid and tanh",
            "activation: relu or gelu",
            "batch_norm: true, or features on one scale",
            "a smaller learning_rate, or more weight_decay",
        ),
    ),
    DiagnosisKind(
        "diverged",
        "the loss went up for good, or to what is no number",
        from_curves.diverged,
        (
            "a smaller learning_rate (lower the upper end of its range)",
            "grad_clip_norm: 1.0",
            "schedule: linear_warmup, or less momentum",
            "initializer: he_normal or xavier_uniform",
        ),
        explains=(*_SLOWNESS, "learning rate too high", "overfit"),
    ),
    DiagnosisKind(
        "learning rate too high",
        "steps are so long that they jump over what they look for",
        from_curves.rate_too_high,
        (
            "a smaller learning_rate (lower the upper end of its range)",
            "a schedule that ends on small steps, cosine or one_cycle",
            "a larger batch_size, or less momentum",
        ),
        explains=_SLOWNESS,
    ),
    DiagnosisKind(
        "learning rate too low",
        "steps are so short that the training is still on its way at its end",
        from_curves.rate_too_low,
        (
            "a larger learning_rate (raise the lower end of its range)",
            "more epochs",
            "optimizer: adam, or momentum: 0.9 with sgd",
        ),
        explains=("underfit", "still improving"),
    ),
    DiagnosisKind(
        "underfit",
        "the model explains not even its training rows",
        from_curves.underfit,
        (
            "more or wider hidden_layers",
            "less dropout and weight_decay",
            "another learning_rate, or more epochs",
        ),
    ),
    DiagnosisKind(
        "overfit",
        "the model learns its training rows by heart, and gets worse at others",
        from_curves.overfit,
        (
            "more dropout, weight_decay or l1_penalty",
            "fewer epochs, or early_terminate: patience",
            "smaller hidden_layers, or more data",
        ),
        explains=("learning rate too low",),
    ),
    DiagnosisKind(
        "still improving",
        "the metric was still getting better when the epochs were spent",
        from_curves.still_improving,
        ("more epochs", "a larger learning_rate, or a schedule such as one_cycle that suits so few epochs"),
        explains=("underfit", "overfit"),  # the sweep's own metric decides
    ),
)
KINDS: Mapping[str, DiagnosisKind] = {kind.name: kind for kind in _ALL}
"""Every diagnosis by its name, causes before symptoms."""


def diagnoses_of(
    curves: Mapping[str, Curve],
    *,
    metric: str,
    goal: str,
    complete: bool = True,
    diverged: int | None = None,
) -> list[Diagnosis]:
    """Return what is wrong with a training, causes before symptoms; nothing where it is healthy, as far as is known.

    curves: each metric's values in the order of the reports, figures of health (hpo.diagnosis.figures) among them.
        What is not finite, or too large to reckon with, is left out.
    metric, goal: what the sweep optimizes, `maximize` or `minimize`. complete: it trained to its end, and was not
        stopped early. diverged: the step at which a value was not finite.
    """
    finite = {name: [value for value in values if abs(value) < _HUGE] for name, values in curves.items()}
    training = Training(finite, metric, goal, complete, diverged)
    evidence = {name: said for name, kind in KINDS.items() if (said := kind.find(training))}
    explained = {symptom for name in evidence for symptom in KINDS[name].explains}
    return [Diagnosis(name, said) for name, said in evidence.items() if name not in explained]
