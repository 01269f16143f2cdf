"""The driver's part under Ray Tune: Tune runs the loop, and this keeps the study, MLflow and the sampler up to it.

Knows nothing of Ray: trials go by the ids that somebody else gave them.
"""

from __future__ import annotations

import atexit
import enum
import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpo.driver import results
from hpo.driver.ending import end_trial
from hpo.driver.reports import ReportBuffer
from hpo.driver.tally import Tally
from hpo.driver.termination import Termination
from hpo.events import Decision
from hpo.ledger.ledger import Ledger, Notice, Refusal
from hpo.ledger.mirror.reach import refuse_unusable
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import Outcome, TrialRecord, record_of
from hpo.ledger.succession import begin_successor, choose_study
from hpo.search.searcher import Searcher
from hpo.spec.conditions import same_params
from hpo.spec.faults import UserError
from hpo.spec.sweep import Sweep

log = logging.getLogger("hpo.tune")


class NoTrial(enum.Enum):
    """Why nothing is proposed."""

    WAIT = "wait"  # the trials that run may use up the budget, or may fail
    FINISHED = "finished"


@dataclass
class _TuneTrial:
    """A trial that Tune has begun and not ended."""

    key: int  # the searcher's name for it
    record: TrialRecord
    diverged_at: int | None = None  # the last report of the metric, if it was not finite
    steps: dict[int, dict[str, float]] = field(default_factory=dict)  # before it was run again, to be kept or dropped
    times: dict[int, float] = field(default_factory=dict)


def open_recorder(sweep: Sweep, home: Home, clock: Callable[[], float] = time.time) -> Recorder:
    """Take over a sweep's study; settle what an earlier process left running.

    Raises UserError if the study is another sweep's, or is being run by another process, or if MLflow can never be
    written as it is configured.
    """
    refuse_unusable(home)
    home.prepare()
    choice = choose_study(sweep, home)
    for note in begin_successor(choice, home):
        log.warning("%s", note)
    ledger = Ledger(choice.sweep, home, clock, storage=choice.storage)
    atexit.register(ledger.abandon)  # a process for MLflow that nobody ends would keep this one from ending
    try:
        ledger.warm_up()
        return Recorder(ledger, clock)
    except BaseException:
        atexit.unregister(ledger.abandon)
        ledger.abandon()
        raise


class Recorder:
    """Keeps a study while a Tune experiment runs. Used from the thread of Tune's controller only."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float]) -> None:
        """ledger: the study's, warmed up; it is the recorder's from now on."""
        self._ledger = ledger
        self.sweep = sweep = ledger.sweep
        self._tally = Tally(sweep)
        self._termination = Termination(sweep, self._tally.standing, self._tell_reason)
        for record in ledger.ended:
            self._tally.take(record)
            self._termination.remember(record)
        continued = ledger.continued
        self._history, self._interrupted = ledger.start()  # all ended; those of them that are to be run again
        self._searcher = Searcher(sweep, self._history, ledger.membership.stream)
        self._running: dict[str, _TuneTrial] = {}
        self.known: dict[str, int] = {}  # all trials by the ids that they have outside: their numbers in the study
        self._past: set[str] = set()  # those that had ended before, and run once more
        self._reports = ReportBuffer(ledger, clock)
        self._closed = False
        self._termination.check_target(self._tally.standing.best, "had reached")
        if continued:
            log.warning("going on with study %r: %d trials are done", sweep.name, self._tally.standing.done)
        for note in (*sweep.notes, *ledger.membership.take_notes()):
            log.warning("%s", note)

    @property
    def unmirrored(self) -> str:
        """What MLflow lacks, once the records are closed; "" if nothing."""
        return self._tally.standing.unmirrored

    @property
    def study_id(self) -> str:
        """The study's own id: not that of another one by the same name."""
        return self._ledger.study_id

    def running(self) -> list[str]:
        """Return the ids of the trials that run."""
        return list(self._running)

    def record(self, trial: str) -> TrialRecord | None:
        """Return the record of a trial that runs."""
        found = self._running.get(trial)
        return found.record if found is not None else None

    def is_past(self, trial: str) -> bool:
        """Whether a trial had ended before, and runs once more without being recorded."""
        return trial in self._past

    # Ask.

    def suggest(self, trial: str, coming: Collection[int] = ()) -> TrialRecord | NoTrial:
        """Begin a trial under an id from outside. coming: numbers of trials that will be run again from outside."""
        if self._termination.room(0) <= 0:
            return NoTrial.FINISHED
        free = [record for record in self._interrupted if record.number not in coming]
        if self._termination.room(len(self._running) + len(self._interrupted) - len(free)) <= 0:
            return NoTrial.WAIT
        retry = free[0] if free else None
        self._interrupted = [record for record in self._interrupted if record is not retry]
        begun = self._begin(trial, retry)
        if begun is None:
            self._termination.stop("every configuration was tried")
            return NoTrial.FINISHED
        return begun

    def _tell_reason(self, reason: str) -> None:
        log.warning("study %r: no more trials are proposed: %s", self.sweep.name, reason)

    def _begin(
        self, trial: str, retry: TrialRecord | None, params: Mapping[str, Any] | None = None
    ) -> TrialRecord | None:
        if retry is not None or params is not None:
            self._searcher.enqueue(dict(retry.params if retry is not None else params or {}))
        proposal = self._searcher.propose()
        if proposal is None:
            return None
        record = self._ledger.begin(proposal.params, retry)
        assert not isinstance(record, Refusal), "the study is not shared"
        self._searcher.begin(proposal.key, record.number, record.retry_of)
        record.info["tune_trial"] = trial
        self._running[trial] = _TuneTrial(proposal.key, record)
        self.known[trial] = record.number
        return record

    def resume(self, trial: str, number: int | None, params: Mapping[str, Any], reported: Mapping[int, Any]) -> None:
        """Take in that a trial of an earlier process is run again from outside (Tuner.restore).

        number: the trial's in the study, as far as that is known. reported: what it had, as {step: (metrics, moment)}.
        """
        earlier = self._earlier(number, params)
        if earlier is not None and earlier.counts:
            self._past.add(trial)
            log.warning(
                "trial %d had ended before (%s); what it does now is not recorded", earlier.number, earlier.state
            )
            return
        if earlier is not None:
            self._interrupted = [record for record in self._interrupted if record.number != earlier.number]
        if self._begin(trial, earlier, params) is None:
            raise UserError(f"trial {trial} can't be run again: {dict(params)} is no configuration of the study")
        found = self._running[trial]
        for step, (metrics, moment) in reported.items():
            found.steps[step], found.times[step] = dict(metrics), moment

    def _earlier(self, number: int | None, params: Mapping[str, Any]) -> TrialRecord | None:
        if number is not None:
            return next((record_of(t, history=False) for t in self._history if t.number == number), None)
        return next((record for record in self._interrupted if same_params(record.params, params)), None)

    # Tell.

    def report(self, trial: str, step: int, metrics: Mapping[str, float], moment: float) -> bool:
        """Take in what a trial reports; a step that comes twice counts once. Returns whether it may go on: a value of
        the metric that is not finite is the end of a trial."""
        found = self._running.get(trial)
        if found is None:
            return True
        if found.steps:
            self._go_on_from(found, step)
        name = self.sweep.metric.name
        value = metrics.get(name)
        if value is not None:
            found.diverged_at = None if math.isfinite(value) else step
        finite = {key: number for key, number in metrics.items() if math.isfinite(number)}
        if finite:
            self._reports.add(found.record.number, step, finite, moment)
        if value is not None and found.diverged_at is None:
            self._searcher.report(found.key, step, value)
        if self._reports.full:
            self._reports.flush()
        return found.diverged_at is None

    def _go_on_from(self, found: _TuneTrial, step: int) -> None:
        """Keep the steps before `step` of what a trial reported before it was run again: those that it won't repeat."""
        kept = sorted(earlier for earlier in found.steps if earlier < step)
        for earlier in kept:
            self._reports.add(found.record.number, earlier, found.steps[earlier], found.times[earlier])
        found.steps, found.times = {}, {}

    def decide(self, trial: str, step: int) -> Decision:
        """Return what the study's stopping rule says after a report."""
        found = self._running.get(trial)
        return Decision.CONTINUE if found is None else self._searcher.decide(found.key, step)

    def again(self, trial: str) -> None:
        """Take in that a trial failed and is run again under its number, from its start or from a checkpoint."""
        found = self._running.get(trial)
        if found is None:
            return
        self._reports.flush()
        steps, times = dict(found.record.steps), dict(found.record.times)
        self._ledger.again(found.record.number)
        found.steps, found.times = {**found.steps, **steps}, {**found.times, **times}
        found.diverged_at = None

    def end(
        self,
        trial: str,
        info: Mapping[str, Any] | None = None,
        *,
        failure: Outcome | None = None,
        stopped_by: str | None = None,
    ) -> None:
        """Record a trial's end.

        failure: how it failed; None: it ended without an error. stopped_by: what stopped it, "" for the study's
        stopping rule; None: it trained to its end. info: what is recorded of where it ran.
        """
        found = self._running.get(trial)
        if found is None:
            return
        metric = self.sweep.metric
        with self._ledger.together():
            self._reports.flush()
            outcome = failure or results.ended(found.record, metric, stopped_by=stopped_by, diverged=found.diverged_at)
            found.record.info |= dict(info or {})
            number = found.record.number
            record = end_trial(number, found.key, outcome, metric.name, self._ledger, self._searcher, self._tally)
        del self._running[trial]
        self._termination.take(record)

    def has_reported(self, trial: str) -> bool:
        """Whether a running trial has reported anything."""
        self._reports.flush()
        found = self._running.get(trial)
        return found is not None and bool(found.record.steps or found.steps)

    def interrupt(self, trial: str) -> None:
        """Record that a trial was cut off; who goes on with the study runs it again."""
        self.end(trial, failure=results.interrupted())

    # Writing.

    def tick(self) -> None:
        """Write what is due. Call it often."""
        if self._reports.due:
            self._reports.flush()
            _tell(self._ledger.pump())

    def reported(self) -> dict[str, dict[int, tuple[dict[str, float], float]]]:
        """Return what each trial that runs has reported so far: {id: {step: (metrics, moment)}}."""
        self._reports.flush()
        return {
            trial: {step: (metrics, found.record.times[step]) for step, metrics in found.record.steps.items()}
            | {step: (metrics, found.times[step]) for step, metrics in found.steps.items()}
            for trial, found in self._running.items()
        }

    def close(self, error: str = "") -> None:
        """End what still runs, so that the study can go on from here, and close the records."""
        if self._closed:
            return
        interrupted = bool(self._running)
        for trial in self.running():
            self.interrupt(trial)
        standing = self._tally.standing
        standing.error = error
        enough = self._termination.reason or ("" if standing.done >= self.sweep.budget.trials else "Ray Tune")
        standing.reason = error or ("interrupted" if interrupted else enough)
        status = "FAILED" if error else "KILLED" if interrupted else "FINISHED"
        notices = self._ledger.close(status, self._tally.summary(self._ledger.seconds), hurry=lambda: False)
        standing.unmirrored = " and ".join(notice.text for notice in notices if notice.missing)
        _tell(notices)
        self._closed = True
        atexit.unregister(self._ledger.abandon)

    def abandon(self, error: BaseException | None = None) -> None:
        """End without writing anything more: what is left, the next one who opens the study settles. error: why."""
        self._closed = True
        atexit.unregister(self._ledger.abandon)
        self._ledger.abandon(error)


def _tell(notices: Iterable[Notice]) -> None:
    for notice in notices:
        log.log(logging.WARNING if notice.warning else logging.INFO, "%s", notice.text)
