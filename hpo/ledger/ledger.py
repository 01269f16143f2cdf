"""The ledger: what happened to each trial, written to the study first, then to MLflow. One writer, in the driver."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial

from hpo.ledger import provenance
from hpo.ledger.file_lock import Ownership
from hpo.ledger.home import Home
from hpo.ledger.mirror import Mirror
from hpo.ledger.mirror_process import Notice as Notice
from hpo.ledger.records import State, SweepRecord, TrialRecord, finite, record_of
from hpo.ledger.study import StudyBook, ended_copy, forget_history
from hpo.search.distributions import decode_params
from hpo.spec.sweep import Sweep

_RUN_ID_PATIENCE = 20.0  # seconds that a trial's end waits for a run id that MLflow gives, while MLflow works
_SECONDS_BETWEEN_BEATS = 10.0  # between notes of how long the sweep has run


class Ledger:
    """Owns a sweep's state: which trials run, how they ended, and that both records say so."""

    def __init__(self, sweep: Sweep, home: Home, clock: Callable[[], float] = time.time) -> None:
        """Become the study's only driver and look at what is there; records nothing until `start`.

        Raises UserError if another driver runs the study, or if the study is another sweep's.
        """
        self._sweep = sweep
        self._home = home
        self._clock = clock
        self._ownership = Ownership(home.locks, sweep.name)
        self._ownership.take()
        try:
            self._book = StudyBook(sweep, home)
            self._book.refuse_if_owned(clock())
            self._trials = self._book.trials()
        except BaseException:
            self._ownership.give_up()
            raise
        self._mirror: Mirror | None = None
        self._records: dict[int, TrialRecord] = {}  # running
        self._ending: dict[int, tuple[TrialRecord, float]] = {}  # ended, state not yet written; since when it waits
        self._together = False
        records = [record_of(trial, history=False) for trial in self._trials]
        self.ended = [record for record in records if record.state != "running"]  # without their steps
        self._done = sum(record.state in ("complete", "pruned") for record in self.ended)
        self._began = self._seconds_written = clock()
        self._earlier_seconds = float(self._book.attributes.get("seconds", 0.0))

    def extend(self, trials: int) -> Sweep:
        """Set the budget to this many trials more than the study has; return the sweep with that budget."""
        budget = replace(self._sweep.budget, trials=self.done + trials)
        self._sweep = replace(self._sweep, budget=budget)
        return self._sweep

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
        return self._earlier_seconds + self._clock() - self._began

    def warm_up(self) -> None:
        """Start the process that writes MLflow, which takes seconds."""
        self._mirror = Mirror(self._home)

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
        self._began = self._seconds_written = self._clock()  # starting workers is no part of the sweep's time
        with self.together():
            return self._take_over(notes)

    def _take_over(self, notes: Sequence[str]) -> tuple[list[FrozenTrial], list[TrialRecord]]:
        sweep = self._sweep
        self._book.create(
            {
                "objective": sweep.objective or sweep.program,
                "metric": f"{sweep.metric.goal} {sweep.metric.name}",
                "id": self._book.attributes.get("id", uuid.uuid4().hex),
                "identity": sweep.identity(),
                "sweep": sweep.config(),
                "sweep_file": sweep.text,
                "hpo_version": provenance.hpo_version(),
                **({"data_notes": list(notes)} if notes else {}),
            }
        )
        self._book.claim(self._clock())
        trials, self._trials = self._trials, []
        settled = {trial.number: self._settle(trial) for trial in trials if not trial.state.is_finished()}
        records = [settled.get(trial.number) or record_of(trial, history=False) for trial in trials]
        self._require_mirror().open(
            self._sweep_record(notes), [record for record in records if record.number not in settled]
        )
        for record in settled.values():
            self._begin_ending(record)
        retried = {record.retry_of for record in records}
        again = [record for record in records if record.interrupted and record.number not in retried]
        pairs = zip(trials, records, strict=True)
        ended = [ended_copy(trial, record) if trial.number in settled else trial for trial, record in pairs]
        for trial in ended:
            forget_history(trial)
        return ended, again

    def _settle(self, trial: FrozenTrial) -> TrialRecord:
        """Note the end of a trial that a dead driver left running, before the sampler takes it for one that runs for
        ever.

        If its outcome was noted, only its state is missing; else it is interrupted, and is run again.
        """
        self._book.adopt(trial)
        record = record_of(trial)
        if record.state == "running":
            record.state, record.error, record.interrupted = "failed", "the sweep was interrupted", True
            record.ended = self._clock()
            record.params = decode_params(self._sweep.space, trial.params)
            if record.retry_of is None:  # its driver may have died before it had written the seed
                record.seed = trial_seed(self._sweep, record.number, record.params)
            self._book.note_end(record)
        return record

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
        )

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

    def begin(self, params: Mapping[str, Any], retry: TrialRecord | None = None) -> TrialRecord:
        """Record a trial's start. retry: the interrupted trial that this one repeats, with its seed."""
        mirror = self._require_mirror()
        number = self._book.next_number
        record = TrialRecord(
            number=number,
            params=dict(params),
            seed=retry.seed if retry else trial_seed(self._sweep, number, params),
            epochs=self._sweep.epochs_of(params),
            started=self._clock(),
            retry_of=retry.number if retry else None,
            run_id=uuid.uuid4().hex if mirror.takes_ids else "",
        )
        with self.together():
            record.number = self._book.begin(record)
            if record.number != number and not retry:  # somebody else writes into the study
                record.seed = trial_seed(self._sweep, record.number, params)
                self._book.set_trial_attribute(record.number, "seed", record.seed)
            self._records[record.number] = record
            mirror.begin(record)
        return record

    def again(self, number: int) -> TrialRecord:
        """Record that a trial starts over, because its worker died; its steps will come again."""
        record = self._records[number]
        record.attempts += 1
        return record

    def report(self, number: int, step: int, metrics: Mapping[str, float], moment: float) -> None:
        """Record a trial's metrics at a step. A step that comes again, after a worker's death, replaces the first."""
        record = self._records[number]
        values = finite(metrics)
        known = step in record.steps
        record.steps[step] = values
        record.times[step] = moment
        if self._sweep.metric.name in values and not known:
            self._book.report(number, step, values[self._sweep.metric.name])

    def end(self, number: int, state: State, **facts: Any) -> TrialRecord:
        """Record a trial's end; facts are fields of TrialRecord.

        All of it is in the study when this returns, or at the end of the `together` around it; but for the state,
        where it is MLflow that gives the run's id, which comes first.
        """
        record = self._records[number]
        record.state, record.ended = state, self._clock()
        for name, fact in facts.items():
            setattr(record, name, fact)
        with self.together():
            self._book.note_end(record)
            del self._records[number]
            if record.run_id:
                self._write_end(record)
            else:
                self._ending[number] = record, self._clock()
        self._done += state in ("complete", "pruned")
        return record

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
        with self.together():
            for number, (record, since) in list(self._ending.items()):
                record.run_id = mirror.run_ids.pop(number, "")
                late = self._clock() - since > _RUN_ID_PATIENCE
                if record.run_id or force or late or mirror.in_trouble:
                    self._write_end(record)
                    del self._ending[number]
            if self._clock() - self._seconds_written > _SECONDS_BETWEEN_BEATS:
                self._beat()
        return warnings

    def _write_end(self, record: TrialRecord) -> None:
        """Give a trial whose end was noted its state, in both records."""
        self._book.end(record)
        self._require_mirror().end(record)

    def _beat(self) -> None:
        """Note how long the sweep has run, and that this driver lives."""
        self._seconds_written = self._clock()
        self._book.set_attribute("seconds", round(self.seconds, 3))
        self._book.claim(self._clock())

    def close(self, status: str, summary: Mapping[str, Any], hurry: Callable[[], bool]) -> list[Notice]:
        """Write everything that is left and end the parent run (`FINISHED`, `KILLED` or `FAILED`).

        hurry: whether MLflow is not to be waited for any longer.
        Returns what the user should know, such as trials that MLflow could not be told of yet.
        """
        mirror = self._require_mirror()
        deadline = self._clock() + _RUN_ID_PATIENCE
        warnings = self.pump()
        while self._ending and self._clock() < deadline and not hurry():
            time.sleep(0.02)
            warnings += self.pump()
        warnings += self.pump(force=True)
        with self.together():
            self._beat()
        warnings += mirror.close(status, summary, hurry)
        with self.together():
            if mirror.parent_id:
                self._book.set_attribute("mlflow_run_id", mirror.parent_id)
            self._book.disclaim()
        self._ownership.give_up()
        return warnings

    def _require_mirror(self) -> Mirror:
        assert self._mirror is not None, "start() comes first"
        return self._mirror


def trial_seed(sweep: Sweep, number: int, params: Mapping[str, Any]) -> int:
    """Return a trial's own seed: its hyperparameter `seed`, else the file's `trial_seed`, else one drawn from the
    sweep's seed and the trial's number."""
    if "seed" in params:
        return int(params["seed"])
    if sweep.trial_seed is not None:
        return sweep.trial_seed
    digest = hashlib.sha256(f"{sweep.seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1  # 31 bits: what every library takes
