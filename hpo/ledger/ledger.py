"""The ledger: what happened to each trial, written to the study first, then to MLflow. One writer, in the driver."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from hpo.ledger.checkpoints import Checkpoints
from hpo.ledger.mirror.mirror import Mirror
from hpo.ledger.mirror.process import Notice as Notice
from hpo.ledger.sharing import extension
from hpo.ledger.sharing.others import News, Others
from hpo.ledger.sharing.others import Refusal as Refusal
from hpo.ledger.sharing.owners import OWNER_SECONDS, OwnershipLost, SharedOwnership, own_study
from hpo.ledger.study import provenance
from hpo.ledger.study.book import StudyBook, ended_copy, facts_of, forget_history
from hpo.ledger.study.home import Home
from hpo.ledger.study.patience import SECONDS as PATIENCE_SECONDS
from hpo.ledger.study.records import State, SweepRecord, TrialRecord, finite, record_of
from hpo.ledger.study.restored import origin_of
from hpo.ledger.study.settling import settle, to_be_repeated
from hpo.ledger.study.settling import trial_seed as trial_seed
from hpo.spec.sweep import Sweep

_RUN_ID_PATIENCE = 20.0  # seconds that a trial's end waits for a run id that MLflow gives, while MLflow works
_SECONDS_BETWEEN_BEATS = 10.0  # between notes of how long the sweep has run


class Ledger:
    """Owns a sweep's state: which trials run, how they ended, and that both records say so."""

    def __init__(
        self,
        sweep: Sweep,
        home: Home,
        clock: Callable[[], float] = time.time,
        join: bool = False,
        storage: BaseStorage | None = None,
    ) -> None:
        """Become the study's driver and look at what is there; records nothing until `start`.

        join: become one of several drivers, which share the study and its budget. storage: the home's, if it is open.
        Raises UserError if another driver runs the study and doesn't share it, or if the study is another sweep's.
        """
        self._sweep = sweep
        self._home = home
        self._clock = clock
        self._ownership, storage = own_study(sweep, home, join, storage)
        try:
            self._book = StudyBook(sweep, home, storage, self._ownership.number if join else 0)
            self._trials = self._book.trials()
        except BaseException:
            self._ownership.give_up()
            raise
        self.lost = False  # whether another driver has taken the study over
        self._seen = clock()  # when this driver last said that it lives
        self._others: Others | None = None
        self._estate: frozenset[int] = frozenset()  # drivers whose trials this one has seen to
        self._last = True  # whether no other driver is left
        self._mirror: Mirror | None = None
        self._records: dict[int, TrialRecord] = {}  # running
        self._ending: dict[int, tuple[TrialRecord, float]] = {}  # ended, state not yet written; since when it waits
        self._hopeful: set[int] = set()  # trials whose run ids hold if MLflow takes them, which was not known
        self._together = False
        self._spent: list[int] = []  # trials whose checkpoints are of no more use
        self._origins: dict[int, int] = {}  # the first of the trials that a trial repeats
        if join:  # what others are about to end is news then
            self._trials = [trial for trial in self._trials if trial.state.is_finished()]
            known = [trial.number for trial in self._trials]
            self._others = Others(self._book, sweep.space, self._ownership.number, known)
        records = [record_of(trial, history=False) for trial in self._trials]
        self.ended = [record for record in records if record.state != "running"]  # without their steps
        self._done = sum(record.state in ("complete", "pruned") for record in self.ended)
        self._began = self._seconds_written = clock()
        self._earlier_seconds = float(self._book.attributes.get("seconds", 0.0))
        self._extension: dict[str, Any] | None = self._book.attributes.get(extension.ATTRIBUTE)
        self._in_file = sweep.budget.trials
        self._sweep = _with_budget(sweep, extension.extended(self._extension, self._in_file))

    @property
    def sweep(self) -> Sweep:
        """The sweep with the budget that the study goes on to: the file's, or what it was extended to."""
        return self._sweep

    def extend(self, trials: int) -> bool:
        """Set the budget to this many trials more than the study has. If the study was extended by as many before, and
        has not got there yet, that goes on; returns whether it does."""
        before = self._extension
        recorded = _budget_in(self._book.attributes.get("sweep"))

        def agree(noted: dict[str, Any] | None, others: Collection[int] = ()) -> dict[str, Any]:
            args = (trials, self._in_file, self.done, recorded, self.number, others)
            return extension.extend(noted, *args).noted()

        if self._shared is not None:
            before, self._extension = self._shared.change(extension.ATTRIBUTE, agree)
        else:
            self._extension = agree(before)
        self._sweep = _with_budget(self._sweep, self._extension["to"])
        return self._extension == before

    @property
    def continued(self) -> bool:
        """Whether the study was there before."""
        return self._book.exists

    @property
    def study_id(self) -> str:
        """The study's own id, known after `start`: not that of another study by the same name."""
        return str(self._book.attributes["id"])

    @property
    def joined(self) -> bool:
        """Whether other drivers may run the study at the same time."""
        return self._others is not None

    @property
    def _shared(self) -> SharedOwnership | None:
        return self._ownership if self.joined and isinstance(self._ownership, SharedOwnership) else None

    @property
    def number(self) -> int:
        """This driver's number among all that ever ran a study of a database."""
        return self._ownership.number

    @property
    def stream(self) -> int:
        """What makes this driver's proposals differ from those of others; 0 for one that found the study free."""
        return 0 if self._ownership.alone else self._ownership.number

    @property
    def elsewhere(self) -> int:
        """Trials of other drivers that use up the budget and of whose ends `news` has not told yet."""
        return self._others.open if self._others is not None else 0

    def take_notes(self) -> list[str]:
        """Return what the user should know of dead drivers; each thing is returned once."""
        owners, self._ownership.taken_over = self._ownership.taken_over, []
        return [f"took over from {owner}, which is dead or silent" for owner in dict.fromkeys(owners)]

    @property
    def done(self) -> int:
        """Trials so far that count against the budget."""
        return self._done

    @property
    def seconds(self) -> float:
        """Wall time of the sweep, over all the times that it was run."""
        return self._earlier_seconds + self._clock() - self._began

    def warm_up(self) -> None:
        """Start the process that writes MLflow, which takes seconds."""
        self._mirror = Mirror(self._home)

    def wait_for_database(self, tell: Callable[[str], None], hurry: Callable[[], bool]) -> None:
        """From now on, wait a few minutes for a database that is away, unless told to `hurry`; `tell` the user so.
        After that every call here may raise DatabaseAway, an OSError."""
        if isinstance(self._ownership, SharedOwnership):
            patience = self._ownership.patience
            patience.seconds, patience.tell, patience.hurry = PATIENCE_SECONDS, tell, hurry

    def stay_alive(self) -> None:
        """Say now and then that this driver lives, before `start`. Raises OwnershipLost."""
        if abs(self._clock() - self._seen) > _SECONDS_BETWEEN_BEATS:
            self._say_alive()

    def abandon(self) -> None:
        """End without writing anything more."""
        self._ownership.give_up()
        if self._mirror is not None:
            self._mirror.abandon()

    def start(self, notes: Sequence[str] = ()) -> tuple[list[FrozenTrial], list[TrialRecord]]:
        """Create or take over the study, start the writing to MLflow, and settle what an earlier driver left running.

        notes: what was done to the data, kept in both records.
        Returns the trials of the study, all ended, for the sampler; and those that are to be run again.
        """
        if self._mirror is None:
            self.warm_up()
        self._say_alive()  # it may have slept
        self._began = self._seconds_written = self._clock()  # starting workers is no part of the sweep's time
        with self.together():
            return self._take_over(notes)

    def _take_over(self, notes: Sequence[str]) -> tuple[list[FrozenTrial], list[TrialRecord]]:
        sweep = self._sweep
        # A study that has more trials than a budget that was lowered has not overspent it.
        meant = _with_budget(sweep, max(sweep.budget.trials, self._done))
        facts = facts_of(meant, self._book.attributes.get("id", uuid.uuid4().hex))
        if self._shared is not None:
            _, facts["sweep"] = self._shared.change("sweep", lambda old, others: _larger(meant.config(), old, others))
        elif self._extension is not None:
            facts[extension.ATTRIBUTE] = self._extension
        self._book.create(
            {
                **facts,
                "origin": origin_of(sweep),
                **({"data_notes": list(notes)} if notes else {}),
            }
        )
        self._checkpoints = Checkpoints(self._home.checkpoints / self._book.attributes["id"])
        trials, self._trials = self._trials, []
        settled = {trial.number: self._settle(trial) for trial in trials if not trial.state.is_finished()}
        records = [settled.get(trial.number) or record_of(trial, history=False) for trial in trials]
        level = records if self._ownership.alone else []  # the settled too: the best-so-far curve counts them
        self._require_mirror().open(self._sweep_record(notes), level)
        for record in settled.values():
            self._begin_ending(record)
        again = to_be_repeated(records)
        for record in records:
            self._note_origin(record)
        if self._others is None:
            self._checkpoints.keep({self._origins.get(record.number, record.number) for record in again})
        else:
            again = []  # `news` tells which of them are this driver's
        pairs = zip(trials, records, strict=True)
        ended = [ended_copy(trial, record) if trial.number in settled else trial for trial, record in pairs]
        for trial in ended:
            forget_history(trial)
        return ended, again

    def forget(self, history: Iterable[FrozenTrial]) -> None:
        """Let go of what `start` returned, once the sampler and the standing have taken it in."""
        self._book.forget(history)
        self.ended = []

    def _settle(self, trial: FrozenTrial) -> TrialRecord:
        """Note the end of a trial that a dead driver left running."""
        return settle(self._book, self._sweep, trial, self._clock())

    def _begin_ending(self, record: TrialRecord) -> None:
        """Write the state of a trial that was settled, or let it wait until MLflow has given it a run."""
        if record.run_id:
            self._write_end(record)
        else:
            self._require_mirror().begin(record)
            self._ending[record.number] = record, self._clock()

    def _sweep_record(self, notes: Sequence[str]) -> SweepRecord:
        sweep = self._sweep
        return SweepRecord(
            study=sweep.name,
            study_id=self._book.attributes["id"],
            metric=sweep.metric.name,
            goal=sweep.metric.goal,
            objective=sweep.objective or sweep.program or "",
            source=str(sweep.source),
            text=sweep.text,
            config=sweep.config(),
            description=sweep.description,
            notes=tuple(notes),
            versions=provenance.versions(),
            commit=provenance.git_commit(),
            user=provenance.user(),
            began=self._began,
            shared=self.joined,
            parent=self._book.attributes.get("mlflow_run_id", ""),
        )

    def news(self) -> News:
        """Look at what other drivers do, and settle what dead ones left. For a shared study; call it every few seconds,
        after `start`."""
        assert self._others is not None
        others, news = self._others, News()
        if others.owe:  # so that they wait no longer than they must, once they are this driver's
            self._say_alive()
        if new := self._ownership.estate - self._estate:
            others.look()
            news = self._inherit(new)
            self._estate |= new
        others.look()
        found = others.news()
        found.ended += news.ended
        self._done += sum(record.state in ("complete", "pruned") for _, record in found.ended)
        return News(found.ended, found.begun, news.again, self.take_notes())

    def _inherit(self, drivers: frozenset[int]) -> News:
        """Settle the trials of drivers that are gone, and find those that are to be run again."""
        assert self._others is not None
        running, again = self._others.left(drivers)
        news = News(again=again)
        self._require_mirror().look_again()  # they may have runs of which this driver's mirror knows nothing
        for trial in running:
            record = self._settle(trial)
            self._begin_ending(record)
            news.ended.append((ended_copy(trial, record), record))
            news.again += [record] if record.interrupted else []
        for record in news.again:
            self._note_origin(record)
        return news

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write all that is recorded inside the block at its end, in one go: to the study, then to MLflow.

        For many trials or reports that come at once. Nothing of it counts before the end: MLflow's process gets to
        know nothing that is not in the study. Blocks may be nested; a database as storage writes at once as ever.
        An exception that leaves the block changes nothing of that. Raises OSError if the study can't be written: the
        journal is then as it was before the block, and this ledger is of no more use; `abandon` it. A ledger that is
        made anew goes on from what the journal holds.
        """
        if self._together:
            yield
            return
        mirror, self._together = self._mirror, True
        if mirror is not None:
            mirror.hold()
        try:
            with self._book.together():
                yield
        finally:
            self._together = False
            if mirror is not None:
                mirror.let_go(send=not self._book.failed)
            if not self._book.failed:
                self._remove_checkpoints()

    def begin(self, params: Mapping[str, Any], retry: TrialRecord | None = None) -> TrialRecord | Refusal:
        """Record a trial's start. retry: the interrupted trial that this one repeats, with its seed.

        In a shared study the trials of other drivers may forbid it; no trace of the trial counts then.
        """
        self._stay_owner()
        if refusal := self._refusal(params, retry):
            return refusal
        mirror = self._require_mirror()
        number = self._book.next_number
        record = TrialRecord(
            number=number,
            params=dict(params),
            seed=retry.seed if retry else trial_seed(self._sweep, number, params),
            epochs=self._sweep.epochs_of(params),
            started=self._clock(),
            retry_of=retry.number if retry else None,
            run_id=uuid.uuid4().hex,
        )
        certain = mirror.takes_ids
        with self.together():
            record.number = self._book.begin(record, named=certain)
            if record.number != number and not retry:  # somebody else writes into the study
                record.seed = trial_seed(self._sweep, record.number, params)
                self._book.set_trial_attribute(record.number, "seed", record.seed)
            if refusal := self._refusal(params, retry, record.number):
                self._book.withdraw(record.number, refusal.value)
                return refusal
            self._records[record.number] = record
            if not certain:
                self._hopeful.add(record.number)
            mirror.begin(record)
        self._note_origin(record)
        return record

    def _refusal(
        self, params: Mapping[str, Any], retry: TrialRecord | None, number: float = math.inf
    ) -> Refusal | None:
        """Return why a trial of a shared study must not run. number: that it has got."""
        if self._others is None:
            return None
        sweep = self._sweep
        once = sweep.duplicates == "skip" or sweep.method == "grid" or sweep.is_baseline(params)
        self._others.look()
        return self._others.refusal(
            dict(params), sweep.budget.trials, once and retry is None, retry is not None, number
        )

    def _note_origin(self, record: TrialRecord) -> None:
        if record.retry_of is not None:
            self._origins[record.number] = self._origins.get(record.retry_of, record.retry_of)

    def checkpoint_of(self, record: TrialRecord) -> str:
        """Return the file in which a running trial may keep how far it is; trials that repeat it go on from there."""
        if not self._sweep.checkpoint_seconds:
            return ""
        return str(self._checkpoints.of(self._origins.get(record.number, record.number)))

    def again(self, number: int) -> TrialRecord:
        """Record that a trial starts over, because its worker died; its steps will come again."""
        record = self._records[number]
        record.attempts += 1
        record.steps.clear()  # it may report fewer this time
        record.times.clear()
        return record

    def report(self, number: int, step: int, metrics: Mapping[str, float], moment: float) -> None:
        """Record a trial's metrics at a step. Metrics that come again, after a worker's death, replace the first ones;
        a program may print those of one step in several lines."""
        self._stay_owner()
        record = self._records[number]
        values = finite(metrics)
        record.steps[step] = record.steps.get(step, {}) | values
        record.times[step] = moment
        if self._sweep.metric.name in values:
            with self._unless_settled():
                self._book.report(number, step, values[self._sweep.metric.name])

    def end(self, number: int, state: State, **facts: Any) -> TrialRecord:
        """Record a trial's end; facts are fields of TrialRecord.

        All of it is in the study when this returns, or at the end of the `together` around it; but for the state,
        where it is MLflow that gives the run's id, which comes first.
        """
        self._stay_owner()
        record = self._records[number]
        record.state, record.ended = state, self._clock()
        for name, fact in facts.items():
            setattr(record, name, fact)
        with self.together(), self._unless_settled():
            self._book.note_end(record)
            del self._records[number]
            mirror = self._require_mirror()
            if given := mirror.run_ids.pop(number, ""):
                record.run_id = given
                self._hopeful.discard(number)
            if mirror.takes_ids or number not in self._hopeful:
                self._write_end(record)
            else:
                self._ending[number] = record, self._clock()
        self._done += state in ("complete", "pruned")
        if not record.interrupted:
            self._spent.append(self._origins.get(number, number))
            self._remove_checkpoints()
        return record

    def _remove_checkpoints(self) -> None:
        """Remove the checkpoints of trials that have ended, once that is in the study."""
        if not self._together:
            for number in self._spent:
                self._checkpoints.remove(number)
            self._spent = []

    def attach(self, number: int, name: str, path: str) -> None:
        """Keep a file as an artefact of a trial's MLflow run."""
        self._require_mirror().attach(number, name, path)

    def best(self, record: TrialRecord) -> None:
        """Record that a trial is the best so far: one point of the best-so-far curve."""
        assert record.value is not None and record.ended is not None
        self._require_mirror().best(self._done, record.value, record.ended)

    def pump(self, force: bool = False) -> list[Notice]:
        """Write what has ended and can be written; return what the user should know of MLflow. Call it often.

        force: do not wait for run ids any longer.
        """
        mirror = self._require_mirror()
        warnings = mirror.receive()
        if self._ending:
            self._stay_owner()
        with self.together(), self._unless_settled():
            for number, (record, since) in list(self._ending.items()):
                given = mirror.run_ids.pop(number, "")
                certain = given or (record.run_id if mirror.takes_ids else "")
                late = abs(self._clock() - since) > _RUN_ID_PATIENCE
                if certain or force or late or mirror.in_trouble:
                    record.run_id = certain
                    self._write_end(record)
                    del self._ending[number]
            if mirror.parent_id:  # early: by it the runs are found in an experiment that somebody renames
                self._book.set_attribute("mlflow_run_id", mirror.parent_id)
            if abs(self._clock() - self._seconds_written) > _SECONDS_BETWEEN_BEATS:  # abs: a clock may be set back
                self._beat()
        return warnings

    def _write_end(self, record: TrialRecord) -> None:
        """Give a trial whose end was noted its state, in both records."""
        self._hopeful.discard(record.number)
        self._book.end(record)
        self._require_mirror().end(record)

    def _beat(self) -> None:
        """Note how long the sweep has run, and that this driver lives. Raises OwnershipLost."""
        self._say_alive()
        self._seconds_written = self._clock()
        self._book.set_attribute("seconds", round(self.seconds, 3))

    def _say_alive(self) -> None:
        try:
            self._ownership.renew()
        except OwnershipLost:
            self.lost = True
            raise
        self._seen = self._clock()

    def _stay_owner(self) -> None:
        """See before a write that the study is still this driver's, after a sleep in which it may have been taken over.

        Raises OwnershipLost.
        """
        if abs(self._clock() - self._seen) > OWNER_SECONDS / 2:
            self._say_alive()

    @contextmanager
    def _unless_settled(self) -> Iterator[None]:
        """Write to a running trial inside the block. Raises OwnershipLost if another driver has ended it as a dead
        one's."""
        try:
            yield
        except UpdateFinishedTrialError:
            self._say_alive()
            raise

    def leave(self, hurry: Callable[[], bool]) -> tuple[bool, list[Notice]]:
        """Leave a shared study, once all is written. Returns whether no other driver is left, and what the user should
        know. `news` still tells, then `close` comes."""
        mirror = self._require_mirror()
        notices = self._write_ends(hurry)
        mirror.leave()
        notices += mirror.wait(self._living(hurry))
        behind = mirror.stop_if_behind()  # what it wrote late would undo what the last driver writes
        self._last = self._ownership.leave()
        if behind and self._last:
            mirror.go_on()
        elif behind:
            lost = f", but for {mirror.files_waiting} files of trials" if mirror.files_waiting else ""
            notices.append(Notice(f"MLflow is behind; the drivers that stay bring it level with the study{lost}"))
        return self._last, notices

    def _living(self, hurry: Callable[[], bool]) -> Callable[[], bool]:
        """Return `hurry` as a call that says now and then that this driver lives, while it waits for MLflow."""

        def look() -> bool:
            if self._last:
                self.stay_alive()
            return hurry()

        return look

    def close(self, status: str, summary: Mapping[str, Any], hurry: Callable[[], bool]) -> list[Notice]:
        """Write everything that is left and end the parent run (`FINISHED`, `KILLED` or `FAILED`), unless other drivers
        still write into it.

        hurry: whether MLflow is not to be waited for any longer.
        Returns what the user should know, such as trials that MLflow could not be told of yet.
        """
        mirror = self._require_mirror()
        warnings = self._write_ends(hurry) if self._last else []
        if self._last and self._others is not None:  # what drivers that died did not get to
            self._others.look()
            ended = [trial for trial in self._others.trials if trial.state.is_finished()]
            mirror.level([record_of(trial, history=False) for trial in ended])
        warnings += mirror.close(status if self._last else "", summary, self._living(hurry))
        if mirror.parent_id and self._last:
            self._book.set_attribute("mlflow_run_id", mirror.parent_id)
        if self._last and self._extension is not None:
            self._close_extension()
        self._ownership.give_up()
        return warnings

    def _close_extension(self) -> None:
        if self._shared is not None:
            self._shared.change(extension.ATTRIBUTE, lambda noted, others: extension.close(noted, self.done))
        else:
            self._book.set_attribute(extension.ATTRIBUTE, extension.close(self._extension, self.done))

    def _write_ends(self, hurry: Callable[[], bool]) -> list[Notice]:
        """Write the ends of all trials into the study."""
        deadline = time.monotonic() + _RUN_ID_PATIENCE
        warnings = self.pump()
        while self._ending and time.monotonic() < deadline and not hurry():
            time.sleep(0.02)
            warnings += self.pump()
        warnings += self.pump(force=True)
        with self.together():
            self._beat()
        return warnings

    def _require_mirror(self) -> Mirror:
        assert self._mirror is not None, "start() comes first"
        return self._mirror


def _with_budget(sweep: Sweep, trials: int) -> Sweep:
    return replace(sweep, budget=replace(sweep.budget, trials=trials))


def _budget_in(config: Mapping[str, Any] | None) -> int:
    """Return the trials of a sweep as a study has it; 0 if it has none yet."""
    return int(config["budget"]["trials"]) if config else 0


def _larger(config: dict[str, Any], other: Mapping[str, Any] | None, others: Collection[int]) -> dict[str, Any]:
    """Return a sweep's definition with the budget of other drivers, if they bring the study further."""
    trials = max(_budget_in(config), _budget_in(other) if others else 0)
    return config | {"budget": config["budget"] | {"trials": trials}}
