"""How rows are cut into training and validation, other than once for all trials. The test rows are never part of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fold:
    """The rows are in `of` folds, the same for all trials; this one (from 0) validates, the others train."""

    index: int
    of: int


@dataclass(frozen=True)
class Reshuffle:
    """The rows are shared out anew, by this seed, in the usual shares."""

    seed: int


Cut = Fold | Reshuffle
