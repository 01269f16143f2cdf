"""How far trials get: those that were seen are judged again, by the stopping rule as it stands now.

A rule grows stricter while a sweep runs: its rungs fill, there are complete trials to be compared with, and what was
good enough is overtaken. So what the first trials lasted says too much of what the next ones will.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from hpo.driver.lifetimes import Lifetime
from hpo.stopping.base import Course, StoppingRule

_LOOKED_AT = 120  # trials, the latest that began
_STEPS = 200  # of a trial that are kept


@dataclass
class _Life:
    """A trial that has begun. whole: its assignment's epochs; 0: not known, or its steps mean nothing."""

    course: Course
    since: float
    whole: int
    moments: dict[int, float] = field(default_factory=dict)  # seconds after which its steps were reported
    ended: float | None = None  # after so many seconds
    stopped: bool = False

    def part(self, step: int, seconds: float) -> float:
        return step / self.whole if self.whole else max(seconds, 1e-6)


class Lives:
    """Keeps what trials report. How far they get is a share of the epochs of their assignment; where these tell
    nothing, seconds."""

    def __init__(self, rule: StoppingRule, sign: int) -> None:
        """rule: which knows the trials, and is only asked; sign: -1 where more of the metric is better."""
        self._rule = rule
        self._sign = sign
        self._lives: dict[int, _Life] = {}  # in the order in which they began

    @property
    def awaited(self) -> int:
        """How many more trials must be complete before any is stopped."""
        return self._rule.awaited

    def begin(self, number: int, epochs: int | None, now: float, repeats: int | None = None) -> None:
        """epochs: of its assignment, where its steps are epochs; repeats: the first of the interrupted trials that it
        repeats."""
        self._lives[number] = _Life(Course(number, repeats=repeats), now, epochs or 0)

    def report(self, number: int, step: int, value: float | None, now: float) -> None:
        """value: of the sweep's metric."""
        life = self._lives.get(number)
        if life is None or len(life.moments) >= _STEPS:
            return
        life.moments.setdefault(step, now - life.since)
        if value is not None:
            life.course.values.setdefault(step, self._sign * value)

    def end(self, number: int, stopped: bool, now: float) -> None:
        """stopped: by the rule."""
        if (life := self._lives.get(number)) is not None:
            life.ended, life.stopped = now - life.since, stopped
        if len(self._lives) > 4 * _LOOKED_AT:
            over = [number for number, life in self._lives.items() if life.ended is not None]
            for number in over[: 2 * _LOOKED_AT]:
                del self._lives[number]

    def forget(self, number: int) -> None:
        """Take in that a trial failed or will be run again."""
        self._lives.pop(number, None)

    def seen(self, now: float) -> list[Lifetime]:
        """Return how far each of the latest trials would get if it began now."""
        latest = itertools.islice(self._lives.values(), max(0, len(self._lives) - _LOOKED_AT), None)
        found = [self._judged(life, now) for life in latest]
        return [lifetime for lifetime in found if lifetime[0] > 0]

    def _judged(self, life: _Life, now: float) -> Lifetime:
        complete = life.ended is not None and not life.stopped
        step = self._rule.would_stop(life.course, complete)
        if step is not None:
            return life.part(step, life.moments[step]), False, 1.0
        seconds = now - life.since if life.ended is None else life.ended
        return life.part(max(life.moments, default=0), seconds), not complete, 1.0
