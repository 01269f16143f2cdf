"""What the workers do, and how long the sweep still takes: kept for those who look on."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hpo.driver.forecast import Remaining, SeenAssignment, seconds_left
from hpo.events import Event, Failed, Reported, TrialSpec
from hpo.spec.sweep import Sweep
from hpo.standing import MOST_BUSY, BusyWorker, Standing

_REMEMBERED = 400  # assignments that ended: of a long sweep the latest ones
_AT_MOST = 0.1  # of the time that is left, between two forecasts
_LEAST = 1.0  # seconds between two forecasts


@dataclass
class _Taken:
    """An assignment that a worker has. open: its trials that have not ended."""

    specs: tuple[TrialSpec, ...]
    since: float
    open: set[int]
    step: int = 0  # the latest that was reported
    stepped: float = 0.0  # when

    @property
    def epochs(self) -> int | None:
        """The most that one of its trials trains; None: not known."""
        known = [spec.epochs for spec in self.specs if spec.epochs is not None]
        return max(known) if len(known) == len(self.specs) else None

    def seen(self, now: float, ended: bool, each_epoch: bool) -> SeenAssignment:
        seconds, epochs = max(now - self.since, 1e-6), self.epochs
        if not each_epoch or epochs is None or self.step > epochs:
            return SeenAssignment(seconds, len(self.specs), ended)
        if not self.step:
            return SeenAssignment(seconds, len(self.specs), ended, least=seconds * epochs)
        whole = max(self.stepped - self.since, 1e-6) * epochs / self.step  # a clock may be set back
        return SeenAssignment(seconds, len(self.specs), ended, whole)


@dataclass
class _Endings:
    results: int = 0
    failures: int = 0
    seen: deque[SeenAssignment] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


class Pace:
    """Follows assignments from their begin to their end. The driver tells it what happens, and asks."""

    def __init__(self, sweep: Sweep, standing: Standing, clock: Callable[[], float]) -> None:
        most = sweep.max_epochs()
        self._each_epoch = sweep.traits.reports_each_epoch  # so how far trials are is known
        self._meant = [(step / most, share) for step, share in sweep.early_terminate.lasting(most)] if most else []
        self._standing = standing
        self._clock = clock
        self._taken: dict[int, _Taken] = {}
        self._ends = _Endings()
        self._sizes = 0, 0  # of all assignments: trials, and how many were planned
        self._forecast: float | None = None  # when the sweep ends, by the clock
        self._asked = -1.0  # when that was worked out

    def begin(self, assignment: int, specs: Sequence[TrialSpec], planned: int) -> None:
        """planned: how many trials it would have if all were of one shape."""
        self._sizes = self._sizes[0] + len(specs), self._sizes[1] + planned
        now = self._clock()
        self._taken[assignment] = _Taken(tuple(specs), now, {spec.number for spec in specs}, 0, now)

    def heard(self, assignment: int, events: Sequence[Event]) -> None:
        if (taken := self._taken.get(assignment)) is None:
            return
        for event in events:
            if isinstance(event, Reported):
                taken.step, taken.stepped = max(taken.step, event.step), self._clock()
            else:
                taken.open.discard(event.number)
                self._ends.failures += isinstance(event, Failed)
                self._ends.results += not isinstance(event, Failed)

    def done(self, assignment: int) -> None:
        if (taken := self._taken.pop(assignment, None)) is not None:
            self._ends.seen.append(taken.seen(self._clock(), True, self._each_epoch))

    def look(self, workers: int, trials: int, size: Callable[[int], int], limit: float | None) -> None:
        """Bring the standing's activity up to date.

        workers: of the engine; trials: that are to begin to fill the budget; size: of the next assignment, when so many
        trials are left; limit: seconds after which the sweep ends in any case.
        """
        now, activity = self._clock(), self._standing.activity
        activity.workers, activity.working = workers, len(self._taken)
        activity.busy = [
            BusyWorker(min(taken.open), len(taken.open), taken.step, taken.epochs, now - taken.since)
            for taken in itertools.islice(self._taken.values(), MOST_BUSY)
            if taken.open
        ]
        if self._is_stale(now):
            running = [taken.seen(now, False, self._each_epoch) for taken in self._taken.values()]
            lost = (self._ends.failures + 1) / (self._ends.failures + self._ends.results + 2)
            begin = round(trials / (1 - lost)) if self._ends.failures else trials
            left = seconds_left(Remaining(running, begin, workers, self._fitted(size)), self._ends.seen, self._meant)
            self._forecast = None if left is None else now + left
            self._asked = now
        left = None if self._forecast is None else max(0.0, self._forecast - now)
        activity.left = left if limit is None or left is None else min(left, limit)

    def _fitted(self, size: Callable[[int], int]) -> Callable[[int], int]:
        """Return the sizes that assignments have as trials are of several shapes."""
        have, planned = self._sizes
        return lambda left: max(1, round(size(left) * min(1.0, have / max(1, planned))))

    def _is_stale(self, now: float) -> bool:
        if self._forecast is None:
            return now - self._asked >= _LEAST
        return abs(now - self._asked) >= max(_LEAST, _AT_MOST * max(0.0, self._forecast - self._asked))
