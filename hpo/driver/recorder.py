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

from optuna.trial import FrozenTrial, TrialState

from hpo.driver.breaker import Breaker
from hpo.driver.spawn import without_main
from hpo.driver.tally import Tally
from hpo.events import Decision, FailureKind
from hpo.ledger.ledger import Ledger, Notice, Refusal
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import State, TrialRecord, record_of
from hpo.ledger.succession import find_place, settle_in
from hpo.search.searcher import Searcher
from hpo.spec.faults import UserError
from hpo.spec.sweep import Sweep

log = logging.getLogger("hpo.tune")

_TOGETHER_SECONDS = 0.5  # of reports that are written to the study in one go
_TOGETHER = 1000  # reports at most
_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
INTERRUPTED = "the sweep was interrupted"


class NoTrial(enum.Enum):
    """Why nothing is proposed."""

    WAIT = "wait"  # the trials that run may use up the budget, or may fail
    FINISHED = "finished"


@dataclass
class _Open:
    """A trial that has begun and not ended."""

    key: int  # the sampler's name for it
    record: TrialRecord
    bad_step: int | None = None  # the last report of the metric, if it was not finite
    steps: dict[int, dict[str, float]] = field(default_factory=dict)  # before it was run again, to be kept or dropped
    times: dict[int, float] = field(default_factory=dict)


class Recorder:
    """Owns a study while a Tune experiment runs. Used from the thread of Tune's controller only."""

    def __init__(self, sweep: Sweep, home: Home, clock: Callable[[], float] = time.time) -> None:
        """Take over the study; settle what an earlier process left running.

        Raises UserError if the study is another sweep's, or is being run by another process.
        """
        home.prepare()
        place = find_place(sweep, home)
        for note in settle_in(place, home):
            log.warning("%s", note)
        self._clock = clock
        self._ledger = Ledger(place.sweep, home, clock, storage=place.storage)
        self.sweep = self._ledger.sweep
        atexit.register(self.abandon)  # a process for MLflow that nobody ends would keep this one from ending
        try:
            with without_main():
                self._ledger.warm_up()
            self._take_over()
        except BaseException:
            self.abandon()
            raise

    def _take_over(self) -> None:
        sweep, ledger = self.sweep, self._ledger
        self._tally = Tally(sweep)
        self._breaker = Breaker(sweep.budget.trials, sweep.budget.failures)
        self._enough = ""  # why nothing more is proposed before the budget is spent
        for record in ledger.ended:
            self._tally.take(record)
            self._breaker.remember(record)
        continued = ledger.continued
        history, self._again = ledger.start()
        self._history: list[FrozenTrial] = history
        self._searcher = Searcher(sweep, history, ledger.stream)
        self._open: dict[str, _Open] = {}
        self.known: dict[str, int] = {}  # all trials by the ids that they have outside: their numbers in the study
        self._past: set[str] = set()  # those that had ended before, and run once more
        self._reports: list[tuple[int, int, Mapping[str, float], float]] = []  # not yet written
        self._written = self._clock()
        self._closed = False
        self._check_target()
        done = self._tally.standing.done
        if continued:
            log.warning("going on with study %r: %d trials are done", sweep.name, done)
        for note in (*sweep.notes, *ledger.take_notes()):
            log.warning("%s", note)

    @property
    def study_id(self) -> str:
        """The study's own id: not that of another one by the same name."""
        return self._ledger.study_id

    def open_ids(self) -> Iterable[str]:
        return list(self._open)

    def record(self, trial: str) -> TrialRecord | None:
        """Return the record of a trial that runs."""
        found = self._open.get(trial)
        return found.record if found is not None else None

    def is_past(self, trial: str) -> bool:
        """Whether a trial had ended before, and runs once more without being recorded."""
        return trial in self._past

    # Ask.

    def suggest(self, trial: str, coming: Collection[int] = ()) -> TrialRecord | NoTrial:
        """Begin a trial under an id from outside. coming: numbers of trials that will be run again from outside."""
        done = self._tally.standing.done
        if self._enough or done >= self.sweep.budget.trials:
            return NoTrial.FINISHED
        free = [record for record in self._again if record.number not in coming]
        if done + len(self._open) + len(self._again) - len(free) >= self.sweep.budget.trials:
            return NoTrial.WAIT
        retry = free[0] if free else None
        self._again = [record for record in self._again if record is not retry]
        begun = self._begin(trial, retry)
        if begun is None:
            self._wind_up("every configuration was tried")
            return NoTrial.FINISHED
        return begun

    def _check_target(self) -> None:
        best, metric = self._tally.standing.best, self.sweep.metric
        if best is not None and best.value is not None and metric.reached(best.value):
            self._wind_up(f"{metric.name} has reached its target with trial {best.number}")

    def _wind_up(self, reason: str) -> None:
        if reason and not self._enough:
            self._enough = reason
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
        self._open[trial] = _Open(proposal.key, record)
        self.known[trial] = record.number
        return record

    def resume(self, trial: str, number: int | None, params: Mapping[str, Any], told: Mapping[int, Any]) -> None:
        """Take in that a trial of an earlier process is run again from outside (Tuner.restore).

        number: the trial's in the study, as far as that is known. told: {step: (metrics, moment)} that it had reported.
        """
        earlier = self._earlier(number, params)
        if earlier is not None and earlier.state in ("complete", "pruned"):
            self._past.add(trial)
            log.warning(
                "trial %d had ended before (%s); what it does now is not recorded", earlier.number, earlier.state
            )
            return
        if earlier is not None:
            self._again = [record for record in self._again if record.number != earlier.number]
        if self._begin(trial, earlier, params) is None:
            raise UserError(f"trial {trial} can't be run again: {dict(params)} is no configuration of the study")
        found = self._open[trial]
        for step, (metrics, moment) in told.items():
            found.steps[step], found.times[step] = dict(metrics), moment

    def _earlier(self, number: int | None, params: Mapping[str, Any]) -> TrialRecord | None:
        if number is not None:
            return next((record_of(t, history=False) for t in self._history if t.number == number), None)
        return next((record for record in self._again if dict(record.params) == dict(params)), None)

    # Tell.

    def report(self, trial: str, step: int, metrics: Mapping[str, float], moment: float) -> bool:
        """Take in what a trial reports; a step that comes twice counts once. Returns whether it may go on: a value of
        the metric that is not finite is the end of a trial."""
        found = self._open.get(trial)
        if found is None:
            return True
        if found.steps:
            self._go_on_from(found, step)
        name = self.sweep.metric.name
        value = metrics.get(name)
        if value is not None:
            found.bad_step = None if math.isfinite(value) else step
        finite = {key: number for key, number in metrics.items() if math.isfinite(number)}
        if finite:
            self._reports.append((found.record.number, step, finite, moment))
        if value is not None and found.bad_step is None:
            self._searcher.report(found.key, step, value)
        if len(self._reports) >= _TOGETHER:
            self.flush()
        return found.bad_step is None

    def _go_on_from(self, found: _Open, step: int) -> None:
        """Keep the steps before `step` of what a trial reported before it was run again: those that it won't repeat."""
        kept = sorted(earlier for earlier in found.steps if earlier < step)
        number = found.record.number
        self._reports += [(number, earlier, found.steps[earlier], found.times[earlier]) for earlier in kept]
        found.steps, found.times = {}, {}

    def decide(self, trial: str, step: int) -> Decision:
        """Return what the study's rule of early stopping says after a report."""
        found = self._open.get(trial)
        return Decision.CONTINUE if found is None else self._searcher.decide(found.key, step)

    def again(self, trial: str) -> None:
        """Take in that a trial failed and is run again under its number, from its start or from a checkpoint."""
        found = self._open.get(trial)
        if found is None:
            return
        self.flush()
        steps, times = dict(found.record.steps), dict(found.record.times)
        self._ledger.again(found.record.number)
        found.steps, found.times = {**found.steps, **steps}, {**found.times, **times}
        found.bad_step = None

    def end(self, trial: str, state: State, info: Mapping[str, Any] | None = None, **facts: Any) -> None:
        """Record a trial's end. A complete one's value is its last report of the metric; without any it has failed."""
        found = self._open.get(trial)
        if found is None:
            return
        with self._ledger.together():
            self.flush()
            if state != "failed":
                state, facts = self._judge(found, state, facts)
            found.record.info |= dict(info or {})
            record = self._ledger.end(found.record.number, state, **facts)
        del self._open[trial]
        self._searcher.finish(found.key, _STATES[state], record.value)
        if self._tally.take(record):
            self._ledger.best(record)
        self._check_target()
        self._wind_up(self._breaker.take(record))

    def has_reported(self, trial: str) -> bool:
        """Whether a running trial has reported anything."""
        self.flush()
        found = self._open.get(trial)
        return found is not None and bool(found.record.steps or found.steps)

    def interrupt(self, trial: str) -> None:
        """Record that a trial was cut off; who goes on with the study runs it again."""
        self.end(trial, "failed", error=INTERRUPTED, interrupted=True)

    def _judge(self, found: _Open, state: State, facts: dict[str, Any]) -> tuple[State, dict[str, Any]]:
        """Return the state that a trial gets which ended without an error."""
        name, record = self.sweep.metric.name, found.record
        if found.bad_step is not None:
            return "pruned", {**facts, "diverged": found.bad_step}
        if state == "pruned":
            return state, facts
        value = record.last(name)
        if value is not None:
            return state, {**facts, "value": value}
        reported = sorted({key for metrics in record.steps.values() for key in metrics})
        said = f"it reported {', '.join(reported)}" if reported else "it reported nothing"
        error = f"ValueError: the metric {name!r} was never reported; {said}"
        return "failed", {"error": error, "failure": FailureKind.ERROR.value}

    # Writing.

    def flush(self) -> None:
        """Write the reports that wait to the study."""
        reports, self._reports = self._reports, []
        self._written = self._clock()
        if reports:
            with self._ledger.together():
                for number, step, metrics, moment in reports:
                    self._ledger.report(number, step, metrics, moment)

    def tick(self) -> None:
        """Write what is due. Call it often."""
        if self._clock() - self._written > _TOGETHER_SECONDS:
            self.flush()
            _tell(self._ledger.pump())

    def told(self) -> dict[str, dict[int, tuple[dict[str, float], float]]]:
        """Return what each trial that runs has reported so far: {id: {step: (metrics, moment)}}."""
        self.flush()
        return {
            trial: {step: (metrics, found.record.times[step]) for step, metrics in found.record.steps.items()}
            | {step: (metrics, found.times[step]) for step, metrics in found.steps.items()}
            for trial, found in self._open.items()
        }

    def close(self, error: str = "") -> None:
        """End what still runs, so that the study can go on from here, and close the records."""
        if self._closed:
            return
        interrupted = bool(self._open)
        for trial in self.open_ids():
            self.interrupt(trial)
        standing = self._tally.standing
        standing.error = error
        enough = self._enough or ("" if standing.done >= self.sweep.budget.trials else "Ray Tune")
        standing.reason = error or ("interrupted" if interrupted else enough)
        status = "FAILED" if error else "KILLED" if interrupted else "FINISHED"
        _tell(self._ledger.close(status, self._tally.summary(self._ledger.seconds), hurry=lambda: False))
        self._closed = True
        atexit.unregister(self.abandon)

    def abandon(self) -> None:
        """End without writing anything more: what is left, the next one who opens the study settles."""
        self._closed = True
        atexit.unregister(self.abandon)
        self._ledger.abandon()


def _tell(notices: Iterable[Notice]) -> None:
    for notice in notices:
        log.log(logging.WARNING if notice.warning else logging.INFO, "%s", notice.text)
