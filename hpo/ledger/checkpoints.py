"""Where trials keep how far they are, and which of these files are still of use. Workers write them."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterable
from pathlib import Path

from hpo.ledger.study.records import TrialRecord


class Checkpoints:
    """The checkpoint files of one study: at most one a trial, gone when the trial has ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, number: int) -> Path:
        """Return a trial's file, whether it is there or not."""
        return self._folder / f"{number}.pt"

    def remove(self, number: int) -> None:
        """Remove a trial's file, and the folder with the last one."""
        if not self._folder.exists():  # as in most sweeps: no trial took long enough to keep anything
            return
        for leftover in (self.of(number), *self._folder.glob(f"{number}.pt.*")):  # .*: one that was being written
            leftover.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # there is none, or it holds others
            self._folder.rmdir()

    def keep(self, numbers: Container[int]) -> None:
        """Remove the files of all other trials, which a dead driver left."""
        for path in self.leftovers(numbers):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def leftovers(self, numbers: Container[int]) -> list[Path]:
        """Return the files of all other trials than these."""
        return [path for path in sorted(self._folder.glob("*.pt*")) if not _is_of(path, numbers)]


class TrialCheckpoints:
    """Which file each trial of a sweep has: a trial that repeats another goes on from that one's."""

    def __init__(self, folder: Path, wanted: bool) -> None:
        """folder: of the study's files. wanted: whether trials keep checkpoints at all."""
        self._files = Checkpoints(folder)
        self._wanted = wanted
        self._origins: dict[int, int] = {}  # the first of the trials that a trial repeats
        self._ended: list[int] = []  # trials whose files are of no more use

    def take(self, record: TrialRecord) -> None:
        """Take in that there is a trial, and which one it repeats."""
        if record.retry_of is not None:
            self._origins[record.number] = self._origins.get(record.retry_of, record.retry_of)

    def of(self, record: TrialRecord) -> str:
        """Return the path of a running trial's file, "" if it is to keep none."""
        return str(self._files.of(self._origin(record.number))) if self._wanted else ""

    def _origin(self, number: int) -> int:
        return self._origins.get(number, number)

    def open(self, records: Iterable[TrialRecord], again: Iterable[TrialRecord] | None) -> None:
        """Take in the trials of a study that is taken over. again: those that are to be run again: the files of all
        others are removed; None: other drivers may have trials."""
        for record in records:
            self.take(record)
        if again is not None:
            self._files.keep({self._origin(record.number) for record in again})

    def end(self, number: int) -> None:
        """Take in that a trial has ended; its file goes with the next `remove_ended`."""
        self._ended.append(self._origin(number))

    def remove_ended(self) -> None:
        """Remove the files of trials that have ended. Call it when that is in the study."""
        for number in self._ended:
            self._files.remove(number)
        self._ended = []


def _is_of(path: Path, numbers: Container[int]) -> bool:
    number = path.name.split(".")[0]
    return number.isdigit() and int(number) in numbers
