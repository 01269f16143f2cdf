"""The trials that run: what they report, who of them goes on, and what becomes of them when they end."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from hpo.driver.backlog import Backlog, RunningTrial
from hpo.driver.ending import end_trial
from hpo.driver.interrupts import Interrupts
from hpo.driver.results import Circumstances, End, RunAgain, interrupted, judge
from hpo.driver.tally import Tally
from hpo.driver.termination import Termination
from hpo.events import (
    Answer,
    AskedParameter,
    BestStep,
    Decision,
    DecisionSteps,
    Event,
    Failed,
    FailureKind,
    Finished,
    Reported,
    Response,
    Returned,
    TrialSpec,
)
from hpo.ledger.ledger import Ledger, Refusal
from hpo.ledger.study.records import Outcome
from hpo.search.searcher import Proposal, Searcher
from hpo.spec.sweep import Sweep
from hpo.spec.written import parameter_of
from hpo.standing import SweepListener


class RunningTrials:
    """Trials that have begun and not ended, by number; those that came back from a worker wait to run again."""

    def __init__(
        self,
        sweep: Sweep,
        ledger: Ledger,
        searcher: Searcher,
        backlog: Backlog,
        decision_steps: DecisionSteps,
        tally: Tally,
        termination: Termination,
        interrupts: Interrupts,
        listener: SweepListener,
    ) -> None:
        self._sweep = sweep
        self._ledger = ledger
        self._searcher = searcher
        self._backlog = backlog
        self._decision_steps = decision_steps
        self._tally = tally
        self._termination = termination
        self._interrupts = interrupts
        self._listener = listener
        self._running: dict[int, RunningTrial] = {}
        self._reasons: set[str] = set()  # for training trials alone, as far as they were told
        self._told: set[str] = set()  # kinds of notes on what trials report

    def __len__(self) -> int:
        return len(self._running)

    @property
    def numbers(self) -> Collection[int]:
        return list(self._running)

    @property
    def room(self) -> int:
        """How many more trials may begin without overspending the budget, those of other drivers counted in."""
        return self._termination.room(len(self._running) + self._ledger.membership.elsewhere)

    def begin(self, proposal: Proposal) -> RunningTrial | None:
        """Record a trial's start; None if the trials of other drivers forbid it."""
        record = self._ledger.begin(proposal.params, self._backlog.repeated_by(proposal))
        if record is Refusal.FULL:
            self._backlog.hold(proposal)
            return None
        if record is Refusal.DOUBLE:
            self._searcher.drop(proposal.key)
            return None
        self._backlog.begin(proposal)
        self._searcher.begin(proposal.key, record.number, record.retry_of)
        sweep, files = self._sweep, self._ledger.files
        passed = sweep.passed(proposal.params)
        checkpoint, weights = files.checkpoint_of(record), files.weights_of(record)
        best_step = None
        if sweep.metric.at == "best" and (weights is not None or sweep.leaves_outputs):
            best_step = BestStep(sweep.metric.name, 1 if sweep.metric.goal == "maximize" else -1)
        spec = TrialSpec(
            record.number, passed, record.seed, record.epochs, checkpoint, weights, sweep.health, best_step,
            files.files_of(),
        )  # fmt: skip
        self._running[record.number] = RunningTrial(proposal.key, spec, record)
        return self._running[record.number]

    def take_in(self, events: Sequence[Event]) -> dict[int, Response]:
        """Make events part of the sweep's state; return what their trials are told: whether they go on, or what they
        asked for.

        All reports are taken in before the stopping rule is asked of any: the members of a cohort arrive together.
        """
        reports = [event for event in events if isinstance(event, Reported)]
        responses: dict[int, Response] = dict.fromkeys((event.number for event in events), Decision.STOP)
        for report in reports:
            self._report(self._running[report.number], report)
        for report in reports:
            responses[report.number] = self._decide(self._running[report.number], report)
        died = sum(isinstance(event, Failed) and event.kind is FailureKind.DIED for event in events)
        for event in events:
            if isinstance(event, Returned):
                self._wait_again(event)
            elif isinstance(event, AskedParameter):
                responses[event.number] = self._answer(self._running[event.number], event)
            elif not isinstance(event, Reported):
                self._take_end(self._running[event.number], event, died)
        return responses

    def _answer(self, running: RunningTrial, event: AskedParameter) -> Answer:
        """Return a hyperparameter that a trial asks for. One that it asked for when its worker died is the same."""
        parameter, shown = parameter_of(event.name, event.entry), self._ledger.shown
        if refusal := shown.objection(parameter):
            return Answer(refusal=refusal)
        if event.name not in running.record.params:
            self._ledger.membership.heartbeat.stay_owner()
            try:
                value = self._searcher.suggest(running.key, parameter)
            except ValueError as error:  # Optuna's own refusal
                return Answer(refusal=str(error))
            shown.take(running.record, parameter, value)
        return Answer(running.record.params[event.name])

    def _report(self, running: RunningTrial, event: Reported) -> None:
        self._ledger.report(event.number, event.step, event.metrics, event.time)
        value = event.metrics.get(self._sweep.metric.name)
        if value is not None:
            self._searcher.report(running.key, event.step, value)

    def _decide(self, running: RunningTrial, event: Reported) -> Decision:
        if running.stopped_by:
            return Decision.STOP
        if event.step not in self._decision_steps or self._sweep.metric.name not in event.metrics:
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
            self._listener.note(f"trials train one by one ({which}): {event.reason}")

    def stopping(self, numbers: Iterable[int], limit: str) -> None:
        """Take in that trials are told to stop, for a limit."""
        for number in numbers:
            self._running[number].stopped_by = limit

    def interrupt_all(self) -> None:
        """End what still runs, so that the study can go on from here."""
        for running in list(self._running.values()):
            self._end(running, interrupted())

    def _take_end(self, running: RunningTrial, event: End, died: int) -> None:
        """Take in a trial's end. died: trials whose worker died, of those that are told of together."""
        unread = event.info.get("unread")
        running.record.info |= {key: fact for key, fact in event.info.items() if key != "unread"}
        self._tell_notes(running.spec.number, event.info.get("notes", {}))
        circumstances = Circumstances(running.stopped_by, running.failures, died, bool(self._interrupts))
        verdict = judge(event, running.record, self._sweep, circumstances)
        if isinstance(verdict, RunAgain):
            self._run_again(running, verdict)
            return
        if isinstance(event, Finished) and verdict.state == "complete" and unread:
            self._tell_unread(unread)
        self._end(running, verdict)

    def _run_again(self, running: RunningTrial, verdict: RunAgain) -> None:
        running.failures[verdict.failure] += verdict.counts
        self._ledger.again(running.spec.number)
        running.stopped_by = ""
        if verdict.alone:
            self._backlog.run_alone(running)
        else:
            self._backlog.run_again(running, verdict.at_most, urgent=True)

    def _tell_unread(self, names: Sequence[str]) -> None:
        """Point out, after the first trial, parameters that are searched although nobody reads them."""
        if self._tally.standing.counts.complete == 0:
            listed = ", ".join(names)
            self._listener.note(
                f"the objective never read {listed}: searching what has no effect is wasted", warning=True
            )

    def _tell_notes(self, number: int, notes: Mapping[str, str]) -> None:
        """Tell what a trial's worker remarked, a kind once in a sweep: such remarks hold for all trials alike."""
        for kind, text in notes.items():
            if kind not in self._told:
                self._told.add(kind)
                self._listener.note(f"trial {number}: {text}", warning=True)

    def _end(self, running: RunningTrial, outcome: Outcome) -> None:
        number, metric = running.spec.number, self._sweep.metric.name
        record = end_trial(number, running.key, outcome, metric, self._ledger, self._searcher, self._tally)
        del self._running[number]
        self._tally.standing.counts.ended_here += record.counts
        self._listener.trial(record, self._tally.standing)
        self._termination.take(record)
