"""The driver: ask -> plan -> train -> tell, until the budget is spent.

One process, one thread. It owns the ledger; workers own nothing.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

from optuna.trial import TrialState

from hpo.driver.backlog import Backlog, Running
from hpo.driver.breaker import Breaker
from hpo.driver.interrupts import counting_interrupts
from hpo.driver.tally import Tally
from hpo.driver.watchdog import Watchdog
from hpo.engines.base import Artifact, Done, Engine, Message, Note, Progress
from hpo.events import (
    Assignment,
    Decision,
    Diverged,
    Event,
    Failed,
    FailureKind,
    Finished,
    Paused,
    Reported,
    Returned,
    Stopped,
    TrialSpec,
)
from hpo.ledger.ledger import Ledger, Refusal
from hpo.ledger.study.book import StudyGone
from hpo.ledger.study.records import State, TrialRecord
from hpo.search.searcher import Proposal, Searcher
from hpo.spec.sweep import Sweep
from hpo.standing import Standing, Watcher

_AWAY = 2.0  # seconds between two ticks: by then the driver itself stood still
_TICK = 0.2  # seconds between looks at the clock, the display and MLflow's answers
_SECONDS_BETWEEN_LOOKS = 2.0  # at what other drivers of a shared study do
_TIME_IS_UP = "budget.seconds"  # why a trial is stopped
_OPTUNA_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class Driver:
    """Runs one sweep to the end of its budget."""

    def __init__(
        self, sweep: Sweep, ledger: Ledger, engine: Engine, watcher: Watcher, clock: Callable[[], float] = time.time
    ) -> None:
        self._sweep = sweep
        self._ledger = ledger
        self._engine = engine
        self._watcher = watcher
        self._clock = clock
        epochs = sweep.max_epochs() if sweep.reports_each_epoch else None
        self._steps = sweep.early_terminate.decision_steps(epochs)
        self._ids = itertools.count()
        self._running: dict[int, Running] = {}  # begun and not ended; those that came back from a worker wait again
        self._reasons: set[str] = set()  # for training trials alone, as far as they were told
        self._looked = 0.0  # when the driver last looked at what others do
        self._closing = False  # no more trials are asked for
        self._time_is_up = False
        self._interrupts = 0
        self.opened = False  # whether anything was recorded
        self._writable = True  # False after a full disk, say
        self._notes: list[str] = []  # of the workers, on what was done to the data
        self._tally = Tally(sweep)
        self.standing = self._tally.standing
        self._breaker = Breaker(sweep.budget.trials, sweep.budget.failures)
        self._watchdog = Watchdog(sweep.budget.trial_seconds, sweep.budget.stall_seconds, clock)
        self._watched = clock()  # when the driver last looked for trials that take too long
        self._busy = time.process_time()

    # The sweep, from its start to its end.

    def run(self) -> Standing:
        """Run the sweep. Raises EngineError if the objective can't run at all; what is recorded by then stays."""
        began = self._clock()
        self._ledger.wait_for_database(
            lambda text: self._watcher.note(text, warning=True), lambda: self._interrupts > 0
        )
        with counting_interrupts(self._interrupt):
            try:
                self._take_stock()
                self._ledger.warm_up()
                if self._wants_more():
                    self._engine.start()
                    self._ledger.stay_alive()
                    self._wait_for_a_worker()
                self._open()
                while self._goes_on():
                    self._look_around()
                    self._fill()
                    self._take_in_all(self._engine.poll(_TICK))
                    self.standing.seconds = self._clock() - began
                    self._watcher.tick(self.standing)
                if self._interrupts and (self._running or self._wants_more()):  # twice at once, so that nobody saw it
                    self.standing.interrupted = True
            except BaseException as error:
                self._writable = not isinstance(error, OSError | StudyGone)
                self.standing.error = self.standing.error or f"{type(error).__name__}: {error}"
                raise
            finally:
                self._engine.close(at_once=bool(self._running))
                try:
                    # What could not be written is left as after a kill: whoever goes on settles it.
                    if self.opened and self._writable and not self._ledger.lost:
                        self._close()
                finally:
                    self._ledger.abandon()
                self.standing.seconds = self._clock() - began
        return self.standing

    def _take_stock(self) -> None:
        """Count what the study has, and see whether that leaves anything to do."""
        for record in self._ledger.ended:
            self._tally.take(record)
            self._breaker.remember(record)
        self.standing.continued = self.standing.done
        best = self.standing.best
        if best is not None and best.value is not None and self._sweep.metric.reached(best.value):
            self._wind_up(f"{self._sweep.metric.name} had reached its target with trial {best.number}")
        self._look_at_the_clock()

    def _wait_for_a_worker(self) -> None:
        """See that the objective can be built and its data loaded before anything is recorded."""
        while not self._engine.idle() and not self._interrupts:
            for message in self._engine.poll(_TICK):
                self._handle(message)
            self._ledger.stay_alive()
            self._watcher.tick(self.standing)

    def _open(self) -> None:
        """Take over the study, with what an earlier driver left."""
        if self._interrupts:
            self.standing.interrupted = True
            return
        history, retries = self._ledger.start(self._notes)
        self.opened = True
        self._searcher = Searcher(self._sweep, history, self._ledger.stream)
        self._ledger.forget(history)
        self._backlog = Backlog(self._sweep, self._searcher, self._engine.workers, retries)
        self.standing.phase = ""

    def _goes_on(self) -> bool:
        if self._interrupts > 1 or not self.opened:
            return False
        return bool(self._running) or self._wants_more()

    def _wants_more(self) -> bool:
        """Whether trials are missing that this driver may have to train: in a shared study also those that others
        train at the moment, since they may fail."""
        if self._ledger.joined:
            return not self._closing and self.standing.done < self._sweep.budget.trials
        return self._room() > 0

    def _room(self) -> int:
        """Return how many more trials may start now without overspending the budget."""
        open_ones = len(self._running) + self._ledger.elsewhere
        return 0 if self._closing else self._sweep.budget.trials - self.standing.done - open_ones

    def _close(self) -> None:
        """End what still runs, so that the study can go on from here, and close the records."""
        for running in list(self._running.values()):
            self._end(running, "failed", error="the sweep was interrupted", interrupted=True)
        if self._ledger.joined:
            self._leave()
        self.standing.phase, self.standing.running = "writing MLflow", 0
        self._watcher.tick(self.standing)
        status = "FAILED" if self.standing.error else "KILLED" if self._interrupts else "FINISHED"
        interrupts = self._interrupts
        for notice in self._ledger.close(
            status, self._tally.summary(self._ledger.seconds), hurry=lambda: self._interrupts > interrupts
        ):
            self._watcher.note(notice.text, notice.warning)

    # Other drivers of a shared study.

    def _look_at_others(self) -> None:
        """Learn from trials that others ended, and take over what dead drivers left."""
        now = self._clock()
        if abs(now - self._looked) < _SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        self._take_news()
        waits = not self._running and not self._closing and (self._backlog.used_up or self._room() <= 0)
        number = self._ledger.elsewhere
        what = f"waiting for {number} trial{'s' if number != 1 else ''} of other drivers"
        self.standing.phase = what if waits and number else ""

    def _take_news(self) -> None:
        news = self._ledger.news()
        for note in news.notes:
            self._watcher.note(note)
        self._searcher.learn(trial for trial, _ in news.ended)
        self._searcher.avoid(news.begun)
        self._backlog.repeat(news.again)
        for _, record in news.ended:
            self._breaker.remember(record)
            self._tally.take(record)
            self._watcher.trial(record, self.standing)
            self._check_target(record)

    def _leave(self) -> None:
        """Leave the study to the drivers that are left; if there are none, learn how it ended."""
        interrupts = self._interrupts
        last, notices = self._ledger.leave(lambda: self._interrupts > interrupts)
        for notice in notices:
            self._watcher.note(notice.text, notice.warning)
        if last:
            self._take_news()

    # Ask, plan, train.

    def _fill(self) -> None:
        """Give the idle workers something to do."""
        idle, backlog = self._engine.idle(), self._backlog
        backlog.resize(self._engine.workers)  # a cluster grows and shrinks
        alone = backlog.take_alone(idle)
        for running in alone:
            self._submit([running])
        idle -= len(alone)
        if self._closing:
            backlog.drop_new()
        backlog.ask(idle, len(self._running) - backlog.begun, self.standing.done, self._room())
        with self._ledger.together():
            groups = [
                [self._begin(item) if isinstance(item, Proposal) else item for item in group]
                for group in backlog.take(idle, self.standing.done)
            ]
        for begun in groups:
            if ready := [running for running in begun if running is not None]:
                self._submit(ready)
        if backlog.used_up and not backlog.proposed and not self._ledger.elsewhere:
            self._wind_up("every configuration was tried (duplicates: replicate trains them again)")

    def _submit(self, group: list[Running]) -> None:
        specs = tuple(running.spec for running in group)
        measured = self._sweep.most_in_cohort is None
        assignment = Assignment(
            next(self._ids),
            specs,
            self._steps,
            measured,
            compile=self._sweep.engine.compile,
            checkpoint_seconds=self._sweep.checkpoint_seconds,
        )
        self._watchdog.begin(assignment.id, [spec.number for spec in specs])
        self._engine.submit(assignment)
        # What was said to all while these waited to run again.
        if stopped := [running.spec.number for running in group if running.stop_reason]:
            self._engine.stop(stopped)
        if self._interrupts:
            self._engine.pause([spec.number for spec in specs])

    def _begin(self, proposal: Proposal) -> Running | None:
        """Record a trial's start; None if the trials of other drivers forbid it."""
        record = self._ledger.begin(proposal.params, self._backlog.repeated_by(proposal))
        if record is Refusal.FULL:
            self._backlog.hold(proposal)
            return None
        if record is Refusal.DOUBLE:
            self._searcher.drop(proposal.key)
            return None
        self._searcher.begin(proposal.key, record.number, record.retry_of)
        self._backlog.begin(proposal)
        spec = TrialSpec(record.number, proposal.params, record.seed, record.epochs, self._ledger.checkpoint_of(record))
        self._running[record.number] = Running(proposal.key, spec, record)
        return self._running[record.number]

    # Tell.

    def _take_in_all(self, messages: Sequence[Message]) -> None:
        """Take in what has happened. What comes together is one write; who waits is answered when it is written."""
        waiting: dict[int, dict[int, Decision]] = {}
        with self._ledger.together():
            for message in messages:
                decisions = self._handle(message)
                if isinstance(message, Progress) and message.waiting:
                    waiting[message.assignment] = decisions
        for assignment, decisions in waiting.items():
            self._engine.reply(assignment, decisions)

    def _handle(self, message: Message) -> dict[int, Decision]:
        """Take in a message; return which of its trials go on."""
        if isinstance(message, Note):
            self._notes += [] if message.warning else [message.text]
            self.standing.remarks += [message.text] if message.lasting else []
            self._watcher.note(message.text, message.warning)
        elif isinstance(message, Artifact):
            self._ledger.attach(message.number, message.name, message.path)
        elif isinstance(message, Done):
            self._watchdog.done(message.assignment)
        elif isinstance(message, Progress):
            ended = [event.number for event in message.events if not isinstance(event, Reported)]
            self._watchdog.heard(message.assignment, ended)
            return self._take_in(message.events)
        return {}

    def _take_in(self, events: Sequence[Event]) -> dict[int, Decision]:
        """Make events part of the sweep's state; return which of their trials go on.

        All reports are taken in before the pruner is asked of any: the members of a cohort arrive together.
        """
        reports = [event for event in events if isinstance(event, Reported)]
        decisions = dict.fromkeys((event.number for event in events), Decision.STOP)
        for report in reports:
            self._report(self._running[report.number], report)
        for report in reports:
            decisions[report.number] = self._decide(self._running[report.number], report)
        lost = sum(isinstance(event, Failed) and event.kind is FailureKind.DIED for event in events)
        for event in events:
            if isinstance(event, Returned):
                self._wait_again(event)
            elif not isinstance(event, Reported):
                self._take_end(self._running[event.number], event, lost)
        return decisions

    def _report(self, running: Running, event: Reported) -> None:
        self._ledger.report(event.number, event.step, event.metrics, event.time)
        value = event.metrics.get(self._sweep.metric.name)
        if value is not None:
            self._searcher.report(running.key, event.step, value)

    def _decide(self, running: Running, event: Reported) -> Decision:
        if running.stop_reason:
            return Decision.STOP
        if event.step not in self._steps or self._sweep.metric.name not in event.metrics:
            return Decision.CONTINUE
        return self._searcher.decide(running.key, event.step)

    def _wait_again(self, event: Returned) -> None:
        """Put a trial that a worker gave back among those that wait."""
        running = self._running[event.number]
        self._backlog.run_again(running, event.at_most)
        if event.reason and event.reason not in self._reasons:
            self._reasons.add(event.reason)
            shape = self._sweep.shape_of(running.spec.params)
            which = ", ".join(f"{name}={value}" for name, value in shape) or "all"
            self._watcher.note(f"trials train one by one ({which}): {event.reason}")

    def _take_end(self, running: Running, event: Event, lost: int) -> None:
        """Take in a trial's end. lost: trials that died with the same worker."""
        assert not isinstance(event, Reported | Returned)
        record = running.record
        record.info |= {key: fact for key, fact in event.info.items() if key != "unread"}
        if isinstance(event, Finished):
            self._finish(running, event)
        elif isinstance(event, Stopped) and running.stop_reason == "budget.trial_seconds":
            text = f"TrialTimeout: longer than budget.trial_seconds={self._sweep.budget.trial_seconds:g}"
            self._take_failure(running, Failed(event.number, text, kind=FailureKind.TIMEOUT), lost)
        elif isinstance(event, Stopped):
            self._end(running, "pruned", stopped_by=running.stop_reason)
        elif isinstance(event, Diverged):
            # Pruned, so that the sampler learns to keep away; a failed trial would teach it nothing.
            self._end(running, "pruned", diverged=event.epoch)
        elif isinstance(event, Paused):
            self._end(running, "failed", error="the sweep was interrupted; a checkpoint is kept", interrupted=True)
        else:
            self._take_failure(running, event, lost)

    def _take_failure(self, running: Running, event: Failed, lost: int) -> None:
        """Run a failed trial again, if the rule for its kind of failure says so; else it has failed."""
        gone = event.kind in (FailureKind.DIED, FailureKind.LOST)
        if gone and running.stop_reason == _TIME_IS_UP:
            self._end(running, "pruned", stopped_by=_TIME_IS_UP)
            return
        if self._interrupts and gone:  # perhaps of the same Ctrl-C
            self._end(running, "failed", error=event.error, interrupted=True)
            return
        # Nobody knows which member of a cohort it was that killed their worker, or for which it was killed. So that
        # counts against none of them; they run again in smaller cohorts, until each is alone.
        shared = event.kind is FailureKind.DIED and lost > 1
        running.failures[event.kind] += not shared
        allowed = getattr(self._sweep.retry, event.kind.value)
        if running.failures[event.kind] > allowed or self._interrupts:
            failure = event.kind.value
            self._end(running, "failed", error=event.error, traceback=event.traceback, failure=failure)
            return
        self._ledger.again(running.spec.number)
        running.stop_reason = ""
        if event.kind is FailureKind.LOST:
            self._backlog.run_again(running, urgent=True)
        elif shared:
            self._backlog.run_again(running, at_most=max(1, lost // 2), urgent=True)
        else:
            self._backlog.run_alone(running)  # so that one that kills its worker takes no other with it

    def _finish(self, running: Running, event: Finished) -> None:
        metric = self._sweep.metric.name
        value = event.value if event.value is not None else running.record.last(metric)
        if value is None:
            reported = sorted({name for metrics in running.record.steps.values() for name in metrics})
            said = f"it reported {', '.join(reported)}" if reported else "it reported nothing"
            error = f"ValueError: the metric {metric!r} was never reported; {said}"
            self._end(running, "failed", error=error, failure=FailureKind.ERROR.value)
            return
        if unread := event.info.get("unread"):
            self._tell_unread(unread)
        self._end(running, "complete", value=value)

    def _tell_unread(self, names: list[str]) -> None:
        """Point out, after the first trial, parameters that are searched although nobody reads them."""
        if self.standing.complete == 0:
            listed = ", ".join(names)
            self._watcher.note(
                f"the objective never read {listed}: searching what has no effect is wasted", warning=True
            )

    def _end(self, running: Running, state: State, **facts: Any) -> None:
        """Record a trial's end, in the ledger and for the sampler."""
        record = self._ledger.end(running.spec.number, state, **facts)
        del self._running[record.number]
        self._searcher.finish(running.key, _OPTUNA_STATES[state], record.value)
        self.standing.ended_here += state in ("complete", "pruned")
        if self._tally.take(record):
            self._ledger.best(record)
        self._watcher.trial(record, self.standing)
        self._check_ends(record)

    # The end.

    def _check_ends(self, record: TrialRecord) -> None:
        """Stop asking where a trial's end is reason to."""
        self._check_target(record)
        if reason := self._breaker.take(record):
            self.standing.error = record.traceback or record.error
            self._wind_up(reason)

    def _check_target(self, record: TrialRecord) -> None:
        if record.value is not None and self._sweep.metric.reached(record.value):
            self._wind_up(f"{self._sweep.metric.name} reached its target with trial {record.number}")

    def _wind_up(self, reason: str) -> None:
        """Ask for no more trials; those that run go on to their ends."""
        if not self._closing:
            self._closing = True
            self.standing.reason = reason

    def _look_around(self) -> None:
        """See to the clock, to Ctrl-C and to MLflow's answers."""
        self.standing.running = len(self._running)
        self._look_at_the_clock()
        self._end_overdue()
        if self._interrupts and not self.standing.interrupted:
            self.standing.interrupted = True
            self._wind_up("interrupted")
            if self._running:
                self._engine.pause(self._running)
                waiting = f"{len(self._running)} running trial{'s' if len(self._running) > 1 else ''}"
                how = "to end, or to keep a checkpoint"
                self._watcher.note(f"interrupted: waiting for {waiting} {how} (again to stop at once)", warning=True)
        if self._ledger.joined:
            self._look_at_others()
        for notice in self._ledger.pump():
            self._watcher.note(notice.text, notice.warning)

    def _look_at_the_clock(self) -> None:
        """End the sweep when its time is spent; also one that has asked for its last trials before."""
        limit = self._sweep.budget.seconds
        if limit is None or self._ledger.seconds < limit or self._time_is_up:
            return
        self._time_is_up = True
        self._wind_up(f"budget.seconds={limit:g} is spent")
        for running in self._running.values():
            running.stop_reason = _TIME_IS_UP
        if self._running:
            self._engine.stop(self._running)

    def _end_overdue(self) -> None:
        """Stop trials that take too long; kill their workers if they don't."""
        now = self._clock()
        away = now - self._watched
        if 0 <= away < _TICK:
            return  # with many workers a look takes longer than what has just happened
        busy, self._busy = time.process_time() - self._busy, time.process_time()
        if abs(away) > _AWAY:  # or the clock was set
            self._watchdog.forgive(away - busy)  # asking may take long, and trials go on meanwhile
        self._watched = now
        for overdue in self._watchdog.overdue():
            if not overdue.kill:
                for number in overdue.numbers:
                    self._running[number].stop_reason = "budget.trial_seconds"
                self._engine.stop(overdue.numbers)
                continue
            # Of a cohort nobody knows whose fault it is: its members run again, in smaller ones, in the end alone.
            reasons = dict.fromkeys(overdue.numbers, f"TrialTimeout: {overdue.reason}") if overdue.alone else {}
            if not self._engine.kill(overdue.assignment, reasons):
                self._watcher.note(f"a trial can't be stopped in this process: {overdue.reason}", warning=True)

    def _interrupt(self) -> None:
        self._interrupts += 1
        self.standing.reason = self.standing.reason or "interrupted"
