"""The end of a trial, in two phases.

The safety property: what happened is in the study first, then in MLflow. MLflow can be rebuilt from the study, never
the other way round, so at no moment does MLflow hold anything that the study lacks:

1. The outcome, with every metric of every step, is written into the trial while the study says that it runs. From here
   on nothing of it can be lost: who finds it so after a crash gives it its state (`study/settling.py`).
2. Its MLflow run's id and its state are written into the study, which Optuna lets nobody change afterwards; then MLflow
   is told. Where it is MLflow that gives the id, that is waited for, but not for long.

Inside a `StudyFirst.together`, all of a block's writes to the study come before all of its orders to MLflow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hpo.ledger.mirror.mirror import Mirror
from hpo.ledger.study.book import StudyBook
from hpo.ledger.study.records import TrialRecord

RUN_ID_PATIENCE = 20.0  # seconds that a trial's end waits for a run id that MLflow gives, while MLflow works


class StudyFirst:
    """Writes many things in one go, to the study, then to MLflow."""

    def __init__(self, book: StudyBook, mirror: Mirror) -> None:
        self._book = book
        self._mirror = mirror
        self.open = False  # whether a block is

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write all that is recorded inside the block at its end (Ledger.together)."""
        if self.open:
            yield
            return
        self.open = True
        self._mirror.hold()
        try:
            with self._book.together():
                yield
        finally:
            self.open = False
            self._mirror.let_go(send=not self._book.failed)


class Ends:
    """Writes the ends of trials. first: writes many things in one go, ends among them."""

    def __init__(self, book: StudyBook, mirror: Mirror, clock: Callable[[], float] = time.time) -> None:
        self.first = StudyFirst(book, mirror)
        self._book = book
        self._mirror = mirror
        self._clock = clock
        self._waiting: dict[int, tuple[TrialRecord, float]] = {}  # phase 1 is done; since when phase 2 is waited for
        self._uncertain: set[int] = set()  # running trials whose run ids hold only if MLflow takes them

    @property
    def waiting(self) -> bool:
        """Whether there are trials whose ends are not complete."""
        return bool(self._waiting)

    def begun(self, record: TrialRecord, certain: bool) -> None:
        """Take in that a trial runs. certain: its run has the id that the record says."""
        if not certain:
            self._uncertain.add(record.number)

    def end(self, record: TrialRecord) -> None:
        """Write a trial's end: both phases, or the first until `complete`."""
        self._book.note_end(record)
        if given := self._mirror.run_ids.pop(record.number, ""):
            record.run_id = given
            self._uncertain.discard(record.number)
        if self._mirror.takes_ids or record.number not in self._uncertain:
            self._complete(record)
        else:
            self._waiting[record.number] = record, self._clock()

    def go_on_with(self, record: TrialRecord) -> None:
        """Write the second phase of a trial whose driver died before it could, or let it wait until MLflow has given it
        a run."""
        if record.run_id:
            self._complete(record)
        else:
            self._mirror.begin(record)
            self._waiting[record.number] = record, self._clock()

    def complete(self, force: bool = False) -> None:
        """Write the second phase of all trials for which it can be written. force: do not wait for run ids."""
        for number, (record, since) in list(self._waiting.items()):
            given = self._mirror.run_ids.pop(number, "")
            certain = given or (record.run_id if self._mirror.takes_ids else "")
            late = abs(self._clock() - since) > RUN_ID_PATIENCE
            if certain or force or late or self._mirror.in_trouble:
                record.run_id = certain
                self._complete(record)
                del self._waiting[number]

    def _complete(self, record: TrialRecord) -> None:
        """Write the second phase: the study first."""
        self._uncertain.discard(record.number)
        self._book.end(record)
        self._mirror.end(record)
