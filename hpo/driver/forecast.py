"""How long a sweep still takes: what is left is dealt out to the workers in thought, with durations drawn from those
that assignments have had so far.

A rate of ends would be wrong for most sweeps: trials that are stopped end first, so that it falls; a cohort's end
together; and in the end workers stand idle while the last ones finish. An assignment that still runs is known to last
longer than it has: its duration is drawn from those that are longer than its age. Each draw of the whole deals with
other durations, which may as well be the true ones: how far the draws lie apart says how sure the forecast is.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpo.driver.lifetimes import Lifetime, Lifetimes

_DRAWS, _FEWER = 31, 15  # that the median is taken of; with many assignments fewer
_MANY = 300  # assignments
_MOST = 500  # assignments that are dealt out one by one; the rest at their mean
_SEED = 20
_MEANT = 8.0  # trials that the stopping rule's own word counts for
_APART, _FEWEST = 2.0, 5  # factor between sizes, and assignments, that tell how durations grow with the size
_LONGER = 0.3  # of its age: so much longer lasts one that has lasted longer than any that was seen
# What no number of draws from what was seen tells, as logarithms (scripts/benchmark forecast): assignments to come are
# of other kinds than the few that were seen, and a stopping rule becomes stricter still.
_OTHER_KINDS = 0.5  # over the root of how many were seen
_STRICTER, _STRICTER_BY = 0.15, 0.4  # mean and deviation
_FEW_JUDGED = 1.5  # more of the deviation, over the root of how many were judged
_WIDER = 1.5  # power of what lies between the median and either end of most draws: these are too sure of themselves
_SURE = 1.5  # between the median and either end: beyond, there are two numbers


@dataclass(frozen=True)
class SeenAssignment:
    """One that has ended, or runs for so long. trials: it began with; whole: the seconds that it takes if none of its
    trials is stopped, None: not known, but not less than `least`; open: trials that go on."""

    seconds: float
    trials: int
    ended: bool
    whole: float | None = None
    least: float = 0.0
    open: int = 1


@dataclass(frozen=True)
class Lasting:
    """How far trials get, as parts of the whole. seen: of trials; meant: parts after which the stopping rule stops
    trials, and the share that goes on; awaited: complete trials without which it stops none; stops: whether it ever
    does."""

    seen: Sequence[Lifetime]
    meant: Sequence[tuple[float, float]] = ()
    awaited: int = 0
    stops: bool = False

    @property
    def parts(self) -> list[Lifetime]:
        """What the parts that trials last are drawn from, once the rule stops any."""
        meant = _as_seen(self.meant) if self.meant else []
        if self.awaited and meant:  # nobody was judged so far
            return meant
        return [*self.seen, *meant] or [(1.0, False, 1.0)]


def _as_seen(meant: Sequence[tuple[float, float]]) -> list[Lifetime]:
    """Return what the stopping rule means, as if so many trials had been seen to do so."""
    left = 1.0
    found = []
    for part, share in meant:
        found.append((part, False, _MEANT * (left - share)))
        left = share
    return [*found, (1.0, False, _MEANT * left)]


class Durations:
    """How long assignments last: the time that a whole one takes, and which part of that time it lasts until the last
    of its trials is over. Where the whole is not known, that part is the time itself, in seconds. Each is one draw of
    what these may be, as far as what was seen tells."""

    def __init__(
        self, seen: Sequence[SeenAssignment], lasting: Lasting, lot: random.Random, doubts: tuple[float, float]
    ) -> None:
        """doubts: how far, in standard deviations, this draw is from what wholes and stops are most likely."""
        self._known = any(each.whole is not None for each in seen)
        self._growth = _growth(seen, self._known)
        wholes: list[Lifetime] = [(1.0, False, 1.0)]
        parts = lasting.parts
        if self._known:
            wholes = [
                ((each.whole or each.least) / each.trials**self._growth, each.whole is None, 1.0)
                for each in seen
                if each.whole or each.least
            ]
        elif not lasting.seen or any(each.trials > 1 for each in seen):
            parts = [(each.seconds / each.trials**self._growth, not each.ended, 1.0) for each in seen]
        self._wholes = Lifetimes.resampled(wholes, lot)
        self._parts = Lifetimes.resampled(parts, lot)
        self._slower = math.exp(doubts[0] * _OTHER_KINDS / math.sqrt(len(seen)))
        judged = 0 if lasting.awaited else sum(not larger for _, larger, _ in lasting.seen)
        doubt = doubts[1] * math.hypot(_STRICTER_BY, _FEW_JUDGED / math.sqrt(judged + 4))
        self._hazard = math.exp(_STRICTER + doubt) if lasting.stops else 1.0
        self._lot = lot

    def draw(self, trials: int, to_the_end: bool = False) -> float:
        """Return the seconds that an assignment of so many trials takes. to_the_end: none is stopped."""
        return self._whole(0.0) * float(trials**self._growth) * self._part(0.0, trials, to_the_end)

    def draw_rest(self, running: SeenAssignment, to_the_end: bool = False) -> float:
        """Return the seconds that one still takes that runs."""
        scale = float(running.trials**self._growth)
        whole = running.whole or self._whole(running.least / scale) * scale
        part = self._part(running.seconds / whole, running.open, to_the_end)
        return max(0.0, whole * part - running.seconds)

    def _whole(self, least: float) -> float:
        drawn = self._wholes.draw(self._lot, least)
        return self._slower * (max(self._wholes.largest, least) * (1 + _LONGER) if drawn is None else drawn)

    def _part(self, beyond: float, trials: int, to_the_end: bool) -> float:
        """Return a part of the whole that is larger than one that has passed: the largest of so many trials'."""
        if to_the_end and self._known:
            return max(1.0, beyond)
        drawn = self._parts.draw(self._lot, beyond, trials, self._hazard)
        if drawn is not None:
            return drawn
        return max(1.0, beyond) if self._known else max(self._parts.largest, beyond * (1 + _LONGER))


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
    how many trials an assignment gets when so many are left; failing: the share of trials that must be run again."""

    running: Sequence[SeenAssignment]
    trials: int
    workers: int
    size: Callable[[int], int]
    failing: float = 0.0


@dataclass(frozen=True)
class TimeLeft:
    """Seconds. median: of what was drawn; low, high: between them the time lies in nine of ten cases, about."""

    median: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether the median alone says enough."""
        return self.low * _SURE >= self.median and self.high <= self.median * _SURE


def seconds_left(remaining: Remaining, ended: Sequence[SeenAssignment], lasting: Lasting) -> TimeLeft | None:
    """Return how many seconds a sweep still takes; None while nothing can be said."""
    seen = [*ended, *remaining.running]
    if not ended and not any(each.whole for each in remaining.running):
        return None
    if remaining.trials and not remaining.workers and not remaining.running:  # nobody takes them
        return None
    lot = random.Random(_SEED)
    draws = _FEWER if len(remaining.running) + remaining.trials > _MANY else _DRAWS
    doubts = [statistics.NormalDist().inv_cdf((place + 0.5) / draws) for place in range(draws)]
    others = lot.sample(doubts, draws)
    drawn = sorted(
        _Rest(remaining, Durations(seen, lasting, lot, pair), lasting.awaited, lot).take()
        for pair in zip(doubts, others, strict=True)
    )
    low, median, high = drawn[draws // 16], statistics.median(drawn), drawn[-1 - draws // 16]
    if low <= 0.0:
        return TimeLeft(median, low, high)
    return TimeLeft(median, median * (low / median) ** _WIDER, median * (high / median) ** _WIDER)


class _Rest:
    """The rest of a sweep, as it may go."""

    def __init__(self, remaining: Remaining, durations: Durations, awaited: int, lot: random.Random) -> None:
        self._remaining = remaining
        self._durations = durations
        self._awaited = awaited
        self._lot = lot
        self._trials = remaining.trials

    def take(self) -> float:
        """Return how many seconds it takes."""
        remaining, durations, dealt = self._remaining, self._durations, 0
        ends = self._running_ends()
        ends += [0.0] * (remaining.workers - len(ends))
        heapq.heapify(ends)
        latest = max(ends, default=0.0)
        while self._trials > 0:
            size = max(1, min(self._trials, remaining.size(self._trials)))
            if dealt >= _MOST:  # every worker gets as much of the rest
                rounds = self._trials / size / max(1, remaining.workers)
                mean = statistics.fmean(durations.draw(size) for _ in range(20))
                return heapq.heappop(ends) + rounds * mean
            end = heapq.heappop(ends) + durations.draw(size, self._awaited > 0)
            heapq.heappush(ends, end)
            latest = max(latest, end)
            self._awaited -= size
            self._trials += self._failed(size) - size
            dealt += 1
        return latest

    def _running_ends(self) -> list[float]:
        """Return after how many seconds the workers are free that have something. As long as complete trials are
        awaited, all go on; those that run then are judged from there on."""
        durations, running = self._durations, self._remaining.running
        left = [durations.draw_rest(each, self._awaited > 0) for each in running]
        if self._awaited > 0:
            left = self._judged_later(left)
        for place, each in enumerate(running):
            if failed := self._failed(each.open):
                self._trials += failed
                left[place] *= self._lot.random() if each.trials == 1 else 1.0
        return left

    def _judged_later(self, left: list[float]) -> list[float]:
        found, since = list(left), math.inf
        for place in sorted(range(len(left)), key=lambda place: left[place]):
            each = self._remaining.running[place]
            if self._awaited > 0:
                self._awaited -= each.open
                since = left[place]
            else:
                then = dataclasses.replace(each, seconds=each.seconds + since, whole=each.seconds + left[place])
                found[place] = since + self._durations.draw_rest(then)
        return found

    def _failed(self, trials: int) -> int:
        """Return how many of so many trials are to be run again."""
        if not self._remaining.failing:
            return 0
        return sum(self._lot.random() < self._remaining.failing for _ in range(trials))
