"""The searcher: proposes configurations and decides who stops early.

The study of record is the ledger's. What this one works on can be rebuilt from it: asking and telling cost no
transactions, and a rejected proposal leaves no trace anywhere.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hpo.events import Decision
from hpo.search.distributions import decode_params
from hpo.search.pruners import make_stopper
from hpo.search.samplers import BOUNDS, STARTUP_TRIALS, WeightedRandomSampler, make_sampler
from hpo.search.stopper import Course
from hpo.search.working_copy import WorkingCopy
from hpo.spec.conditions import same
from hpo.spec.space import Categorical
from hpo.spec.sweep import Sweep

_DRAWS = 10_000  # random draws before the allowed configurations are looked for one by one
_ATTEMPTS = 100  # draws from the sampler before forbidden proposals are replaced by random allowed ones
_COUNTED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Proposal:
    """A configuration to train: active parameters only. `key` names it in later calls to the searcher."""

    key: int
    params: dict[str, Any]


@dataclass
class _Running:
    """A trial that was proposed and has not ended."""

    number: int  # in the working copy
    course: Course
    baseline: bool  # never stopped: what the winner is judged against must be trained to its end
    decided: dict[int, Decision] = field(default_factory=dict)


class Searcher:
    """Asks Optuna's sampler, and the rule of early stopping, for one sweep. Used from the driver's thread only.

    The same seed, history and calls give the same proposals and decisions.
    """

    def __init__(self, sweep: Sweep, history: Iterable[FrozenTrial] = ()) -> None:
        """history: the finished trials of the study of record, in order."""
        logging.getLogger("optuna").setLevel(logging.WARNING)
        self._space = sweep.space
        self._sign = -1 if sweep.metric.goal == "maximize" else 1  # stoppers take less for better
        finished = list(history)
        # A stream of its own for each continuation: the same draws again would repeat trials.
        self._seed = (sweep.seed * 1_000_003 + len(finished)) % 2**32
        sampler = make_sampler(sweep.method, sweep.space, self._seed)
        self._copy = WorkingCopy(sweep.space, sweep.metric, sampler, BOUNDS[sweep.method], self._seed)
        self._copy.add(finished)
        self._stopper = make_stopper(sweep.early_terminate, sweep.name, sweep.max_epochs())
        for number, trial in enumerate(finished):
            self._replay(number, trial)
        self._next = len(finished)  # the next trial's key: its number in the study of record, where all are proposed
        self._running: dict[int, _Running] = {}
        self._baselines = [dict(baseline) for baseline in sweep.baselines]
        self._rng = random.Random(self._seed)
        self._rare: list[dict[str, Any]] = []  # the allowed configurations, once drawing has missed them for long
        self._queue: deque[dict[str, Any]] = deque()
        tried = [decode_params(self._space, trial.params) for trial in finished]
        self._queue.extend(baseline for baseline in self._baselines if not _among(baseline, tried))
        tried += self._queue
        self._grid: Iterator[dict[str, Any]] | None = None
        if sweep.method == "grid":
            self._grid = (params for params in sweep.space.configurations() or () if not _among(params, tried))
        weighted = any(isinstance(p.domain, Categorical) and p.domain.probabilities for p in sweep.space.parameters)
        # no other method than random knows weights: they shape the trials that it starts from
        self._startup = WeightedRandomSampler(sweep.space, self._seed) if weighted else None

    def _replay(self, number: int, trial: FrozenTrial) -> None:
        """Have an ended trial of the record count for the decisions on others."""
        if trial.state not in _COUNTED:
            return
        course = Course(number)
        for step, value in sorted(trial.intermediate_values.items()):
            course.values[step] = self._sign * value
            self._stopper.report(course, step, course.values[step])
        self._stopper.end(course, trial.state == TrialState.COMPLETE)

    def enqueue(self, params: dict[str, Any]) -> None:
        """Have a configuration proposed before anything else."""
        self._queue.appendleft(params)

    def propose(self) -> Proposal | None:
        """Return a configuration to train next; None if the space is used up (a grid)."""
        fixed = self._queue.popleft() if self._queue else None
        if fixed is None and self._grid is not None:
            fixed = next(self._grid, None)
            if fixed is None:
                return None
        if fixed is not None:
            return self._begin(self._copy.fix(fixed), fixed)
        starting = self._startup if self._next < STARTUP_TRIALS else None
        for _ in range(_ATTEMPTS):
            number, params = self._copy.ask(starting)
            if self._space.allowed(params):
                return self._begin(number, params)
            self._copy.reject(number)
        params = self._draw_allowed()
        return self._begin(self._copy.fix(params), params)

    def _draw_allowed(self) -> dict[str, Any]:
        """Draw an allowed configuration at random. Ends: a space without any was refused when the file was read."""
        while not self._rare:
            for _ in range(_DRAWS):
                if self._space.allowed(params := self._space.draw(self._rng)):
                    return params
            self._rare = list(self._space.survivors())
        return self._rng.choice(self._rare)

    def _begin(self, number: int, params: dict[str, Any]) -> Proposal:
        key, self._next = self._next, self._next + 1
        self._running[key] = _Running(number, Course(key), _among(params, self._baselines))
        return Proposal(key, params)

    def report(self, key: int, step: int, value: float, decide: bool = False) -> Decision:
        """Take in a value of the metric. A step that comes again, from a trial that is run again after its worker died,
        is ignored.

        When a whole cohort reports, report for all its members before deciding on any.
        decide: answer with `decide` at once (for a driver that takes reports one by one).
        """
        course = self._running[key].course
        if step not in course.values:
            course.values[step] = self._sign * value
            self._stopper.report(course, step, course.values[step])
        return self.decide(key, step) if decide else Decision.CONTINUE

    def decide(self, key: int, step: int) -> Decision:
        """Return whether a trial goes on after a step that it reported. A decision stands, however often asked for.

        Baselines always go on.
        """
        running = self._running[key]
        if step not in running.decided:
            stops = not running.baseline and self._stopper.stops(running.course)
            running.decided[step] = Decision.STOP if stops else Decision.CONTINUE
        return running.decided[step]

    def finish(self, key: int, state: TrialState, value: float | None = None) -> None:
        """Take in a trial's end: COMPLETE with its value, PRUNED, or FAIL."""
        running = self._running.pop(key)
        course = running.course
        if state in _COUNTED:
            self._stopper.end(course, state == TrialState.COMPLETE)
        else:
            self._stopper.withdraw(course)
        last = max(course.values.items(), default=None)
        self._copy.end(
            running.number,
            state,
            value if state == TrialState.COMPLETE else None,
            None if last is None else (last[0], self._sign * last[1]),
        )


def _among(params: dict[str, Any], others: Iterable[dict[str, Any]]) -> bool:
    """Whether a configuration is one of the others: with the same choices, so `True` is not `1`."""
    return any(
        params.keys() == other.keys() and all(same(value, other[name]) for name, value in params.items())
        for other in others
    )
