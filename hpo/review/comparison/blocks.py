"""Trials that are equal but for the choice: where there are enough, they are compared in pairs.

What the other parameters and the seed do to both alike then cancels out. Parameters that are active with one choice
only (`when` names the parameter) belong to the choice.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.review.comparison.courses import RankedCourses, TrialCourse, advantages
from hpo.review.comparison.values import Pairing
from hpo.spec.conditions import identity_of
from hpo.spec.space import Space

FEWEST = 6  # blocks: with fewer no difference could be shown (2 / 2**5 > 0.05)
_SHARE = 0.5  # of the trials of both choices must be in blocks


@dataclass(frozen=True)
class PairedTrials:
    """Blocks of two choices. differences: left minus right, of each block; the median where it holds several."""

    pairing: Pairing
    differences: np.ndarray
    trials: tuple[int, int]


def parts_of_choice(spaces: Sequence[Space], name: str | None) -> Set[str]:
    """Return the parameters that belong to the choice: itself, and those that depend on it."""
    found = set() if name is None else {name}
    for space in spaces:
        for parameter in space.parameters:  # each stands behind those its `when` names
            if found & set(parameter.when):
                found.add(parameter.name)
    return found


def paired_trials(
    left: Sequence[TrialCourse],
    right: Sequence[TrialCourse],
    ranked: tuple[RankedCourses, RankedCourses],
    own: Set[str],
    across: bool,
) -> PairedTrials | None:
    """Return the pairs of two choices' trials; None if there are too few. ranked: the same trials. own: parameters that
    belong to the choice. across: the choices are studies, so a block goes across them."""
    pairings: tuple[Pairing, ...] = ("configuration and seed", "configuration")
    for pairing in pairings:
        with_seed = pairing == "configuration and seed"
        blocks = [_blocks(side, own, across, with_seed) for side in (left, right)]
        shared = sorted(blocks[0].keys() & blocks[1].keys())
        rows = [[side[block] for block in shared] for side in blocks]
        used = sum(map(len, rows[0])), sum(map(len, rows[1]))
        if len(shared) >= FEWEST and used[0] >= _SHARE * len(left) and used[1] >= _SHARE * len(right):
            differences = [
                _median(advantages(ranked[0][np.array(first)], ranked[1][np.array(second)]))
                for first, second in zip(*rows, strict=True)
            ]
            return PairedTrials(pairing, np.array(differences), used)
    return None


def _blocks(side: Sequence[TrialCourse], own: Set[str], across: bool, with_seed: bool) -> dict[str, list[int]]:
    """Return the places of trials by what they must share."""
    found: dict[str, list[int]] = {}
    for place, course in enumerate(side):
        rest = {name: value for name, value in course.params.items() if name not in own}
        key: list[Any] = [rest, course.seed if with_seed else None, None if across else course.study]
        found.setdefault(identity_of(key), []).append(place)
    return found


def _median(values: np.ndarray) -> float:
    ordered = np.sort(values, axis=None)
    below, above = float(ordered[(len(ordered) - 1) // 2]), float(ordered[len(ordered) // 2])
    if below == above:
        return below
    return (below + above) / 2 if np.isfinite(below) or np.isfinite(above) else 0.0
