"""What a sweep looks like in MLflow: one parent run, one child run a trial. Every method can be called again.

The parent run is written through MlflowClient (parent.py; never the fluent API: its global state collides between
sweeps, and it costs ten times as much), or, in the home's own database, through LocalClient, which does without MLflow
(connecting.py); the trials' runs by one of two writers, which say the same in two ways: bulk.py for databases,
client.py for servers.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.events import FILES_ARCHIVE
from hpo.ledger.mirror.bulk import BulkWriter
from hpo.ledger.mirror.compat import store_of
from hpo.ledger.mirror.connecting import Connected, connect, needs_mlflow
from hpo.ledger.mirror.database import make_database as make_database
from hpo.ledger.mirror.health import is_database
from hpo.ledger.mirror.local import LocalClient
from hpo.ledger.mirror.mending import see_to_database
from hpo.ledger.mirror.parent import close_parent, describe_parent, interrupt_parent, open_parent
from hpo.ledger.mirror.rows import STATUS, RunOrder, begun_rows, best_curve, best_point, ended_rows
from hpo.ledger.mirror.statements import Child
from hpo.ledger.mirror.tracking import (
    find_experiment,
    log_archive,
    log_batch,
    parent_of,
    write_files,
    write_parent_files,
)
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.named_lock import one_at_a_time
from hpo.ledger.study.records import SweepRecord, TrialRecord, is_surplus, record_of

if TYPE_CHECKING:
    from hpo.ledger.mirror.client import ClientWriter

_LEVEL_AT_ONCE = 64  # trials in one write when MLflow is brought level


@dataclass(frozen=True)
class _OpenSweep:
    sweep: SweepRecord
    experiment: str
    writer: ClientWriter | BulkWriter


class MlflowBook:
    """Writes one sweep into MLflow."""

    def __init__(
        self, home: Home, alive: Callable[[], object] = lambda: None, load: Callable[[], object] = lambda: None
    ) -> None:
        """alive: called now and then while a lot is written. load: called before MLflow is used, where it has to be."""
        self._home = home
        self._load = load
        self._alive = alive
        self._connection: Connected | None = None
        self._opened: _OpenSweep | None = None
        self._runs: dict[int, str] = {}  # by trial number
        self._unsaid: dict[int, str] = {}
        self._uncertain = False  # a call failed: it may have been carried out all the same
        self._retried: set[int] = set()  # trials that were written again after that
        self._named: dict[int, str] = {}  # run ids of ended trials, as the study has them
        self.parent_id = ""
        self.batch = 1  # orders for `write` at a time

    @property
    def _mlflow(self) -> Connected:
        assert self._connection is not None, "prepare() comes first"
        return self._connection

    @property
    def _at(self) -> _OpenSweep:
        assert self._opened is not None, "open() comes first"
        return self._opened

    def _open(self, sweep: SweepRecord, experiment: str) -> _OpenSweep:
        # A server's pages are not `hpo ui`'s: what it shows can lead to other pages of its own only.
        sweep = replace(sweep, on_server="" if is_database(self._home.tracking_uri) else experiment)
        return _OpenSweep(sweep, experiment, _writer(self._mlflow, experiment))

    def new_run_ids(self) -> dict[int, str]:
        """Return the run ids of trials since the last call that are not what their records say."""
        unsaid, self._unsaid = self._unsaid, {}
        return unsaid

    def prepare(self) -> list[str]:
        """Connect, and make the database if there is none or a damaged one. Returns notes for the user.

        Raises UnusableStore if MLflow can't be written as it is, whatever is done.
        """
        if needs_mlflow(self._home):
            self._load()
        notes = see_to_database(self._home)
        self._connection = connect(self._home)
        if self._connection.reason and not self._home.tracking_uri.startswith("http"):
            notes.append(f"MLflow is written run by run, which is slower: {self._connection.reason}")
        return notes

    def recover(self) -> list[str]:
        """See to a database that turned out to be damaged, and write into the new one what the study has so far.

        Returns notes for the user.
        """
        notes = see_to_database(self._home, thorough=True)
        if self._connection is not None and is_database(self._home.tracking_uri):
            client = self._connection.client  # its connections are to the file that was moved away
            (client if isinstance(client, LocalClient) else store_of(client)).engine.dispose()
        notes += self.prepare()
        if self._opened is not None:
            self._runs = {}
            self.open(self._at.sweep, _ended_trials(self._home, self._at.sweep.study))
        return notes

    @property
    def takes_ids(self) -> bool:
        """Whether a trial's run gets the id that its record has."""
        return self._connection is not None and not self._connection.reason

    def open(self, sweep: SweepRecord, finished: Sequence[TrialRecord]) -> list[str]:
        """Find or make the experiment, the parent run and every finished trial's run. Returns notes for the user.

        finished: records of the study's finished trials, without their steps, which are read from the study if needed.
        """
        with _alone(self._home, sweep):
            self._opened = self._open(sweep, find_experiment(self._mlflow.client, self._home, sweep))
            self.batch = self._opened.writer.batch
            self.parent_id = open_parent(self._mlflow.client, self._at.writer, self._at.sweep, self._at.experiment)
        return self.level(finished)

    def look_again(self) -> None:
        """Take in before the next write that others have made runs."""
        self._uncertain = True

    def level(self, finished: Sequence[TrialRecord]) -> list[str]:
        """Write those of the study's finished trials that are missing. Returns notes for the user."""
        if not self.takes_ids:
            self._named |= {record.number: record.run_id for record in finished if record.run_id}
        known = self._find_runs()
        behind = {r.number for r in finished if r.number not in known or known[r.number].status != STATUS[r.state]}
        self._write_whole(behind)
        if points := best_curve(self._at.sweep, finished):  # always: a writer may die between a run's end and its point
            self._at.writer.add_points(self.parent_id, points)
        return [f"MLflow brought level with the study: {len(behind)} trials written"] if behind else []

    def _find_runs(self) -> dict[int, Child]:
        """Find the run of each trial. Of several, which a server that hung has made, it is the one that the study
        names, or else that was known before; the others are deleted in the end."""
        found: dict[int, Child] = {}
        for child in self._at.writer.children(self.parent_id):
            known = self._named.get(child.number) or self._runs.get(child.number)
            if child.number not in found or child.run_id == known:
                found[child.number] = child
        self._runs = {number: child.run_id for number, child in found.items()}
        return found

    def adopt(self, sweep: SweepRecord, parent_id: str) -> None:
        """Work on a sweep's parent run that is there, in place of `open`; nothing is written to it."""
        self.parent_id = parent_id
        self._opened = self._open(
            sweep, find_experiment(self._mlflow.client, self._home, replace(sweep, parent=parent_id))
        )

    def rewrite(self, numbers: set[int]) -> None:
        """Write the runs of ended trials as the study has them, whether there are such runs or not."""
        self._find_runs()
        self._write_whole(numbers)

    def redraw_best_curve(self, ended: Sequence[TrialRecord]) -> None:
        """Write the best-so-far curve anew, from the trials' own ends."""
        key = best_point(self._at.sweep, 0, 0.0, 0.0).key
        self._at.writer.replace_points(self.parent_id, key, best_curve(self._at.sweep, ended))

    def _write_whole(self, numbers: set[int]) -> None:
        for records in _chunks(self._whole(numbers)):
            ids = {r.run_id: r.number for r in records if r.run_id and r.number not in self._runs}
            self._runs |= {ids[run_id]: run_id for run_id in self._at.writer.revive(list(ids))}
            self.write([(record, True) for record in records], [])
            self._alive()

    def _whole(self, numbers: set[int]) -> Iterable[TrialRecord]:
        """Yield trials' records with their steps, read from the study."""
        if not numbers:
            return
        storage = open_storage(self._home)
        study_id = storage.get_study_id_from_name(self._at.sweep.study)
        for trial in storage.get_all_trials(study_id, deepcopy=False):
            if trial.number in numbers:
                yield record_of(trial)

    def describe(
        self,
        sweep: SweepRecord,
        files: Mapping[str, bytes] | None = None,
        summary: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Write what a sweep's parent run says of the sweep beside its trials. Returns notes for the user.

        files: further artefacts by their paths, in place of those that are there. summary: as `close` has it, where
        only the description is to be written, of a parent run that has none.
        """
        client = self._mlflow.client
        experiment = find_experiment(client, self._home, sweep)
        parent = parent_of(client, sweep, experiment)
        if not parent:
            return [f"MLflow has no parent run of {sweep.study!r}: hpo doctor says what to do"]
        opened = self._open(sweep, experiment)
        describe_parent(client, parent, experiment, opened.sweep, summary, self._runs)
        if summary is None:  # the doctor sees to files by itself
            write_parent_files(client, parent, sweep)
        write_files(client, parent, files or {})
        return []

    def write(self, trials: Sequence[tuple[TrialRecord, bool]], best: Sequence[tuple[int, float, float]]) -> None:
        """Bring trials' runs to the states of their records, each with all its steps if it has ended (True).

        best: points of the best-so-far curve: trials that had ended by then, value, moment.
        """
        if self._uncertain:
            self._find_runs()
            self._retried |= {record.number for record, _ in trials}
        orders = [
            RunOrder(
                record.number,
                (ended_rows if has_ended else begun_rows)(self._at.sweep, self.parent_id, record),
                self._runs.get(record.number, record.run_id if self.takes_ids else ""),
                record.number in self._runs,
            )
            for record, has_ended in trials
        ]
        self._uncertain = True
        try:
            if orders:
                self._at.writer.write(orders)
            if best:
                self._at.writer.add_points(self.parent_id, [best_point(self._at.sweep, *point) for point in best])
        finally:
            self._runs |= {order.number: order.run_id for order in orders if order.exists}
        self._uncertain = False
        for record, _ in trials:
            if record.run_id != self._runs[record.number]:
                self._unsaid[record.number] = self._runs[record.number]

    def attach(self, number: int, name: str, path: str) -> list[str]:
        """Move a file into a trial's artefacts; of an archive of a trial's files what is in it, below `files`."""
        if name == FILES_ARCHIVE:
            return log_archive(self._mlflow.client, self._runs.get(number, ""), number, Path(path))
        source = Path(path)
        named = source.with_name(name)
        if source.exists():
            source.replace(named)
        if number not in self._runs or not named.exists():
            return [f"the file {path} of trial {number} could not be kept"]
        self._mlflow.client.log_artifact(self._runs[number], str(named))
        named.unlink()
        with contextlib.suppress(OSError):  # the file's own temporary folder, if it had one
            named.parent.rmdir()
        return []

    def close(self, status: str, summary: dict[str, Any]) -> None:
        """Write the sweep's summary and end the parent run."""
        self._delete_doubles()
        if isinstance(self._mlflow.client, LocalClient):
            self._mlflow.client.look()
        close_parent(self._mlflow.client, self.parent_id, self._at.sweep, status, summary, self._runs)

    def interrupted(self, is_run: Callable[[str], bool]) -> None:
        """Let the parent run say that its sweep was interrupted: its driver is gone without a word. The trials' runs
        wait to be settled by the next one. is_run: returns whether a driver runs a study again."""
        if self._opened is not None:
            sweep = self._at.sweep
            interrupt_parent(self._mlflow.client, self.parent_id, sweep, lambda: is_run(sweep.study))

    def forsake(self, reason: str) -> None:
        """End the runs that still run, the parent's as well: their study is gone, and nobody will do it later."""
        if self._opened is None:
            return
        client = self._mlflow.client
        for child in self._at.writer.children(self.parent_id):
            if child.status == "RUNNING":
                log_batch(client, child.run_id, tags={"hpo.state": "failed", "hpo.error": reason})
                client.set_terminated(child.run_id, STATUS["failed"])
        log_batch(client, self.parent_id, tags={"hpo.error": reason})
        client.set_terminated(self.parent_id, "FAILED")

    def leave(self) -> None:
        """End the writing, while other drivers of the study go on."""
        self._delete_doubles(self._retried)

    def _delete_doubles(self, numbers: Container[int] | None = None) -> None:
        """Delete the runs of these trials (None: of all) that a server made late: it hung, took a request for one after
        the next had asked in vain whether it is there, and so was asked for another."""
        client = self._mlflow.client
        if self.takes_ids or isinstance(client, LocalClient) or numbers == set():
            return
        children = self._at.writer.children(self.parent_id)
        several = {number for number, count in Counter(child.number for child in children).items() if count > 1}
        if not several <= self._runs.keys():
            self._find_runs()
        for child in children:
            wanted = numbers is None or child.number in numbers
            if wanted and child.number in several and child.run_id != self._runs.get(child.number):
                client.delete_run(child.run_id)


def _writer(mlflow: Connected, experiment: str) -> ClientWriter | BulkWriter:
    if not mlflow.reason or isinstance(mlflow.client, LocalClient):
        return BulkWriter(mlflow.client, experiment)
    from hpo.ledger.mirror.client import ClientWriter

    return ClientWriter(mlflow.client, experiment)


def _alone(home: Home, sweep: SweepRecord) -> AbstractContextManager[None]:
    """Keep drivers of a shared study from making a parent run each."""
    database = home.database
    return one_at_a_time(database, sweep.study_id) if sweep.shared and database else contextlib.nullcontext()


def _ended_trials(home: Home, study: str) -> list[TrialRecord]:
    """Return the records, without their steps, of the trials of a study that have ended."""
    storage = open_storage(home)
    trials = storage.get_all_trials(storage.get_study_id_from_name(study), deepcopy=False)
    records = [record_of(trial, history=False) for trial in trials if not is_surplus(trial)]
    return [record for record in records if record.state != "running"]


def _chunks(records: Iterable[TrialRecord]) -> Iterable[list[TrialRecord]]:
    chunk: list[TrialRecord] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == _LEVEL_AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
