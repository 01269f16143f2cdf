"""Differences in pairs, of any figure of the trials: what `hpo compare` does with the sweep's metric, by its own test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpo.review.comparison.chance import LEVEL, Effect, holm, paired
from reproduction.claims import Verdict, chance
from reproduction.numbers import show

if TYPE_CHECKING:
    import pandas as pd

_FEWEST = 6  # pairs, as for `hpo compare`: fewer can show nothing


@dataclass(frozen=True)
class Pair:
    """How two choices differ in a figure, over trials that are equal but for the choice.

    effect: left minus right; None where there are too few pairs. p: corrected for all differences that were looked at
    together.
    """

    left: str
    right: str
    effect: Effect | None
    p: float

    @property
    def smaller(self) -> Verdict:
        """Whether the left one's figure is the smaller one; FAILS where it is shown to be the larger one."""
        if self.effect is None or self.p > LEVEL or self.effect.shift == 0:
            return Verdict.UNKNOWN
        return Verdict.HOLDS if self.effect.wins < 0.5 else Verdict.FAILS

    @property
    def larger(self) -> Verdict:
        """Whether the left one's figure is the larger one; FAILS where it is shown to be the smaller one."""
        turned = {Verdict.HOLDS: Verdict.FAILS, Verdict.FAILS: Verdict.HOLDS}
        return turned.get(self.smaller, self.smaller)

    def words(self, unit: str) -> str:
        """Return it as a phrase: `tanh minus relu: 12 epochs (10 to 14), p < 0.001`."""
        if self.effect is None:
            return f"{self.left} and {self.right}: too few trials to compare"
        if math.isinf(self.effect.shift):
            never, other = (self.right, self.left) if self.effect.shift < 0 else (self.left, self.right)
            return f"{never} mostly never comes there, {other} does, p {chance(self.p)}"
        low, high = self.effect.shift_interval
        bounds = f"{'-∞' if low is None else show(low)} to {'∞' if high is None else show(high)}"
        return f"{self.left} minus {self.right}: {show(self.effect.shift)} {unit} ({bounds}), p {chance(self.p)}"


def pairs(figures: Mapping[str, pd.Series], compared: Sequence[tuple[str, str]]) -> list[Pair]:
    """Return how choices differ.

    figures: of each choice a number for each seed (the index), infinite for what never comes. compared: the choices,
    left and right.
    """
    effects = []
    for left, right in compared:
        there = [figures.get(name) for name in (left, right)]
        effects.append(None if there[0] is None or there[1] is None else _effect(there[0], there[1]))
    corrected = iter(holm([effect.p for effect in effects if effect is not None]))
    return [
        Pair(left, right, effect, math.nan if effect is None else next(corrected))
        for (left, right), effect in zip(compared, effects, strict=True)
    ]


def _effect(left: pd.Series, right: pd.Series) -> Effect | None:
    both = sorted(set(left.dropna().index) & set(right.dropna().index))
    if len(both) < _FEWEST:
        return None
    first, second = left.loc[both].to_numpy(dtype=float), right.loc[both].to_numpy(dtype=float)
    with np.errstate(invalid="ignore"):
        return paired(np.where(first == second, 0.0, first - second))  # two that never come are equal
