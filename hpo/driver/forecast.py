"""How long a sweep still takes: what is left is dealt out to the workers in thought, with durations drawn from those
that assignments have had so far.

A rate of ends would be wrong for most sweeps: trials that are stopped end first, so that it falls; a cohort's end
together; and in the end workers stand idle while the last ones finish. An assignment that still runs is known to last
longer than it has: durations are drawn from the estimate of Kaplan and Meier (Journal of the American Statistical
Association 53, 1958), for one that runs from those that are longer than its age.
"""

from __future__ import annotations

import heapq
import math
import random
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_DRAWS, _FEWER = 31, 9  # that the median is taken of; with many assignments fewer
_MANY = 300  # assignments
_MOST = 500  # assignments that are dealt out one by one; the rest at their mean
_SEED = 20
_MEANT = 150.0  # assignments that the stopping rule's own word counts for
_APART, _FEWEST = 2.0, 5  # factor between sizes, and assignments, that tell how durations grow with the size
_LONGER = 0.3  # of its age: so much longer lasts one that has lasted longer than any that was seen


@dataclass(frozen=True)
class SeenAssignment:
    """One that has ended, or runs for so long. trials: it began with; whole: the seconds that it takes if none of its
    trials is stopped, None: not known, but not less than `least`."""

    seconds: float
    trials: int
    ended: bool
    whole: float | None = None
    least: float = 0.0


Lifetime = tuple[float, bool, float]  # a value, whether it is only known to be larger than that, and its weight


class Lifetimes:
    """Values of which some are only known to be larger (Kaplan and Meier); at least one."""

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

    def draw(self, lot: random.Random, beyond: float = 0.0) -> float | None:
        """Return one of those that are larger than `beyond`; None: one that is larger than all that are known."""
        before = self._lost[bisect_right(self._ends, beyond)]
        place = bisect_left(self._lost, before + (1 - before) * (1 - lot.random()))
        return self._ends[place - 1] if place < len(self._lost) else None


class Durations:
    """How long assignments last, by those that ended and those that run: the time that a whole one takes, and which
    part of that time it lasts until the last of its trials is over. Where the whole is not known, that part is the
    time itself, in seconds."""

    def __init__(self, seen: Sequence[SeenAssignment], meant: Sequence[tuple[float, float]] = ()) -> None:
        """meant: parts of the whole after which the stopping rule stops trials, and the share that goes on."""
        self._known = any(each.whole is not None for each in seen)
        self.growth = _growth(seen, self._known)
        wholes = [
            ((each.whole or each.least) / each.trials**self.growth, each.whole is None, 1.0)
            for each in seen
            if each.whole or each.least
        ]
        self._wholes = Lifetimes(wholes if self._known else [(1.0, False, 1.0)])
        self._typical = statistics.median(whole for whole, larger, _ in wholes if not larger) if self._known else 1.0
        parts = [(each.seconds / self._whole(each), not each.ended, 1.0) for each in seen]
        if self._known and meant:
            parts += _meant(meant, round(statistics.fmean(each.trials for each in seen)))
        self._parts = Lifetimes(parts)

    def _whole(self, seen: SeenAssignment) -> float:
        """Return the seconds that one takes as a whole, or about that."""
        return seen.whole or max(seen.least, self._typical * float(seen.trials**self.growth))

    def draw(self, lot: random.Random, trials: int) -> float:
        """Return the seconds that an assignment of so many trials takes."""
        return self._drawn_whole(lot, 0.0) * float(trials**self.growth) * self._part(lot, 0.0)

    def draw_rest(self, lot: random.Random, running: SeenAssignment) -> float:
        """Return the seconds that one still takes that runs."""
        scale = float(running.trials**self.growth)
        whole = running.whole or self._drawn_whole(lot, running.least / scale) * scale
        return max(0.0, whole * self._part(lot, running.seconds / whole) - running.seconds)

    def _drawn_whole(self, lot: random.Random, least: float) -> float:
        drawn = self._wholes.draw(lot, least)
        return max(self._wholes.largest, least) * (1 + _LONGER) if drawn is None else drawn

    def _part(self, lot: random.Random, beyond: float) -> float:
        """Return a part of the whole that is larger than one that has passed."""
        drawn = self._parts.draw(lot, beyond)
        if drawn is not None:
            return drawn
        return max(1.0, beyond) if self._known else max(self._parts.largest, beyond * (1 + _LONGER))


def _meant(meant: Sequence[tuple[float, float]], trials: int) -> list[Lifetime]:
    """Return when assignments of so many trials end if the stopping rule does as it is meant to, as if so many had been
    seen. The first trials of a sweep have nothing to be worse than, so more of them go on than later ones."""
    left = 1.0
    found = []
    for part, share in meant:
        lasts = 1 - (1 - share) ** trials
        found.append((part, False, _MEANT * (left - lasts)))
        left = lasts
    return [*found, (1.0, False, _MEANT * left)]


def _growth(seen: Sequence[SeenAssignment], whole: bool) -> float:
    """Return the power of an assignment's size that its duration grows with: 0 where a cohort takes as long as one
    trial, 1 where its trials take their turns."""
    if whole:
        points = [(math.log(each.trials), math.log(each.whole)) for each in seen if each.whole]
    else:
        points = [(math.log(each.trials), math.log(each.seconds)) for each in seen if each.ended and each.seconds > 0]
    sizes = [size for size, _ in points]
    if len(set(sizes)) < 2:
        return 0.0 if max((each.trials for each in seen), default=1) == 1 else 0.5
    if max(sizes) - min(sizes) < math.log(_APART) or len(points) < _FEWEST:
        return 0.5
    return min(1.0, max(0.0, statistics.linear_regression(*zip(*points, strict=True)).slope))


@dataclass(frozen=True)
class Remaining:
    """What a sweep has left. running: assignments; trials: that are to begin; workers: that take the next ones; size:
    how many trials an assignment gets when so many are left."""

    running: Sequence[SeenAssignment]
    trials: int
    workers: int
    size: Callable[[int], int]


def seconds_left(
    remaining: Remaining, ended: Sequence[SeenAssignment], meant: Sequence[tuple[float, float]] = ()
) -> float | None:
    """Return how many seconds a sweep still takes, the median of several draws; None while nothing can be said."""
    if not ended and not any(each.whole for each in remaining.running):
        return None
    durations = Durations([*ended, *remaining.running], meant)
    lot = random.Random(_SEED)
    draws = _FEWER if len(remaining.running) + remaining.trials > _MANY else _DRAWS
    return statistics.median(_drawn(remaining, durations, lot) for _ in range(draws))


def _drawn(remaining: Remaining, durations: Durations, lot: random.Random) -> float:
    ends = [durations.draw_rest(lot, each) for each in remaining.running]
    ends += [0.0] * (remaining.workers - len(ends))
    heapq.heapify(ends)
    trials, dealt, latest = remaining.trials, 0, max(ends, default=0.0)
    while trials > 0:
        size = max(1, min(trials, remaining.size(trials)))
        if dealt >= _MOST:  # every worker gets as much of the rest
            rounds = trials / size / max(1, remaining.workers)
            mean = statistics.fmean(durations.draw(lot, size) for _ in range(20))
            return heapq.heappop(ends) + rounds * mean
        begin = heapq.heappop(ends)
        end = begin + durations.draw(lot, size)
        heapq.heappush(ends, end)
        latest = max(latest, end)
        trials, dealt = trials - size, dealt + 1
    return latest
