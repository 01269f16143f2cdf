"""The ledger: what happened to each trial, written to the study first, then to MLflow. One writer, in the driver."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from hpo.events import FILES_ARCHIVE, OUTPUTS_FILE
from hpo.ledger.ends import RUN_ID_PATIENCE, Ends
from hpo.ledger.mirror.mirror import Mirror
from hpo.ledger.mirror.process import Notice as Notice
from hpo.ledger.outputs import KeptOutputs
from hpo.ledger.references import ReferenceBook
from hpo.ledger.sharing.look import runs_now
from hpo.ledger.sharing.membership import Membership
from hpo.ledger.sharing.others import News
from hpo.ledger.sharing.others import Refusal as Refusal
from hpo.ledger.sharing.ownership import own_study
from hpo.ledger.shown_space import ShownSpace
from hpo.ledger.stopwatch import Stopwatch
from hpo.ledger.study.book import StudyBook, StudyGone, ended_copy, facts_of
from hpo.ledger.study.diagnosed import diagnosed
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import Outcome, TrialRecord, finite, record_of
from hpo.ledger.study.restored import origin_of, sweep_record_of
from hpo.ledger.study.settling import settle, to_be_repeated
from hpo.ledger.study.settling import trial_seed as trial_seed
from hpo.ledger.study.sources import sources_attribute
from hpo.ledger.trial_files import TrialFiles
from hpo.spec.faults import RecordsGone
from hpo.spec.sweep import Sweep


class Ledger:
    """Owns a sweep's records: which trials run, how they ended, and that both records say so.

    membership: this driver among all that run the study. study_id: the study's own id, not that of another study by the
    same name. ended: the records of trials that had ended when it came, without their steps, until `forget`.
    references: what is measured beside the trials. files: theirs, on this disk. shown: what define-by-run ones ask for.
    """

    def __init__(
        self,
        sweep: Sweep,
        home: Home,
        clock: Callable[[], float] = time.time,
        join: bool = False,
        storage: BaseStorage | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        """Become the study's driver and look at what is there; records nothing until `start`.

        join: become one of several drivers, which share the study and its budget. storage: the home's, if it is open.
        mirror: what keeps MLflow, not yet started; the home's by default.
        Raises UserError if another driver runs the study and doesn't share it, or if the study is another sweep's.
        """
        self._clock = clock
        ownership, storage = own_study(sweep, home, join, storage, sweeping=sweep.confirms is None)
        try:
            self._book = StudyBook(sweep, home, storage, ownership.number if join else 0)
            trials = self._book.trials()
        except BaseException:
            ownership.give_up()
            raise
        if join:  # what others are about to end is news then
            trials = [trial for trial in trials if trial.state.is_finished()]
        known = [trial.number for trial in trials] if join else None
        self.membership = Membership(sweep, self._book, ownership, known, clock)
        self.references = ReferenceBook(self._book)
        self._trials = trials
        records = [record_of(trial, history=False) for trial in trials]
        self.ended = [record for record in records if record.state != "running"]
        self._done = sum(record.state in ("complete", "pruned") for record in self.ended)
        self._records: dict[int, TrialRecord] = {}  # running
        self._stopwatch = Stopwatch(self._book, clock)
        self._mirror = mirror or Mirror(home, runs_now)
        self.shown = ShownSpace(self._book)
        self._ends = Ends(self._book, self._mirror, clock)
        self.study_id = str(self._book.attributes.get("id", uuid.uuid4().hex))
        self._outputs = KeptOutputs(home.outputs / self.study_id)
        self.files = TrialFiles(sweep, home, self.study_id, self._mirror.attach)

    @property
    def sweep(self) -> Sweep:
        """The sweep with the budget that the study goes on to: the file's, or what it was extended to."""
        return self.membership.budget.sweep

    def extend(self, trials: int) -> bool:
        """Set the budget to this many trials more than the study has. If the study was extended by as many before, and
        has not got there yet, that goes on; returns whether it does."""
        return self.membership.budget.extend(trials, self._done)

    @property
    def continued(self) -> bool:
        """Whether the study was there before."""
        return self._book.exists

    @property
    def done(self) -> int:
        """Trials so far that count against the budget."""
        return self._done

    @property
    def seconds(self) -> float:
        """Wall time of the sweep, over all the times that it was run."""
        return self._stopwatch.seconds

    def warm_up(self) -> None:
        """Start the process that writes MLflow, which takes seconds."""
        self._mirror.start()

    def abandon(self, error: BaseException | None = None, hurry: Callable[[], bool] = lambda: False) -> None:
        """End without writing anything more into the study. error: why; if the records are gone, MLflow's runs that
        still run are ended, which nobody could do later. hurry: whether not to wait for that any longer."""
        self.membership.give_up()
        gone = str(error) if isinstance(error, RecordsGone | StudyGone) else ""
        self._mirror.abandon(gone, hurry, self.membership.heartbeat.lost)

    # From the taking over of a study to its end.

    def start(self, notes: Sequence[str] = ()) -> tuple[list[FrozenTrial], list[TrialRecord]]:
        """Create or take over the study, start the writing to MLflow, and settle what an earlier driver left running.

        notes: what was done to the data, kept in both records.
        Returns the trials of the study, all ended, for the sampler; and those that are to be run again.
        """
        self._mirror.start()
        self.membership.heartbeat.beat()  # it may have slept
        self._stopwatch.start()
        with self.together():
            return self._take_over(notes)

    def _take_over(self, notes: Sequence[str]) -> tuple[list[FrozenTrial], list[TrialRecord]]:
        attributes = self.membership.budget.attributes(facts_of(self.sweep, self.study_id), self._done)
        origin = origin_of(self.sweep, self._clock(), self._book.attributes.get("origin"))
        noted = sources_attribute(self._book.attributes, self.sweep) | ({"data_notes": list(notes)} if notes else {})
        self._book.create({**attributes, "origin": origin, **noted})
        trials, self._trials = self._trials, []
        running = [trial for trial in trials if not trial.state.is_finished()]
        settled = {trial.number: settle(self._book, self.sweep, trial, self._clock()) for trial in running}
        records = [settled.get(trial.number) or record_of(trial, history=False) for trial in trials]
        shared, alone = self.membership.joined, self.membership.alone
        opening = sweep_record_of(self.sweep.name, self._book.attributes, self._stopwatch.began)
        level = records if alone else []  # the settled too: the best-so-far curve counts them
        self._mirror.open(replace(opening, shared=shared), level)
        for record in settled.values():
            self._ends.go_on_with(record)
        again = [] if shared else to_be_repeated(records)  # `news` tells which of them are this driver's
        self.files.open(records, None if shared else again)
        pairs = zip(trials, records, strict=True)
        ended = [ended_copy(trial, record) if trial.number in settled else trial for trial, record in pairs]
        return self._book.forget_histories(ended), again

    def forget(self, history: Iterable[FrozenTrial]) -> None:
        """Let go of what `start` returned, once the sampler and the standing have taken it in."""
        self._book.forget(history)
        self.ended = []

    def news(self) -> News:
        """Look at what other drivers do, and settle what dead ones left. For a shared study; call it every few seconds,
        after `start`."""
        news = self.membership.news(self._settle)
        ended = [record for _, record in news.ended]
        self.files.learn(news.again, ended)
        self._done += sum(record.state in ("complete", "pruned") for record in ended)
        return news

    def _settle(self, left: Sequence[FrozenTrial]) -> list[TrialRecord]:
        """End trials that another driver left running."""
        self._mirror.look_again()  # they may have runs of which this driver's mirror knows nothing
        records = [settle(self._book, self.sweep, trial, self._clock()) for trial in left]
        for record in records:
            self._ends.go_on_with(record)
        return records

    def leave(self, hurry: Callable[[], bool]) -> tuple[bool, list[Notice]]:
        """Leave a shared study, once all is written. Returns whether no other driver is left, and what the user should
        know. `news` still tells, then `close` comes."""
        notices = self._write_ends(hurry)
        waiting = self.membership.heartbeat.while_waiting(hurry)
        last, more = self._mirror.leave(waiting, self.membership.leave)
        return last, notices + more

    def close(self, status: str, summary: Mapping[str, Any], hurry: Callable[[], bool]) -> list[Notice]:
        """Write everything that is left and end the parent run (`FINISHED`, `KILLED` or `FAILED`), unless other drivers
        still write into it.

        hurry: whether MLflow is not to be waited for any longer.
        Returns what the user should know, such as trials that MLflow could not be told of yet.
        """
        last, mirror = self.membership.last, self._mirror
        warnings = self._write_ends(hurry) if last else []
        if last and self.membership.joined:  # what drivers that died did not get to
            mirror.level([record_of(trial, history=False) for trial in self.membership.all_ended()])
        waiting = self.membership.heartbeat.while_waiting(hurry) if last else hurry
        warnings += mirror.close(status if last else "", self.references.beside(summary, last), waiting)
        if mirror.parent_id and last:
            self._book.set_attribute("mlflow_run_id", mirror.parent_id)
        if last:
            self.membership.budget.close(self._done)
        self.membership.give_up()
        return warnings

    def _write_ends(self, hurry: Callable[[], bool]) -> list[Notice]:
        """Write the ends of all trials into the study."""
        deadline, warnings = time.monotonic() + RUN_ID_PATIENCE, self.pump()
        while self._ends.waiting and time.monotonic() < deadline and not hurry():
            time.sleep(0.02)
            warnings += self.pump()
        warnings += self.pump(force=True)
        with self.together():
            self.membership.heartbeat.beat()
            self._stopwatch.note()
        self.files.finish()
        return warnings

    # A trial, from its start to its end.

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write all that is recorded inside the block at its end, in one go: to the study, then to MLflow.

        Nothing of it counts before: MLflow's process gets to know nothing that is not in the study. Blocks may be
        nested; a database writes at once as ever. An exception that leaves the block changes nothing of that. Raises
        OSError if the study can't be written: the journal is as before, and this ledger of no more use; `abandon` it.
        """
        try:
            with self._ends.first.together():
                yield
        finally:
            if not self._ends.first.open and not self._book.failed:
                self.files.settle()

    def begin(self, params: Mapping[str, Any], retry: TrialRecord | None = None) -> TrialRecord | Refusal:
        """Record a trial's start. retry: the interrupted trial that this one repeats, with its seed.

        In a shared study the trials of other drivers may forbid it; no trace of the trial counts then.
        """
        self.membership.heartbeat.stay_owner()
        if refusal := self.membership.refusal(params, retry is not None):
            return refusal
        sweep, number = self.sweep, self._book.next_number
        record = TrialRecord(
            number=number,
            params=dict(params),
            seed=retry.seed if retry else trial_seed(sweep, number, params),
            epochs=sweep.epochs_of(params),
            started=self._clock(),
            retry_of=retry.number if retry else None,
            run_id=uuid.uuid4().hex,
        )
        certain = self._mirror.takes_ids
        with self.together():
            record.number = self._book.begin(record, named=certain)
            self.membership.hold(record.number)
            if record.number != number and not retry:  # somebody else writes into the study
                record.seed = trial_seed(sweep, record.number, params)
                self._book.set_trial_attribute(record.number, "seed", record.seed)
            if refusal := self.membership.refusal(params, retry is not None, record.number):
                self._book.withdraw(record.number, refusal.value)
                return refusal
            self._records[record.number] = record
            self._ends.begun(record, certain)
            self._mirror.begin(record)
        self.files.take(record)
        return record

    def again(self, number: int) -> TrialRecord:
        """Record that a trial starts over, because its worker died; its steps will come again."""
        record = self._records[number]
        record.attempts += 1
        record.steps.clear()  # it may report fewer this time
        record.times.clear()
        self.files.again(number)
        return record

    def report(self, number: int, step: int, metrics: Mapping[str, float], moment: float) -> None:
        """Record a trial's metrics at a step, to which there may be several reports. A metric that comes again replaces
        its first value, in the same run and after a worker's death alike; but what the study has of the step, on which
        decisions rest, stays (StudyBook.report)."""
        self.membership.heartbeat.stay_owner()
        record = self._records[number]
        values, metric = finite(metrics), self.sweep.metric.name
        record.steps[step] = record.steps.get(step, {}) | values
        record.times[step] = moment
        if metric in values:
            with self.membership.heartbeat.unless_settled():
                self._book.report(number, step, values[metric])

    def end(self, number: int, outcome: Outcome) -> TrialRecord:
        """Record a trial's end.

        All of it is in the study when this returns, or at the end of the `together` around it; but for the state,
        where it is MLflow that gives the run's id, which comes first.
        """
        self.membership.heartbeat.stay_owner()
        record = self._records[number]
        record.outcome, record.ended = outcome, self._clock()
        record.diagnoses = diagnosed(record, self.sweep.metric.name, self.sweep.metric.goal)
        with self.together(), self.membership.heartbeat.unless_settled():
            self._ends.end(record)
            del self._records[number]
            self._done += outcome.state in ("complete", "pruned")
            self.files.end(record)
        return record

    def attach(self, number: int, name: str, path: str) -> None:
        """Keep a trial's file as an artefact of its MLflow run, or first here (KeptOutputs, TrialFiles)."""
        keeper = self._outputs if name == OUTPUTS_FILE else self.files if name == FILES_ARCHIVE else self._mirror
        keeper.attach(number, name, path)

    def best(self, record: TrialRecord) -> None:
        """Record that a trial is the best so far: one point of the best-so-far curve."""
        assert record.value is not None and record.ended is not None
        self._mirror.best(self._done, record.value, record.ended)

    def pump(self, force: bool = False) -> list[Notice]:
        """Write what has ended and can be written; return what the user should know of MLflow. Call it often.

        force: do not wait for run ids any longer.
        """
        heartbeat, warnings = self.membership.heartbeat, self._mirror.receive()
        if self._ends.waiting:
            heartbeat.stay_owner()
        with self.together(), heartbeat.unless_settled():
            self._ends.complete(force)
            if self._mirror.parent_id:  # early: by it the runs are found in an experiment that somebody renames
                self._book.set_attribute("mlflow_run_id", self._mirror.parent_id)
            if self._stopwatch.due:
                heartbeat.beat()
                self._stopwatch.note()
        return warnings
