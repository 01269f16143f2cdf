"""The files of a study's trials on this disk: how far the running ones are, and the weights of the best that ended."""

from __future__ import annotations

from collections.abc import Iterable

from hpo.events import FilesOrder, WeightsOrder
from hpo.ledger.checkpoints import TrialCheckpoints
from hpo.ledger.kept import KeptWeights
from hpo.ledger.kept_files import Attach, TrialArchives
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import TrialRecord
from hpo.spec.grammar import Keep
from hpo.spec.sweep import Sweep


class TrialFiles:
    """Says where a trial's files are to be, and keeps those that are of use."""

    def __init__(self, sweep: Sweep, home: Home, study_id: str, attach: Attach) -> None:
        """attach: hands a trial's file over to MLflow."""
        is_torch = sweep.traits.reports_each_epoch
        most = sweep.keep.models if sweep.keep is not None and is_torch else 0
        self._checkpoints = TrialCheckpoints(home.checkpoints / study_id, wanted=bool(sweep.checkpoint_seconds))
        files = sweep.keep.files if sweep.keep is not None else Keep().files
        self._archives = TrialArchives(home.trial_files / study_id, files, sweep.metric, attach)
        self._has_folders = not is_torch
        self._kept = KeptWeights(home.kept / study_id, sweep.metric.name, sweep.metric.goal, most)

    def open(self, records: Iterable[TrialRecord], again: Iterable[TrialRecord] | None) -> None:
        """Take in the trials of a study that is taken over. again: those that are to be run again; None: other drivers
        may have trials."""
        listed = list(records)
        self._checkpoints.open(listed, again)
        self._kept.open(listed, alone=again is not None)
        self._archives.open(listed, alone=again is not None)

    def take(self, record: TrialRecord) -> None:
        """Take in that there is a trial, and which one it repeats."""
        self._checkpoints.take(record)

    def checkpoint_of(self, record: TrialRecord) -> str:
        """Return the file in which a running trial may keep how far it is, "" if it is to keep nothing; trials that
        repeat it go on from there."""
        return self._checkpoints.of(record)

    def weights_of(self, record: TrialRecord) -> WeightsOrder | None:
        """Return what a trial is to leave behind that begins now; None: nothing."""
        return self._kept.order_of(record)

    def files_of(self) -> FilesOrder | None:
        """Return what a trial that begins now is to do with the files in its folder; None: it has none."""
        return self._archives.order() if self._has_folders else None

    def attach(self, number: int, name: str, path: str) -> None:
        """Take the archive of a trial's files from a worker."""
        self._archives.attach(number, path)

    def again(self, number: int) -> None:
        """Take in that a trial's run has failed, and that it is run again."""
        self._archives.forget(number)

    def finish(self) -> None:
        """Hand over what is kept for the end of the sweep."""
        self._archives.finish()

    def end(self, record: TrialRecord) -> None:
        """Take in how a trial of this driver has ended; its files are seen to with the next `settle`."""
        self._kept.take(record)
        self._archives.take(record)
        if not record.interrupted:
            self._checkpoints.end(record.number)

    def learn(self, again: Iterable[TrialRecord], ended: Iterable[TrialRecord]) -> None:
        """Take in what other drivers left to be run again here, and how their trials have ended."""
        for record in again:
            self.take(record)
        for record in ended:
            self._kept.learn(record)
            self._archives.learn(record)

    def settle(self) -> None:
        """Remove what is of no more use. Call it when the ends of trials are in the study."""
        self._checkpoints.remove_ended()
        self._kept.settle()
        self._archives.settle()
