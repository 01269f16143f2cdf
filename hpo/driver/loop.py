"""The driver: ask -> plan -> train -> tell, until the budget is spent.

One process, one thread. It owns the ledger; workers own nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hpo.driver.backlog import Backlog
from hpo.driver.dispatcher import Dispatcher
from hpo.driver.gathering import Gathering
from hpo.driver.interrupts import Interrupts
from hpo.driver.limits import TimeLimits
from hpo.driver.others import OtherDrivers
from hpo.driver.pace import Pace
from hpo.driver.references import ReferenceRun
from hpo.driver.tally import Tally
from hpo.driver.termination import Termination
from hpo.driver.trials import RunningTrials
from hpo.driver.unread import take_unread
from hpo.driver.watchdog import Watchdog
from hpo.engines.base import Artifact, Done, Engine, EngineError, Message, Note, TrialEvents
from hpo.events import ReferenceMeasured, Response, Unread, is_last
from hpo.ledger.ledger import Ledger, Notice
from hpo.ledger.study.book import StudyGone
from hpo.search.samplers import load_sampler
from hpo.search.searcher import Searcher
from hpo.spec.faults import UserError
from hpo.spec.sweep import Sweep
from hpo.standing import Activity, Standing, SweepListener

_TICK = 0.2  # seconds between looks at the clock, the display and MLflow's answers


@dataclass(frozen=True)
class _OpenStudy:
    """What a driver has once the study is its own."""

    trials: RunningTrials
    dispatcher: Dispatcher
    pace: Pace
    news: Gathering
    others: OtherDrivers | None  # None: the study is not shared


class Driver:
    """Runs one sweep to the end of its budget."""

    def __init__(
        self,
        sweep: Sweep,
        ledger: Ledger,
        engine: Engine,
        listener: SweepListener,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sweep = sweep
        self._ledger = ledger
        self._engine = engine
        self._listener = listener
        self._clock = clock
        self._tally = Tally(sweep)
        self.standing = self._tally.standing
        self._termination = Termination(sweep, self.standing)
        self._interrupts = Interrupts(self._note_interrupt)
        self._watchdog = Watchdog(sweep.budget.trial_seconds, sweep.budget.stall_seconds, clock)
        self._limits = TimeLimits(sweep.budget.seconds, ledger, engine, self._watchdog, self._termination, listener)
        self._references = ReferenceRun(sweep, ledger, engine, self.standing, listener, clock)
        self._data_notes: list[str] = []  # of the workers, on what was done to the data
        self._study: _OpenStudy | None = None
        self.opened = False  # whether anything was recorded

    # The sweep, from its start to its end.

    def run(self) -> Standing:
        """Run the sweep. Raises EngineError if the objective can't run at all; what is recorded by then stays."""
        began = self._clock()
        fault: BaseException | None = None
        self._ledger.membership.wait_for_database(
            lambda text: self._listener.note(text, warning=True), lambda: bool(self._interrupts)
        )
        with self._interrupts.counted():
            try:
                self._count_earlier_trials()
                self._ledger.warm_up()
                if self._wants_more() or self._references.worth_workers:
                    self._engine.start()
                    self._references.begin()
                    self._ledger.membership.heartbeat.stay_alive()
                    load_sampler(self._sweep.method)
                    self._wait_for_a_worker()
                self._study = self._open()
                if self._study is not None:
                    self._work(self._study, began)
                    self._measure_references()
            except BaseException as error:
                fault = error
                self.standing.error = self.standing.error or f"{type(error).__name__}: {error}"
                raise
            finally:
                self._engine.close(at_once=self._running > 0 or self._references.pending)
                try:
                    # What could not be written is left as after a kill: whoever goes on settles it.
                    writable = not isinstance(fault, OSError | StudyGone)  # a full disk, say
                    if self.opened and writable and not self._ledger.membership.heartbeat.lost:
                        self._close()
                finally:
                    self._ledger.abandon(fault, self._interrupts.another())
                self.standing.seconds = self._clock() - began
        return self.standing

    def _count_earlier_trials(self) -> None:
        """Count what the study has, and see whether that leaves anything to do."""
        for record in self._ledger.ended:
            self._tally.take(record)
            self._termination.remember(record)
        self.standing.counts.earlier = self.standing.done
        self._termination.check_target(self.standing.best, "had reached")
        self._limits.check_sweep()

    def _wait_for_a_worker(self) -> None:
        """See that the objective can be built and its data loaded before anything is recorded."""
        while not self._engine.idle() and not self._interrupts:
            for message in self._engine.poll(_TICK):
                self._handle(message)
            self._ledger.membership.heartbeat.stay_alive()
            self._listener.tick(self.standing)

    def _open(self) -> _OpenStudy | None:
        """Take over the study, with what an earlier driver left; None if the sweep was interrupted before."""
        if self._interrupts:
            self.standing.interrupted = self._interrupts.signal
            return None
        sweep, ledger, tally, termination = self._sweep, self._ledger, self._tally, self._termination
        history, retries = ledger.start(self._data_notes)
        self.opened = True
        searcher = Searcher(sweep, history, ledger.membership.stream)
        ledger.forget(history)
        backlog = Backlog(sweep, searcher, self._engine.workers, retries)
        steps = sweep.early_terminate.decision_steps(sweep.max_epochs() if sweep.traits.reports_each_epoch else None)
        trials = RunningTrials(
            sweep, ledger, searcher, backlog, steps, tally, termination, self._interrupts, self._listener
        )
        pace = Pace(sweep, self.standing, self._clock, searcher.rule, searcher.repeats)
        dispatcher = Dispatcher(
            sweep, ledger, self._engine, backlog, trials, steps, self.standing, termination, self._watchdog,
            self._interrupts, pace,
        )  # fmt: skip
        others = None
        if ledger.membership.joined:
            others = OtherDrivers(ledger, searcher, backlog, trials, tally, termination, self._listener, self._clock)
        self.standing.activity.phase = ""
        return _OpenStudy(trials, dispatcher, pace, Gathering(self._engine, self._clock), others)

    def _work(self, study: _OpenStudy, began: float) -> None:
        """Ask, plan, train and tell, until there is nothing left to do."""
        while self._interrupts.count <= 1 and (self._running or self._wants_more()):
            self._look_around(study)
            study.dispatcher.fill()
            if not self._wants_more() and not self._interrupts:
                self._references.order()
            self._take_in(study.news.poll(_TICK))
            self.standing.seconds = self._clock() - began
            study.dispatcher.look(self._limits.left)
            self._listener.tick(self.standing)
        if self._interrupts and (self._running or self._wants_more()):  # twice at once, so that nobody saw it
            self.standing.interrupted = self._interrupts.signal

    def _measure_references(self) -> None:
        """Wait for what models of scikit-learn reach beside the trials, if not for long, and record it."""
        try:
            while not self._interrupts and self._references.wait():
                self.standing.activity.phase = "measuring references"
                self._references.order()
                self._take_in(self._engine.poll(_TICK))
                self._tell(self._ledger.pump())
                self._listener.tick(self.standing)
        except EngineError as error:
            self._references.fail(error)
        self._references.finish(bool(self._interrupts))

    @property
    def _running(self) -> int:
        """Trials that have begun here and not ended."""
        return len(self._study.trials) if self._study is not None else 0

    def _wants_more(self) -> bool:
        """Whether trials are missing that this driver may have to train: in a shared study also those that others
        train at the moment, since they may fail."""
        return self._termination.room(0 if self._ledger.membership.joined else self._running) > 0

    def _close(self) -> None:
        """End what still runs, so that the study can go on from here, and close the records."""
        if self._study is not None:
            self._study.trials.interrupt_all()
        if self._ledger.membership.joined:
            self._leave()
        self.standing.activity, self.standing.counts.running = Activity("writing MLflow"), 0
        self._listener.tick(self.standing)
        status = "FAILED" if self.standing.error else "KILLED" if self._interrupts else "FINISHED"
        summary, hurry = self._tally.summary(self._ledger.seconds), self._interrupts.another()
        self._tell(self._ledger.close(status, summary, hurry))

    def _leave(self) -> None:
        """Leave the study to the drivers that are left; if there are none, learn how it ended."""
        last, notices = self._ledger.leave(self._interrupts.another())
        self._tell(notices)
        if last and self._study is not None and self._study.others is not None:
            self._study.others.take_news()

    # What happens while it runs.

    def _look_around(self, study: _OpenStudy) -> None:
        """See to the clock, to Ctrl-C, to other drivers and to MLflow's answers."""
        self.standing.counts.running = len(study.trials)
        self._limits.check_sweep(study.trials)
        self._limits.check_trials(study.trials)
        if self._interrupts and not self.standing.interrupted:
            self.standing.interrupted = self._interrupts.signal
            self._termination.stop("interrupted")
            if numbers := study.trials.numbers:
                self._engine.pause(numbers)
                waiting = f"{len(numbers)} running trial{'s' if len(numbers) > 1 else ''}"
                how = "to end, or to keep a checkpoint"
                self._listener.note(f"interrupted: waiting for {waiting} {how} (again to stop at once)", warning=True)
        if study.others is not None:
            study.others.look()
        self._tell(self._ledger.pump())

    def _take_in(self, messages: Sequence[Message]) -> None:
        """Take in what has happened. What comes together is one write; who waits is answered when it is written."""
        waiting: dict[int, dict[int, Response]] = {}
        with self._ledger.together():
            for message in messages:
                responses = self._handle(message)
                if isinstance(message, TrialEvents) and message.waiting:
                    waiting[message.assignment] = responses
        for assignment, responses in waiting.items():
            self._engine.reply(assignment, responses)

    def _handle(self, message: Message) -> dict[int, Response]:
        """Take in a message; return what its trials are told: which of them go on, or what they asked for."""
        if isinstance(message, Note):
            self._data_notes += [] if message.warning else [message.text]
            self.standing.remarks += [message.text] if message.lasting else []
            self._listener.note(message.text, message.warning)
        elif isinstance(message, Artifact):
            self._ledger.attach(message.number, message.name, message.path)
        elif isinstance(message, Unread):
            if self._study is None:  # before the first trial, or too late
                take_unread(message, self._sweep, self._ledger.done > 0, self._listener)
        elif isinstance(message, ReferenceMeasured):
            self._references.take(message)
        elif isinstance(message, Done):
            self._references.done(message.assignment)
            self._watchdog.done(message.assignment)
            if self._study is not None:
                self._study.pace.done(message.assignment)
        elif isinstance(message, TrialEvents):
            assert self._study is not None, "nothing is trained before the study is open"
            ended = [event.number for event in message.events if is_last(event)]
            self._watchdog.heard(message.assignment, ended)
            self._study.pace.heard(message.assignment, message.events)
            return self._study.trials.take_in(message.events)
        return {}

    def _tell(self, notices: Iterable[Notice]) -> None:
        for notice in notices:
            if notice.missing:
                self.standing.unmirrored = notice.text
            self._listener.note(notice.text, notice.warning)

    def _note_interrupt(self) -> None:
        self.standing.reason = self.standing.reason or "interrupted"


def run_to_end(driver: Driver, source: object) -> Standing:
    """Run a driver. What ends its engine is the standing's error; UserError, if that is before anything is recorded.

    source: what was asked for, named in that message.
    """
    try:
        return driver.run()
    except EngineError as error:
        if not driver.opened:
            raise UserError(f"{source}: the objective can't run: {error}") from None
        driver.standing.error = str(error)
        return driver.standing
