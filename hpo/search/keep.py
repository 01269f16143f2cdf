"""Which trials a model learns from, once there are more than it can afford to look at.

TPE splits its trials into the best (at most 25) and the rest, and weighs recent ones most. So the best stay, the most
recent stay, and the others are stood for by a sample.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

_BEST = 40  # more than the 25 that TPE calls good
_RECENT = 50  # twice the 25 that TPE gives full weight


@dataclass(frozen=True)
class Bound:
    """The ended trials that a method learns from: those in `states`, at most `most` of them (None: all).

    A trial in another state is forgotten as it ends.
    """

    states: tuple[TrialState, ...]
    most: int | None = None

    @property
    def crowded(self) -> float:
        """The number of ended trials from which thinning out to `most` is worth its while."""
        return math.inf if self.most is None else self.most * 1.2


def kept(trials: Iterable[FrozenTrial], most: int, maximize: bool, seed: int) -> set[int]:
    """Return the numbers of the ended trials to keep, `most` of them.

    The sample is of those with the lowest hashes of their numbers. So it is a fair one of all trials there ever were,
    however often they are thinned out in between, with complete and pruned ones as they come.
    """
    ended = {trial.number: trial for trial in trials}
    if len(ended) <= most:
        return set(ended)
    ranked = sorted(ended.values(), key=lambda trial: _standing(trial, maximize))
    keep = {trial.number for trial in ranked[: min(_BEST, most // 3)]}
    keep.update(sorted(ended, reverse=True)[: min(_RECENT, most // 3)])
    others = sorted(ended.keys() - keep, key=lambda number: _lot(seed, number))
    return keep.union(others[: most - len(keep)])


def _standing(trial: FrozenTrial, maximize: bool) -> tuple[bool, float, float, int]:
    """Return a key that sorts as TPE ranks trials: complete ones by value, then pruned ones by how far they came."""
    sign = -1 if maximize else 1
    if trial.state == TrialState.COMPLETE and trial.value is not None:
        return False, sign * trial.value, 0.0, trial.number
    step, value = max(trial.intermediate_values.items(), default=(-1, 0.0))
    return True, -step, math.inf if math.isnan(value) else sign * value, trial.number


def _lot(seed: int, number: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{number}".encode(), digest_size=8).digest()
