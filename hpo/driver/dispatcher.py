"""What idle workers get to do: trials are proposed, recorded as begun, and handed out in assignments."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from hpo.driver.backlog import Backlog, RunningTrial
from hpo.driver.interrupts import Interrupts
from hpo.driver.pace import Pace
from hpo.driver.termination import Termination
from hpo.driver.trials import RunningTrials
from hpo.driver.watchdog import Watchdog
from hpo.engines.base import Engine
from hpo.events import Assignment, DecisionSteps
from hpo.ledger.ledger import Ledger
from hpo.objective.beside import beside_of
from hpo.search.searcher import Proposal
from hpo.spec.sweep import Sweep
from hpo.standing import Standing


class Dispatcher:
    """Keeps the engine's workers busy as long as there is something to train."""

    def __init__(
        self,
        sweep: Sweep,
        ledger: Ledger,
        engine: Engine,
        backlog: Backlog,
        trials: RunningTrials,
        decision_steps: DecisionSteps,
        standing: Standing,
        termination: Termination,
        watchdog: Watchdog,
        interrupts: Interrupts,
        pace: Pace,
    ) -> None:
        self._sweep = sweep
        self._ledger = ledger
        self._engine = engine
        self._backlog = backlog
        self._trials = trials
        self._decision_steps = decision_steps
        self._standing = standing
        self._termination = termination
        self._watchdog = watchdog
        self._interrupts = interrupts
        self._pace = pace
        self._ids = itertools.count()  # of assignments

    def fill(self) -> None:
        """Give the idle workers something to do."""
        idle, backlog, done = self._engine.idle(), self._backlog, self._standing.done
        backlog.resize(self._engine.workers)  # a cluster grows and shrinks
        alone = backlog.take_alone(idle)
        for running in alone:
            self._submit([running], 1)
        idle -= len(alone)
        if self._termination.reason:
            backlog.drop_new()
        backlog.ask(idle, len(self._trials) - backlog.begun, done, self._trials.room)
        with self._ledger.together():
            groups = [
                [self._trials.begin(item) if isinstance(item, Proposal) else item for item in group]
                for group in backlog.take(idle, done)
            ]
        for begun in groups:
            if ready := [running for running in begun if running is not None]:
                self._submit(ready, len(groups))
        if backlog.used_up and not backlog.proposed and not self._ledger.membership.elsewhere:
            self._termination.stop("every configuration was tried (duplicates: replicate trains them again)")

    def look(self, limit: float | None) -> None:
        """Bring up to date what is known of the workers and of the time that is left. limit: seconds that the sweep has
        at most."""
        counts = self._standing.counts
        here, elsewhere = counts.ended_here, self._standing.done - counts.earlier - counts.ended_here
        share = (here + 1) / (here + elsewhere + 1)  # of what is left, as far as other drivers take some
        more = self._backlog.new if self._backlog.used_up else max(0, self._trials.room)
        waiting = self._backlog.begun + math.ceil(more * share)
        self._pace.look(self._engine.workers, waiting, lambda left: self._size(left, waiting), limit)

    def _size(self, left: int, waiting: int) -> int:
        """Return how many trials an assignment gets, as far as shapes allow, when so many are left to begin."""
        return self._backlog.share(self._standing.done + waiting - left, left)

    def _submit(self, group: Sequence[RunningTrial], idle: int) -> None:
        """idle: workers that get something at this moment."""
        assignment = Assignment(
            next(self._ids),
            tuple(running.spec for running in group),
            self._decision_steps,
            stack=self._sweep.stacks,
            measured=self._sweep.engine.cohort == "auto",
            compile=self._sweep.engine.compile,
            checkpoint_seconds=self._sweep.checkpoint_seconds,
            beside=beside_of(self._sweep.stack) if self._sweep.stack is not None else None,
            outputs=self._sweep.leaves_outputs,
        )
        numbers = [running.spec.number for running in group]
        self._watchdog.begin(assignment.id, numbers)
        left = len(group) + max(0, self._trials.room)
        self._pace.begin(assignment.id, assignment.trials, self._backlog.share(self._standing.done, left, idle))
        self._engine.submit(assignment)
        # What was said to all while these waited to run again.
        if stopped := [running.spec.number for running in group if running.stopped_by]:
            self._engine.stop(stopped)
        if self._interrupts:
            self._engine.pause(numbers)
