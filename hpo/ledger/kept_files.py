"""The files that functions and programs write into their trials' folders: archives on this disk, until MLflow has them.

`keep.files` says whose they become artefacts: `best`, the best trial's when the sweep ends, and no other's stay on the
disk; `all`, each trial's; `none`. A worker hands over an archive before it tells of a trial's end. Once that is in the
study, the archive is kept as `NUMBER.tar`, given to MLflow, or removed. The mirror removes what it has written.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from hpo.events import AFTER_NUMBER, FILES_ARCHIVE, FilesOrder
from hpo.files import remove_all
from hpo.ledger.study.records import TrialRecord
from hpo.spec.grammar import KeptFiles
from hpo.spec.sweep import Target

_KEPT = ".tar"
Attach = Callable[[int, str, str], None]  # a trial's number, an artefact's name, the file


class TrialArchives:
    """Keeps the archives of one study's trials."""

    def __init__(self, folder: Path, keep: KeptFiles, metric: Target, attach: Attach) -> None:
        """attach: hands a file over to MLflow."""
        self._folder = folder
        self._keep = keep
        self._metric = metric
        self._attach = attach
        self._best: tuple[float, int] | None = None  # the best trial's value and number
        self._ended: list[int] = []  # since the last `settle`
        self._over: set[int] = set()  # all that have ended before

    def order(self) -> FilesOrder:
        """Return what a trial is to do with its files that begins now."""
        sign = 1 if self._metric.goal == "maximize" else -1
        # where the best report counts, what a function returns is not its trial's value
        bar = self._best[0] if self._best is not None and self._metric.at == "last" else None
        return FilesOrder(str(self._folder), self._keep, sign, bar)

    def open(self, records: Iterable[TrialRecord], alone: bool) -> None:
        """Take in the trials of a study that is taken over, and see to what a dead driver left. alone: no other driver
        runs the study."""
        listed = list(records)
        for record in listed:
            self.learn(record)
        if not alone or not self._folder.exists():
            return
        for path in self._folder.iterdir():
            if path.is_dir():
                remove_all(path)
        self._ended = [record.number for record in listed if record.state != "running" and not record.interrupted]
        known = set(self._ended)
        for path in self._folder.glob(f"*{_KEPT}"):
            if not path.stem.isdigit() or int(path.stem) not in known:
                path.unlink(missing_ok=True)
        self.settle()

    def learn(self, record: TrialRecord) -> None:
        """Take in how a trial has ended, here or elsewhere. Of equal ones the earlier is the best."""
        if not record.ranks or record.value is None:
            return
        if self._best is None or self._metric.better(record.value, self._best[0]):
            self._best = record.value, record.number
        elif record.value == self._best[0]:
            self._best = record.value, min(record.number, self._best[1])

    def take(self, record: TrialRecord) -> None:
        """Take in how a trial of this driver has ended; its files are seen to with the next `settle`."""
        self.learn(record)
        self._ended.append(record.number)

    def attach(self, number: int, path: str) -> None:
        """Take an archive from a worker. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        shutil.move(path, self._of(number))
        shutil.rmtree(Path(path).parent, ignore_errors=True)  # its own temporary folder

    def forget(self, number: int) -> None:
        """Remove what a trial's run has left that failed: it is run again."""
        self._of(number).unlink(missing_ok=True)
        self._remove_folders({number})

    def settle(self) -> None:
        """Keep, hand over or remove what trials left that have ended. Call it when that is in the study."""
        if not self._ended:
            return
        ended, self._ended = self._ended, []
        self._over.update(ended)
        if not self._folder.exists():
            return
        self._remove_folders(set(ended))
        for number in ended:
            if self._keep == "all" and self._of(number).exists():
                self._attach(number, FILES_ARCHIVE, str(self._of(number)))
        best = self._best[1] if self._best is not None and self._keep == "best" else None
        for path in self._folder.glob(f"*{_KEPT}") if self._keep != "all" else ():
            if int(path.stem) in self._over and int(path.stem) != best:
                path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Hand over what is kept of the best trial, at the end of a sweep."""
        with contextlib.suppress(OSError):  # there are none, or it holds others
            self._folder.rmdir()
            self._folder.parent.rmdir()
        if self._keep == "best" and self._best is not None and self._of(self._best[1]).exists():
            self._attach(self._best[1], FILES_ARCHIVE, str(self._of(self._best[1])))

    def _remove_folders(self, numbers: set[int]) -> None:
        """Remove the folders that are left of runs whose worker died."""
        for path in self._folder.glob(f"*{AFTER_NUMBER}*"):
            number = path.name.partition(AFTER_NUMBER)[0]
            if number.isdigit() and int(number) in numbers:
                remove_all(path)

    def _of(self, number: int) -> Path:
        return self._folder / f"{number}{_KEPT}"
