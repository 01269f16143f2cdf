"""What the workers do, and how long the sweep still takes: kept for those who look on."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hpo.driver.forecast import Lasting, Remaining, SeenAssignment, TimeLeft, seconds_left
from hpo.driver.lives import Lives
from hpo.events import Event, Failed, Paused, Reported, Returned, Stopped, TrialSpec, is_last
from hpo.spec.sweep import Sweep
from hpo.standing import MOST_BUSY, BusyWorker, Standing
from hpo.stopping.base import StoppingRule

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
        open_ = max(1, len(self.open))
        if not each_epoch or epochs is None or self.step > epochs:
            return SeenAssignment(seconds, len(self.specs), ended, open=open_)
        if not self.step:
            return SeenAssignment(seconds, len(self.specs), ended, least=seconds * epochs, open=open_)
        whole = max(self.stepped - self.since, 1e-6) * epochs / self.step  # a clock may be set back
        return SeenAssignment(seconds, len(self.specs), ended, whole, open=open_)


@dataclass
class _Endings:
    results: int = 0
    failures: int = 0
    seen: deque[SeenAssignment] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


class Pace:
    """Follows assignments from their begin to their end. The driver tells it what happens, and asks."""

    def __init__(
        self,
        sweep: Sweep,
        standing: Standing,
        clock: Callable[[], float],
        rule: StoppingRule,
        repeats: Callable[[int], int | None],
    ) -> None:
        """repeats: asked which interrupted trial a trial of this number repeats, the first of several."""
        self._metric = sweep.metric.name
        self._repeats = repeats
        self._lives = Lives(rule, -1 if sweep.metric.goal == "maximize" else 1)
        self._stops = sweep.early_terminate.type != "none"
        most = sweep.max_epochs()
        self._each_epoch = sweep.traits.reports_each_epoch  # so how far trials are is known
        self._meant = [(step / most, share) for step, share in sweep.early_terminate.lasting(most)] if most else []
        self._standing = standing
        self._clock = clock
        self._began = clock()
        self._taken: dict[int, _Taken] = {}
        self._ends = _Endings()
        self._sizes = 0, 0  # of all assignments: trials, and how many were planned
        self._forecast: TimeLeft | None = None  # when it was worked out last
        self._asked = -math.inf  # when that was worked out

    def begin(self, assignment: int, specs: Sequence[TrialSpec], planned: int) -> None:
        """planned: how many trials it would have if all were of one shape."""
        self._sizes = self._sizes[0] + len(specs), self._sizes[1] + planned
        now = self._clock()
        taken = self._taken[assignment] = _Taken(tuple(specs), now, {spec.number for spec in specs}, 0, now)
        for spec in specs:
            epochs = taken.epochs if self._each_epoch else None
            self._lives.begin(spec.number, epochs, now, self._repeats(spec.number))

    def heard(self, assignment: int, events: Sequence[Event]) -> None:
        if (taken := self._taken.get(assignment)) is None:
            return
        for event in events:
            if isinstance(event, Reported):
                taken.step, taken.stepped = max(taken.step, event.step), self._clock()
                self._lives.report(event.number, event.step, event.metrics.get(self._metric), self._clock())
            elif is_last(event):
                if isinstance(event, Failed | Paused | Returned):
                    self._lives.forget(event.number)
                else:
                    self._lives.end(event.number, isinstance(event, Stopped), self._clock())
                taken.open.discard(event.number)
                self._ends.failures += isinstance(event, Failed)
                self._ends.results += not isinstance(event, Failed)

    def done(self, assignment: int) -> None:
        if (taken := self._taken.pop(assignment, None)) is not None:
            self._ends.seen.append(taken.seen(self._clock(), True, self._each_epoch))

    def forget(self) -> None:
        """Have the next look work the time that is left out anew."""
        self._forecast, self._asked = None, -math.inf

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
            failed, ended = self._ends.failures, self._ends.results
            known = failed + ended + sum(len(taken.open) for taken in self._taken.values())  # a cohort fails together
            failing = min(0.9, (failed + 1) / (known + 2)) if failed else 0.0
            lasting = Lasting(self._lives.seen(now), self._meant, self._lives.awaited, self._stops)
            left = Remaining(running, trials, workers, self._fitted(size), failing)
            self._forecast = seconds_left(left, self._ends.seen, lasting)
            self._asked = now
        activity.left, activity.left_between = self._left(now - self._asked, math.inf if limit is None else limit)

    def _left(self, since: float, limit: float) -> tuple[float | None, tuple[float, float] | None]:
        """Return the seconds that are left, and between which they most likely are if one number says too little.
        since: the forecast."""
        if (found := self._forecast) is None:
            return None, None
        median, low, high = (max(0.0, min(each - since, limit)) for each in (found.median, found.low, found.high))
        return median, None if found.sure or low >= limit else (low, high)

    def _fitted(self, size: Callable[[int], int]) -> Callable[[int], int]:
        """Return the sizes that assignments have as trials are of several shapes."""
        have, planned = self._sizes
        return lambda left: max(1, round(size(left) * min(1.0, have / max(1, planned))))

    def _is_stale(self, now: float) -> bool:
        passed = abs(now - self._asked)
        if self._forecast is None:
            return passed >= _LEAST
        return passed >= max(_LEAST, _AT_MOST * min(self._forecast.median, now - self._began))
