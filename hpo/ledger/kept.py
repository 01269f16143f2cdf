"""The weights of a study's best trials, as many as the sweep file says (`keep`), and never more of them on the disk.

A worker leaves a finished trial's weights as `NUMBER.left`, before it tells of the end. When that is in the study, they
are kept under the name `NUMBER_VALUE.pt` or removed, and so are those that are no longer among the best. What a crash
leaves in between, whoever goes on with the study finds by these names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hpo.events import WEIGHTS_DIGEST, WeightsOrder
from hpo.files import digest_of
from hpo.ledger.study.records import TrialRecord, best_first

_LEFT, _KEPT = ".left", ".pt"


class Place(NamedTuple):
    """A trial's place among all: the best comes first, and of equal ones the earlier."""

    loss: float  # the value, or its negative where more is better
    number: int


class KeptWeights:
    """Keeps the files of one study. Where several drivers share a folder, each removes what it finds too much."""

    def __init__(self, folder: Path, metric: str, goal: str, most: int) -> None:
        """most: weights that are kept; 0: none are, and what is there is left alone."""
        self._folder = folder
        self._metric = metric
        self._sign = 1 if goal == "maximize" else -1
        self._most = most
        self._best: list[Place] = []  # at most `most`
        self._ended: list[TrialRecord] = []  # since the last `settle`

    def order_of(self, record: TrialRecord) -> WeightsOrder | None:
        """Return what a trial is to leave behind that begins now; None: nothing."""
        if not self._most:
            return None
        bar = -self._sign * self._best[-1].loss if len(self._best) == self._most else None
        return WeightsOrder(str(self._left(record.number)), self._metric, self._sign, bar)

    def open(self, records: Iterable[TrialRecord], alone: bool) -> None:
        """Take in the trials of a study that is taken over, and see to what a dead driver left. alone: no other driver
        runs the study."""
        ended = {record.number: record for record in records}
        for record in ended.values():
            self.learn(record)
        if not self._most or not self._folder.exists():
            return
        for path in sorted(self._folder.glob(f"*{_LEFT}*")) if alone else ():
            number, _, rest = path.name.partition(_LEFT)
            found = ended.get(int(number)) if number.isdigit() and not rest else None
            if found is not None and is_own(path, found):
                self._settle(found)
            path.unlink(missing_ok=True)
        self._remove_surplus()

    def learn(self, record: TrialRecord) -> None:
        """Take in how a trial has ended, here or elsewhere."""
        if self._most and record.ranks and record.value is not None:
            place = self._place(record.value, record.number)
            if place not in self._best:
                self._best = sorted([*self._best, place])[: self._most]

    def take(self, record: TrialRecord) -> None:
        """Take in how a trial of this driver has ended; its file is seen to with the next `settle`."""
        self.learn(record)
        if self._most:
            self._ended.append(record)

    def settle(self) -> None:
        """Keep or remove what the trials left that have ended. Call it when that is in the study."""
        if not self._ended:
            return
        for record in self._ended:
            self._settle(record)
        self._ended = []
        self._remove_surplus()

    def _settle(self, record: TrialRecord) -> None:
        left = self._left(record.number)
        counts = record.ranks and WEIGHTS_DIGEST in record.info
        if counts and self._place(record.value or 0.0, record.number) in self._best and left.exists():
            left.replace(self._folder / f"{record.number}_{float(record.value or 0.0)!r}{_KEPT}")
        for path in self._folder.glob(f"{left.name}*"):  # with drafts
            path.unlink(missing_ok=True)

    def _remove_surplus(self) -> None:
        """Remove what is not among the best, as far as this driver's trials and the files' own names say it."""
        there = {place: path for path in self._folder.glob(f"*{_KEPT}") if (place := self._place_of(path))}
        for place in sorted({*there, *self._best})[self._most :]:
            if place in there:
                there[place].unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it holds others
            self._folder.rmdir()

    def _place_of(self, path: Path) -> Place | None:
        named = named_by(path)
        return self._place(named[1], named[0]) if named is not None else None

    def _place(self, value: float, number: int) -> Place:
        return Place(-self._sign * value, number)

    def _left(self, number: int) -> Path:
        return self._folder / f"{number}{_LEFT}"


def kept_file(folder: Path, number: int) -> Path | None:
    """Return the file with a trial's weights; None if they were not kept."""
    return next(iter(sorted(folder.glob(f"{number}_*{_KEPT}"))), None)


def is_own(path: Path, record: TrialRecord) -> bool:
    """Whether a file holds what the trial left, to the last bit, as the study says."""
    return record.info.get(WEIGHTS_DIGEST) == digest_of(path)


def named_by(path: Path) -> tuple[int, float] | None:
    """Return the number and the value of the trial whose weights a file holds, by its name."""
    number, _, value = path.name.removesuffix(_KEPT).partition("_")
    try:
        return int(number), float(value)
    except ValueError:
        return None


def useless(folder: Path, records: Iterable[TrialRecord], sweep: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield the files that are of no use in a study that nobody runs, each with the reason.

    sweep: the resolved sweep, as the study has it.
    """
    ranking = best_first(records, sweep["metric"]["goal"])
    known = {record.number: record for record in ranking}
    most = (sweep.get("keep") or {}).get("models")
    best = {record.number for record in ranking[:most]}
    for path in sorted(folder.glob("*")):
        named = named_by(path) if path.name.endswith(_KEPT) else None
        if named is None:
            yield path, "is what a trial left that was not recorded to its end"
        elif named[0] not in known:
            yield path, f"holds the weights of trial {named[0]}, which has no value"
        elif not is_own(path, known[named[0]]):
            yield path, f"does not hold what trial {named[0]} left: its digest is another"
        elif named[0] not in best:
            yield path, f"holds the weights of trial {named[0]}, which is not among the best {most} any more"
