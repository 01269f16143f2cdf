"""Which choices differ: each two of them tested, in pairs where there are enough, and corrected for their number."""

from __future__ import annotations

import itertools
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np

from hpo.review.comparison.blocks import PairedTrials, paired_trials
from hpo.review.comparison.chance import LEVEL, Effect, holm, paired, representatives, unpaired
from hpo.review.comparison.courses import RankedCourses, TrialCourse, advantages, is_comparable, ranked
from hpo.review.comparison.grouping import TrialGroup
from hpo.review.comparison.values import ChoiceDifference


@dataclass(frozen=True)
class _Tested:
    """Two choices, and what their trials say; None: too few can be compared."""

    labels: tuple[str, str]
    trials: tuple[int, int]
    effect: Effect | None
    blocks: PairedTrials | None

    @property
    def could_show(self) -> bool:
        """Whether so many trials could show a difference at all, however large it is."""
        return self.effect is not None and self.effect.least <= LEVEL

    def told(self, p_holm: float | None) -> ChoiceDifference:
        """Return the difference, the better choice on the left. p_holm: None if it could not be shown."""
        left, right = self.labels
        effect, trials = self.effect, self.trials
        if effect is None:
            nothing = None, (None, None)
            return ChoiceDifference(left, right, "too few trials", *nothing, *nothing, None, None, "none", 0, trials)
        signs = effect.wins - 0.5, effect.shift  # the test of pairs goes by how large differences are, not how many
        if (signs if self.blocks is None else signs[::-1]) < (0.0, 0.0):
            left, right, effect, trials = right, left, effect.turned, (trials[1], trials[0])
        return ChoiceDifference(
            left=left,
            right=right,
            finding="too few trials" if p_holm is None else "better" if p_holm <= LEVEL else "not shown",
            wins=effect.wins,
            wins_interval=effect.wins_interval,
            shift=effect.shift,
            shift_interval=effect.shift_interval,
            p=effect.p,
            p_holm=p_holm,
            pairing=self.blocks.pairing if self.blocks else "none",
            pairs=len(self.blocks.differences) if self.blocks else 0,
            trials=trials,
        )


def differences_of(
    groups: Sequence[TrialGroup], sign: float, own: Set[str], across: bool
) -> tuple[ChoiceDifference, ...]:
    """Return the differences of each two choices that have trials, the clearest first.

    sign: -1 where the metric is minimized. own: parameters that belong to the choice. across: the choices are studies.
    """
    there = [(group.label, [course for course in group.courses if is_comparable(course)]) for group in groups]
    courses = [course for _, found in there for course in found]
    arrays = ranked(courses, sign)
    ends = list(itertools.accumulate(len(found) for _, found in there))
    parts = [arrays[np.arange(end - len(found), end)] for end, (_, found) in zip(ends, there, strict=True)]
    tested = [
        _tested((left, right), (of_left, of_right), (first, second), own, across)
        for ((left, of_left), first), ((right, of_right), second) in itertools.combinations(
            zip(there, parts, strict=True), 2
        )
        if of_left and of_right
    ]
    corrected = iter(holm([pair.effect.p for pair in tested if pair.effect is not None and pair.could_show]))
    found = [pair.told(next(corrected) if pair.could_show else None) for pair in tested]
    return tuple(sorted(found, key=lambda each: (each.p_holm is None, each.p_holm or 0.0, each.p or 0.0)))


def _tested(
    labels: tuple[str, str],
    courses: tuple[Sequence[TrialCourse], Sequence[TrialCourse]],
    arrays: tuple[RankedCourses, RankedCourses],
    own: Set[str],
    across: bool,
) -> _Tested:
    left, right = courses
    blocks = paired_trials(left, right, arrays, own, across)
    if blocks is not None:
        return _Tested(labels, blocks.trials, paired(blocks.differences), blocks)
    first, second = representatives(len(left), len(right)), representatives(len(right), len(left))
    some = [[side[place] for place in places] for side, places in ((left, first), (right, second))]
    strata = [np.array([_stratum(course, across) for course in side], dtype=int) for side in some]
    both = RankedCourses.joined(arrays[0][first], arrays[1][second])
    return _Tested(labels, (len(first), len(second)), unpaired(advantages(both, both), *strata), None)


def _stratum(course: TrialCourse, across: bool) -> int:
    """Return what two trials must have in common to be compared: their study, and where its sampler learns the part of
    the sweep. Studies that are compared with each other have nothing in common."""
    return 0 if across else course.study * 1000 + course.part
