"""What idle workers get to do: trials are proposed, recorded as begun, and handed out in assignments."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hpo.driver.backlog import Backlog, RunningTrial
from hpo.driver.interrupts import Interrupts
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
        self._ids = itertools.count()  # of assignments

    def fill(self) -> None:
        """Give the idle workers something to do."""
        idle, backlog, done = self._engine.idle(), self._backlog, self._standing.done
        backlog.resize(self._engine.workers)  # a cluster grows and shrinks
        alone = backlog.take_alone(idle)
        for running in alone:
            self._submit([running])
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
                self._submit(ready)
        if backlog.used_up and not backlog.proposed and not self._ledger.membership.elsewhere:
            self._termination.stop("every configuration was tried (duplicates: replicate trains them again)")

    def _submit(self, group: Sequence[RunningTrial]) -> None:
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
        self._engine.submit(assignment)
        # What was said to all while these waited to run again.
        if stopped := [running.spec.number for running in group if running.stopped_by]:
            self._engine.stop(stopped)
        if self._interrupts:
            self._engine.pause(numbers)
