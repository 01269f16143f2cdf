"""What a diagnosis goes by: a trial's curves, as plain numbers, and how it ended."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from hpo.diagnosis.figures import Figure, by_figure

Curve = Sequence[float]
_LATE = 3  # reports whose median is what a curve ended with: one alone may be an outlier


@dataclass(frozen=True)
class Training:
    """curves: each metric's values in the order of the reports, figures of health among them.

    metric, goal: what the sweep optimizes, `maximize` or `minimize`. complete: it trained to its end. diverged: the
    step at which a value was not finite; None: all were.
    """

    curves: Mapping[str, Curve]
    metric: str
    goal: str
    complete: bool = True
    diverged: int | None = None

    @cached_property
    def figures(self) -> Mapping[Figure, Mapping[str, Curve]]:
        """{figure: {layer: values}}."""
        return by_figure(self.curves)

    @property
    def is_measured(self) -> bool:
        """Whether there are figures of layers."""
        return any(self.figures.values())

    @property
    def train_loss(self) -> Curve:
        """The loss on the training rows. Keras and its like call it `loss`, beside a `val_loss`."""
        known = self.curves.get("train_loss", ())
        return known or (self.curves.get("loss", ()) if "val_loss" in self.curves else ())

    @property
    def val_loss(self) -> Curve:
        return self.curves.get("val_loss", ())

    @property
    def gains(self) -> Curve:
        """The sweep's metric, turned so that more is better."""
        sign = 1.0 if self.goal == "maximize" else -1.0
        return [sign * value for value in self.curves.get(self.metric, ())]


def late(curve: Curve) -> float:
    """Return what a curve ended with: the median of its last values."""
    return statistics.median(curve[-_LATE:])


def late_loss(losses: Curve) -> float:
    """Return what a loss ended with; one that still falls has ended at its last value, not at one before."""
    return min(late(losses), losses[-1])
