"""Values of which some are only known to be larger than what was seen of them."""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

Lifetime = tuple[float, bool, float]  # a value, whether it is only known to be larger than that, and its weight


class Lifetimes:
    """The estimate of Kaplan and Meier (Journal of the American Statistical Association 53, 1958); of one value at
    least."""

    def __init__(self, known: Sequence[Lifetime]) -> None:
        ordered = sorted(known)
        above = math.fsum(weight for _, _, weight in ordered)
        self.largest = ordered[-1][0]
        self._ends: list[float] = []
        self._lost = [0.0]  # the share that is no larger than each end, before the first one: none
        for value, larger, weight in ordered:
            if not larger:
                self._ends.append(value)
                self._lost.append(self._lost[-1] + (1 - self._lost[-1]) * min(1.0, weight / above))
            above = max(above - weight, 1e-9)

    @classmethod
    def resampled(cls, known: Sequence[Lifetime], lot: random.Random) -> Lifetimes:
        """Return an estimate that may as well be the true one, as far as so few values tell (Rubin, "The Bayesian
        Bootstrap", Annals of Statistics 9, 1981)."""
        return cls([(value, larger, weight * lot.expovariate(1.0)) for value, larger, weight in known])

    def draw(self, lot: random.Random, beyond: float = 0.0, of: int = 1, hazard: float = 1.0) -> float | None:
        """Return one of those that are larger than `beyond`, or the largest of so many; None: one that is larger than
        all that are known. hazard: how many times as likely an end is at any time."""
        before = self._lost[bisect_right(self._ends, beyond)]
        outlived = (1 - lot.random() ** (1 / of)) ** (1 / hazard)  # by this share of those that are larger
        place = bisect_left(self._lost, 1 - (1 - before) * outlived)
        return self._ends[place - 1] if place < len(self._lost) else None
