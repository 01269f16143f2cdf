"""The mirror: a process of its own that keeps MLflow like the study. This is the driver's side of it.

MLflow's client takes 25 ms and more a run and may stand still for as long as its server does; in a process of its own
it holds up nothing. It keeps nothing that can't be lost: if it dies, another one is started and given what was not
written yet; and whatever MLflow lacks in the end, the next `hpo sweep` on the study finds missing and writes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from hpo.ledger.mirror.process import IsRun, MirrorAnswer, MirrorOrder, Notice
from hpo.ledger.mirror.writer import WriterProcess
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import SweepRecord, TrialRecord, packed

_CLOSING_PATIENCE = 30.0  # seconds without any progress of MLflow before the end is not waited for any longer
_ENDING_PATIENCE = 5.0  # seconds for the end of the parent run of a driver that goes without a word
_TROUBLED_PATIENCE = 1.0  # seconds for the same, where MLflow can't be written
_RESTARTS = 3  # of the process, in one sweep


class Mirror:
    """The driver's side: hands orders over without waiting, and takes in run ids. `start` comes before all else but
    `hold`, `let_go` and `abandon`."""

    def __init__(self, home: Home, is_run: IsRun | None = None) -> None:
        """is_run: as process.run has it; given, the parent run of a driver that is killed is ended."""
        self.run_ids: dict[int, str] = {}  # of trials whose runs have other ids than their records
        self.parent_id = ""
        self.in_trouble = False
        self.takes_ids = False  # whether a run gets the id that its trial's record has; known once MLflow is loaded
        self._new_writer = partial(WriterProcess, home, is_run)
        self._writer: WriterProcess | None = None
        self._unwritten: deque[MirrorOrder] = deque()  # given to the process, and not known to be carried out
        self._opening: MirrorOrder | None = None
        self._restarts = 0
        self._closing = False
        self._stopped = False  # its process was ended, and may be started again
        self._refused = 0  # orders that MLflow refused
        self._hopeless = ""  # why MLflow can't be written at all
        self._heard = 0  # signs that MLflow makes progress
        self._held: list[MirrorOrder] | None = None  # while orders wait for the study

    def start(self) -> None:
        """Start the process, unless it was. It makes MLflow's database if there is none."""
        if self._writer is None:
            self._writer = self._new_writer()
            self.order("prepare")

    @property
    def _process(self) -> WriterProcess:
        assert self._writer is not None, "start() comes first"
        return self._writer

    def hold(self) -> None:
        """Keep orders back from now on: what they tell is not in the study yet."""
        self._held = []

    def let_go(self, send: bool) -> None:
        """Send the orders that were kept back, or drop them: the study could not be written."""
        held, self._held = self._held or [], None
        if send and held:
            self._send(held)

    def open(self, sweep: SweepRecord, finished: Sequence[TrialRecord]) -> None:
        """Open the stores. finished: the study's finished trials so far, without their steps; those that MLflow lacks
        are written first."""
        self._opening = MirrorOrder("open", (sweep, ()))
        self.order("open", sweep, finished)

    def order(self, action: str, *arguments: Any) -> None:
        """Have the process carry out a method of MlflowBook, or write a trial."""
        order = MirrorOrder(action, arguments)
        if self._held is not None:
            self._held.append(order)
        else:
            self._send([order])

    def _send(self, orders: list[MirrorOrder]) -> None:
        self._unwritten.extend(orders)
        self._process.send(orders)

    def look_again(self) -> None:
        """Have the runs found that other drivers made, before the next is written."""
        self.order("look_again")

    def level(self, finished: Sequence[TrialRecord]) -> None:
        """Write those of the study's finished trials that MLflow lacks."""
        self.order("level", finished)

    def begin(self, record: TrialRecord) -> None:
        self.order("begin", replace(record, steps={}, times={}))

    def end(self, record: TrialRecord) -> None:
        self.order("end", *packed(record))

    def attach(self, number: int, name: str, path: str) -> None:
        self.order("attach", number, name, path)

    def best(self, step: int, value: float, moment: float) -> None:
        self.order("best", step, value, moment)

    def receive(self) -> list[Notice]:
        """Take in what the process has answered, and replace it if it died; return news for the user."""
        news: list[Notice] = []
        if self._stopped:
            return []
        try:
            for answer in self._process.answers():
                news += self._take_in(answer)
        except (EOFError, OSError):
            if not self._given_up and (self._unwritten or not self._closing):
                news += self._replace()
        return news

    def _take_in(self, answer: MirrorAnswer) -> list[Notice]:
        for _ in range(answer.written - self._process.answered):
            self._unwritten.popleft()
        self._process.answered = answer.written
        self._heard += not answer.trouble
        self._refused += answer.refused
        self.run_ids.update(answer.run_ids)
        self.parent_id = answer.parent_id or self.parent_id
        self.takes_ids = answer.takes_ids
        news = list(answer.notices)
        if answer.trouble and not self.in_trouble:
            news.append(Notice(f"MLflow can't be written for now, the sweep goes on: {answer.trouble}"))
        if answer.hopeless and not self._hopeless:
            self._hopeless = answer.hopeless
            news.append(Notice(f"MLflow can't be written, the sweep goes on without it: {answer.hopeless}"))
        self.in_trouble = bool(answer.trouble or self._hopeless)
        return news

    @property
    def _given_up(self) -> bool:
        return self._restarts > _RESTARTS or bool(self._hopeless)

    def _replace(self) -> list[Notice]:
        """Start another process in the place of a dead one, and give it what that one has not written."""
        died = f"the process that writes MLflow died (exit code {self._process.exit_code()})"
        self._process.disconnect()
        self._restarts += 1
        if self._given_up:
            self.in_trouble = True
            return [Notice(f"{died} once too often, and is not replaced; the study is safe")]
        self._start_over()
        return [Notice(f"{died} and was replaced")]

    def _start_over(self) -> None:
        self._writer = self._new_writer()
        orders = [order for order in self._unwritten if order.action != "prepare"]
        first = [MirrorOrder("prepare")]
        if self._opening is not None and not any(order.action == "open" for order in orders):
            first.append(self._opening)  # it finds what the dead one wrote
        self._unwritten.clear()
        self._send([*first, *orders])

    def leave(self, hurry: Callable[[], bool], give_up: Callable[[], bool]) -> tuple[bool, list[Notice]]:
        """End the writing of trials, while other drivers of the study go on. What comes after that is `close`.

        give_up: gives up the study; returns whether no other driver is left.
        Returns the same, and news for the user.
        """
        self.order("leave")
        news = self.wait(hurry)
        behind = self._stop_if_behind()  # what it wrote late would undo what the last driver writes
        last = give_up()
        if behind and last:
            self._process.disconnect()
            self._stopped = False
            self._start_over()
        elif behind:
            files = self._files_waiting
            lost = f", but for {files} files of trials" if files else ""
            news.append(Notice(f"MLflow is behind; the drivers that stay bring it level with the study{lost}"))
        return last, news

    def _stop_if_behind(self) -> bool:
        """End the process at once if it has not carried out all orders but for files; return whether it was so."""
        if self._given_up or self._files_waiting == len(self._unwritten):
            return False
        self._stopped = True
        self._process.kill()
        return True

    @property
    def _files_waiting(self) -> int:
        """How many artefacts have not been moved to MLflow."""
        return sum(order.action == "attach" for order in self._unwritten)

    def abandon(self, forsaken: str = "", hurry: Callable[[], bool] = lambda: False, lost: bool = False) -> None:
        """End the process, if it runs, without more orders but one: if the study is gone (`forsaken` says how), runs
        that still run are ended first. hurry: whether not to wait for that any longer. lost: another driver has taken
        the study over, and the parent run with it."""
        if self._writer is None:
            return
        if lost and self._opening is not None:
            self._writer.kill()  # what it wrote by now would undo what the other driver writes
        elif forsaken and self._opening is not None and not self._stopped:
            self._closing = True  # it ends by itself then, and one that took its place would open the parent run again
            self.order("forsake", forsaken)
            self.wait(hurry)
        patience = _ENDING_PATIENCE if self.parent_id else _CLOSING_PATIENCE  # it may be making the database
        self._writer.end(_TROUBLED_PATIENCE if self.in_trouble else patience)

    def close(self, status: str, summary: Mapping[str, Any], hurry: Callable[[], bool]) -> list[Notice]:
        """End the parent run (status "": leave it to others) and the process; wait while MLflow makes progress, unless
        told to `hurry`.

        Returns news for the user.
        """
        self._closing = True
        if self._stopped:
            self._process.disconnect()
            return []
        if status:
            self.order("close", status, dict(summary))
        else:
            self._restarts = _RESTARTS  # one that took its place would open the parent run again
        news = self.wait(hurry)
        self._process.kill()  # all is written, or it hangs; left to itself it takes seconds to unload MLflow
        if self._unwritten:
            missing = f"{len(self._unwritten)} entries have not reached MLflow; they are safe in the study"
            why = f" ({self._hopeless})" if self._hopeless else ""
            when = "the next `hpo sweep` or `Tuner.fit` on this study writes them"
            news.append(Notice(f"{missing}, and {when}{why}", missing=True))
        elif self._refused:
            lacks = f"MLflow has refused {self._refused} entries, which are safe in the study"
            news.append(Notice(f"{lacks}; `hpo doctor` says which it lacks", missing=True))
        self._process.disconnect()
        return news

    def wait(self, hurry: Callable[[], bool]) -> list[Notice]:
        """Wait until all orders are carried out, while MLflow makes progress. Returns news for the user."""
        news = self.receive()
        heard, since = self._heard, time.monotonic()
        while self._unwritten and not self._given_up:
            if self._heard != heard:
                heard, since = self._heard, time.monotonic()
            if time.monotonic() - since > _CLOSING_PATIENCE or hurry():
                break
            self._process.wait(0.2)
            news += self.receive()
        return news
