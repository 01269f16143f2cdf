"""The driver: ask -> plan -> train -> tell, until the budget is spent.

One process, one thread. It owns the ledger; workers own nothing.
"""

from __future__ import annotations

import itertools
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from optuna.trial import TrialState

from hpo.engines.base import Artifact, Engine, Message, Note, Progress
from hpo.events import (
    Assignment,
    Decision,
    Diverged,
    Event,
    Failed,
    Finished,
    Reported,
    Returned,
    Stopped,
    TrialSpec,
)
from hpo.ledger.ledger import Ledger
from hpo.ledger.records import State, TrialRecord
from hpo.plan.planner import Planner, opening
from hpo.search.pruners import decision_steps
from hpo.search.searcher import Proposal, Searcher
from hpo.spec.space import show
from hpo.spec.sweep import Sweep
from hpo.standing import Standing, Watcher

_TICK = 0.2  # seconds between looks at the clock, the display and MLflow's answers
_ATTEMPTS = 3  # runs of a trial whose workers die
_SAME_ERROR = 5  # first trials that all fail alike before the sweep stops
_OPTUNA_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclass
class _Running:
    """A trial that a worker has."""

    key: int  # the searcher's name for it
    spec: TrialSpec
    record: TrialRecord
    stop_reason: str = ""


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
        self._steps = decision_steps(sweep.early_terminate, sweep.max_epochs() if sweep.reports_each_epoch else None)
        self._ids = itertools.count()
        self._running: dict[int, _Running] = {}  # begun and not ended; those that came back from a worker wait again
        self._lost: list[_Running] = []  # of dead workers, to be run again under their numbers
        self._repeats: dict[int, TrialRecord] = {}  # interrupted trials, by the key of the proposal that repeats them
        self._used_up = False  # there is nothing left to propose
        self._reasons: set[str] = set()  # for training trials alone, as far as they were told
        self._retries: list[TrialRecord] = []  # interrupted with an earlier driver, to be run again as new trials
        self._closing = False  # no more trials are asked for
        self._interrupts = 0
        self.opened = False  # whether anything was recorded
        self._notes: list[str] = []  # of the workers, on what was done to the data
        self.standing = Standing(sweep.name, sweep.metric.name, sweep.metric.goal, sweep.budget.trials)

    # The sweep, from its start to its end.

    def run(self) -> Standing:
        """Run the sweep. Raises EngineError if the objective can't run at all; what is recorded by then stays."""
        began = self._clock()
        with self._counting_interrupts():
            try:
                self._take_stock()
                self._ledger.warm_up()
                if self._room() > 0:
                    self._engine.start()
                    self._wait_for_a_worker()
                self._open()
                while self._goes_on():
                    self._look_around()
                    self._fill()
                    for message in self._engine.poll(_TICK):
                        self._handle(message)
                    self.standing.seconds = self._clock() - began
                    self._watcher.tick(self.standing)
            except BaseException as error:
                self.standing.error = self.standing.error or f"{type(error).__name__}: {error}"
                raise
            finally:
                self._engine.close(at_once=bool(self._running))
                try:
                    if self.opened:
                        self._close()
                finally:
                    self._ledger.abandon()
                self.standing.seconds = self._clock() - began
        return self.standing

    def _take_stock(self) -> None:
        """Count what the study has, and see whether that leaves anything to do."""
        for record in self._ledger.ended:
            self._count(record)
            self._rank(record)
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
            self._watcher.tick(self.standing)

    def _open(self) -> None:
        """Take over the study, with what an earlier driver left."""
        if self._interrupts:
            self.standing.interrupted = True
            return
        history, self._retries = self._ledger.start(self._notes)
        self.opened = True
        self._searcher = Searcher(self._sweep, history)
        sweep, workers = self._sweep, self._engine.workers
        most = sweep.most_in_cohort
        self._planner: Planner[Proposal | _Running] = Planner(most, workers, opening(sweep.method, most, workers))
        self.standing.phase = ""

    def _goes_on(self) -> bool:
        if self._interrupts > 1 or not self.opened:
            return False
        return bool(self._running) or self._room() > 0

    def _room(self) -> int:
        """Return how many more trials may start now without overspending the budget."""
        return 0 if self._closing else self._sweep.budget.trials - self.standing.done - len(self._running)

    def _close(self) -> None:
        """End what still runs, so that the study can go on from here, and close the records."""
        for running in list(self._running.values()):
            self._end(running, "failed", error="the sweep was interrupted", interrupted=True)
        self.standing.phase, self.standing.running = "writing MLflow", 0
        self._watcher.tick(self.standing)
        status = "FAILED" if self.standing.error else "KILLED" if self._interrupts else "FINISHED"
        interrupts = self._interrupts
        for notice in self._ledger.close(status, self._summary(), hurry=lambda: self._interrupts > interrupts):
            self._watcher.note(notice.text, notice.warning)

    def _summary(self) -> dict[str, Any]:
        """Return what MLflow's parent run says of the sweep in the end."""
        standing = self.standing
        summary: dict[str, Any] = {
            "trials_complete": standing.complete,
            "trials_pruned": standing.pruned,
            "trials_failed": standing.failed,
            "trials_diverged": standing.diverged,
            "sweep_seconds": round(self._ledger.seconds, 3),
            "ended_by": standing.reason or "the budget",
            "outcome": self._outcome(),
        }
        if standing.best is not None:
            summary["best_trial"] = standing.best.number
        if standing.baseline is not None and standing.baseline.value is not None:
            summary[f"baseline_{standing.metric}"] = standing.baseline.value
        return summary

    def _outcome(self) -> str:
        """Return the outcome in words, for the parent run's page."""
        standing, best = self.standing, self.standing.best
        text = f"{standing.complete} complete, {standing.pruned} pruned, {standing.failed} failed"
        if best is None:
            return f"{text}; no trial finished"
        listed = ", ".join(f"{name}={show(value)}" for name, value in best.params.items())
        return f"{text}; best {standing.metric} {show(best.value)} in trial {best.number}: {listed}"

    # Ask, plan, train.

    def _fill(self) -> None:
        """Give the idle workers something to do."""
        idle = self._engine.idle()
        for running in self._lost[:idle]:
            self._submit([running])  # alone: should it kill its worker again, it kills no other trial
        idle, self._lost = max(0, idle - len(self._lost)), self._lost[idle:]
        if self._closing:
            self._planner.drop_new()
        wanted = min(
            self._planner.wanted(idle, self._with_workers(), self.standing.done), self._room() - self._planner.new
        )
        while wanted > 0 and not self._used_up:
            self._ask()
            wanted -= 1
        with self._ledger.together():
            groups = [
                [self._begin(item) if isinstance(item, Proposal) else item for item in group]
                for group in self._planner.take(idle)
            ]
        for group in groups:
            self._submit(group)
        if self._used_up and not self._planner.new:
            self._wind_up("every configuration of the grid was tried")

    def _submit(self, group: list[_Running]) -> None:
        specs = tuple(running.spec for running in group)
        measured = self._sweep.most_in_cohort is None
        self._engine.submit(Assignment(next(self._ids), specs, self._steps, measured, self._sweep.engine.compile))

    def _with_workers(self) -> int:
        """Return how many trials workers have: all that run but for those that wait to run again."""
        return len(self._running) - (len(self._planner) - self._planner.new) - len(self._lost)

    def _ask(self) -> None:
        """Have a new trial proposed, or note that the space is used up."""
        retry = self._retries.pop(0) if self._retries else None
        if retry is not None:
            self._searcher.enqueue(dict(retry.params))
        proposal = self._searcher.propose()
        if proposal is None:
            self._used_up = True
            return
        if retry is not None:
            self._repeats[proposal.key] = retry
        urgent = retry is not None or any(proposal.params == baseline for baseline in self._sweep.baselines)
        self._planner.add(self._sweep.shape_of(proposal.params), proposal, new=True, urgent=urgent)

    def _begin(self, proposal: Proposal) -> _Running:
        """Record a trial's start."""
        record = self._ledger.begin(proposal.params, self._repeats.pop(proposal.key, None))
        spec = TrialSpec(record.number, proposal.params, record.seed, record.epochs)
        self._running[record.number] = _Running(proposal.key, spec, record)
        return self._running[record.number]

    # Tell.

    def _handle(self, message: Message) -> None:
        if isinstance(message, Note):
            self._notes += [] if message.warning else [message.text]
            self._watcher.note(message.text, message.warning)
        elif isinstance(message, Artifact):
            self._ledger.attach(message.number, message.name, message.path)
        elif isinstance(message, Progress):
            with self._ledger.together():  # a cohort's reports are one write
                decisions = self._take_in(message.events)
            if message.waiting:
                self._engine.reply(message.assignment, decisions)

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
        lost = sum(isinstance(event, Failed) and event.lost for event in events)
        for event in events:
            if isinstance(event, Returned):
                self._wait_again(event)
            elif not isinstance(event, Reported):
                self._take_end(self._running[event.number], event, lost)
        return decisions

    def _report(self, running: _Running, event: Reported) -> None:
        self._ledger.report(event.number, event.step, event.metrics, event.time)
        value = event.metrics.get(self._sweep.metric.name)
        if value is not None:
            self._searcher.report(running.key, event.step, value)

    def _decide(self, running: _Running, event: Reported) -> Decision:
        if running.stop_reason:
            return Decision.STOP
        if event.step not in self._steps or self._sweep.metric.name not in event.metrics:
            return Decision.CONTINUE
        return self._searcher.decide(running.key, event.step)

    def _wait_again(self, event: Returned) -> None:
        """Put a trial that a worker gave back among those that wait."""
        running = self._running[event.number]
        shape = self._sweep.shape_of(running.spec.params)
        self._planner.limit(shape, event.at_most)
        self._planner.add(shape, running, new=False)
        if event.reason and event.reason not in self._reasons:
            self._reasons.add(event.reason)
            which = ", ".join(f"{name}={value}" for name, value in shape) or "all"
            self._watcher.note(f"trials train one by one ({which}): {event.reason}")

    def _take_end(self, running: _Running, event: Event, lost: int) -> None:
        """Take in a trial's end. lost: trials that died with the same worker."""
        assert not isinstance(event, Reported | Returned)
        record = running.record
        record.info |= {key: fact for key, fact in event.info.items() if key != "unread"}
        if isinstance(event, Finished):
            self._finish(running, event)
        elif isinstance(event, Stopped):
            self._end(running, "pruned", stopped_by=running.stop_reason)
        elif isinstance(event, Diverged):
            # Pruned, so that the sampler learns to keep away; a failed trial would teach it nothing.
            self._end(running, "pruned", diverged=event.epoch)
        elif event.lost and record.attempts < _ATTEMPTS and not self._interrupts:
            self._run_again(running, lost)
        else:
            self._end(running, "failed", error=event.error, traceback=event.traceback)

    def _run_again(self, running: _Running, lost: int) -> None:
        """Have a trial whose worker died run once more: first in smaller cohorts, since a large one may have been too
        much; then alone, so that one that kills its worker takes no other with it."""
        self._ledger.again(running.spec.number)
        if lost == 1 or running.record.attempts == _ATTEMPTS:
            self._lost.append(running)
            return
        shape = self._sweep.shape_of(running.spec.params)
        self._planner.limit(shape, max(1, lost // 2))
        self._planner.add(shape, running, new=False, urgent=True)

    def _finish(self, running: _Running, event: Finished) -> None:
        metric = self._sweep.metric.name
        value = event.value if event.value is not None else running.record.last(metric)
        if value is None:
            reported = sorted({name for metrics in running.record.steps.values() for name in metrics})
            said = f"it reported {', '.join(reported)}" if reported else "it reported nothing"
            self._end(running, "failed", error=f"ValueError: the metric {metric!r} was never reported; {said}")
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

    def _end(self, running: _Running, state: State, **facts: Any) -> None:
        """Record a trial's end, in the ledger and for the sampler."""
        record = self._ledger.end(running.spec.number, state, **facts)
        del self._running[record.number]
        self._searcher.finish(running.key, _OPTUNA_STATES[state], record.value)
        self._count(record)
        self.standing.ended_here += state in ("complete", "pruned")
        if self._rank(record):
            self._ledger.best(record)
        self._watcher.trial(record, self.standing)
        self._check_ends(record)

    def _count(self, record: TrialRecord) -> None:
        standing = self.standing
        if record.interrupted:
            return  # it is run again: neither a result nor a failure of the objective
        standing.complete += record.state == "complete"
        standing.pruned += record.state == "pruned"
        standing.failed += record.state == "failed"
        standing.diverged += record.diverged is not None
        if record.state == "failed":
            standing.errors[re.sub(r"\d+", "#", record.error)] += 1

    def _rank(self, record: TrialRecord) -> bool:
        """Note a complete trial as the baseline's or as the best, if it is; return whether it is the best."""
        standing = self.standing
        if record.state != "complete" or record.value is None:
            return False
        if standing.baseline is None and self._sweep.baselines and record.params == self._sweep.baselines[0]:
            standing.baseline = record
        best = standing.best.value if standing.best else None
        if best is not None and not self._sweep.metric.better(record.value, best):
            return False
        standing.best = record
        return True

    # The end.

    def _check_ends(self, record: TrialRecord) -> None:
        """Stop asking where a trial's end is reason to."""
        if record.value is not None and self._sweep.metric.reached(record.value):
            self._wind_up(f"{self._sweep.metric.name} reached its target with trial {record.number}")
        if record.state != "failed" or record.interrupted:
            return
        standing = self.standing
        first = min(_SAME_ERROR, self._sweep.budget.trials)
        if standing.done == 0 and standing.failed >= first and len(standing.errors) == 1:
            self._fail(f"the first {standing.failed} trials all failed with the same error", record)
        elif standing.failed > self._sweep.budget.failures:
            self._fail(
                f"{standing.failed} trials failed, more than budget.failures={self._sweep.budget.failures}", record
            )

    def _fail(self, reason: str, record: TrialRecord) -> None:
        self.standing.error = record.traceback or record.error
        self._wind_up(reason)

    def _wind_up(self, reason: str) -> None:
        """Ask for no more trials; those that run go on to their ends."""
        if not self._closing:
            self._closing = True
            self.standing.reason = reason

    def _look_around(self) -> None:
        """See to the clock, to Ctrl-C and to MLflow's answers."""
        self.standing.running = len(self._running)
        self._look_at_the_clock()
        if self._interrupts and not self.standing.interrupted:
            self.standing.interrupted = True
            self._wind_up("interrupted")
            if self._running:
                waiting = f"{len(self._running)} running trial{'s' if len(self._running) > 1 else ''}"
                self._watcher.note(f"interrupted: waiting for {waiting} to end (again to stop at once)", warning=True)
        for notice in self._ledger.pump():
            self._watcher.note(notice.text, notice.warning)

    def _look_at_the_clock(self) -> None:
        """End the sweep when its time is spent."""
        limit = self._sweep.budget.seconds
        if limit is not None and self._ledger.seconds >= limit and not self._closing:
            self._wind_up(f"budget.seconds={limit:g} is spent")
            for running in self._running.values():
                running.stop_reason = "budget.seconds"
            if self._running:
                self._engine.stop(self._running)

    @contextmanager
    def _counting_interrupts(self) -> Iterator[None]:
        """Count Ctrl-C and SIGTERM instead of dying of them: the first lets running trials end, the second does not."""

        def count(number: int, frame: FrameType | None) -> None:
            self._interrupts += 1
            self.standing.reason = self.standing.reason or "interrupted"

        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread can have handlers
            return
        before = {number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
