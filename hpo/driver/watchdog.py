"""Trials that take too long: when they are told to stop, and when their worker is killed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

_GRACE = 5.0  # seconds that a trial has to obey, at least; else a tenth of its limit
_AWAY = 2.0  # seconds between two looks: by then the driver itself stood still
_BETWEEN_LOOKS = 0.2  # seconds: with many workers a look takes longer than what has just happened


@dataclass(frozen=True)
class Overdue:
    """Trials of an assignment that must end. kill: they were told and did not obey, or are silent."""

    assignment: int
    numbers: frozenset[int]
    reason: str
    kill: bool

    @property
    def alone(self) -> bool:
        return len(self.numbers) == 1


@dataclass
class _Watched:
    open: set[int]
    since: float
    heard: float
    told: float = math.inf  # when its trials were told to stop


class Watchdog:
    """Watches the assignments that workers have. Knows no engine: the driver tells it what happens, and asks.

    A trial that is over `trial_seconds` is told to stop, which it can at its next report; a worker that does not get
    there soon after is killed. The members of a cohort share a processor, so a cohort has `trial_seconds` for each
    member that is still in it, and is killed then. So is a worker of which nothing was heard for `stall_seconds`.
    """

    def __init__(self, trial_seconds: float | None, stall_seconds: float | None, clock: Callable[[], float]) -> None:
        self._trial_seconds = trial_seconds
        self._stall_seconds = stall_seconds
        self._clock = clock
        self._watched: dict[int, _Watched] = {}
        self._looked = clock()
        self._busy = time.process_time()  # of the driver, when it last looked

    def begin(self, assignment: int, numbers: Collection[int]) -> None:
        now = self._clock()
        self._watched[assignment] = _Watched(set(numbers), now, now)

    def heard(self, assignment: int, ended: Collection[int]) -> None:
        """Take in that a worker has reported, and that some of its trials have ended."""
        if (watched := self._watched.get(assignment)) is not None:
            watched.heard = self._clock()
            watched.open -= set(ended)

    def forgive(self, seconds: float) -> None:
        """Take in that the driver itself stood still, and heard nobody: suspended, or on a laptop that was closed."""
        for watched in self._watched.values():
            watched.since += seconds
            watched.heard += seconds
            watched.told += seconds

    def done(self, assignment: int) -> None:
        self._watched.pop(assignment, None)

    def look(self) -> list[Overdue]:
        """Return what is overdue, if it is time to look again. Call it often: a long time between two calls is one in
        which the driver itself stood still."""
        now = self._clock()
        away = now - self._looked
        if 0 <= away < _BETWEEN_LOOKS:
            return []
        busy, self._busy = time.process_time() - self._busy, time.process_time()
        if abs(away) > _AWAY:  # or the clock was set
            self.forgive(away - busy)  # asking may take long, and trials go on meanwhile
        self._looked = now
        return self.overdue()

    def overdue(self) -> list[Overdue]:
        """Return what has to be done now; each thing is returned once."""
        if self._trial_seconds is None and self._stall_seconds is None:
            return []
        found = [self._look_at(number, watched) for number, watched in self._watched.items() if watched.open]
        return [overdue for overdue in found if overdue is not None]

    def _look_at(self, assignment: int, watched: _Watched) -> Overdue | None:
        now, numbers = self._clock(), frozenset(watched.open)
        stall, limit = self._stall_seconds, self._trial_seconds
        if stall is not None and now - watched.heard > stall:
            watched.open.clear()  # the engine reports their ends
            return Overdue(assignment, numbers, f"no report for budget.stall_seconds={stall:g}", kill=True)
        if limit is None:
            return None
        reason = f"longer than budget.trial_seconds={limit:g}"
        if now - watched.told > max(_GRACE, limit / 10):
            watched.open.clear()
            return Overdue(assignment, numbers, reason, kill=True)
        if now - watched.since > limit * len(numbers) and watched.told == math.inf:
            watched.told = now
            if len(numbers) > 1:
                watched.open.clear()
            return Overdue(assignment, numbers, reason, kill=len(numbers) > 1)
        return None
