"""The mirror: a process of its own that keeps MLflow like the study. This is the driver's side of it.

MLflow's client takes 25 ms and more a run and may stand still for as long as its server does; in a process of its own
it holds up nothing. It keeps nothing that can't be lost: if it dies, another one is started and given what was not
written yet; and whatever MLflow lacks in the end, the next `hpo sweep` on the study finds missing and writes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpo.ledger.mirror import process as mirror_process
from hpo.ledger.mirror.process import Answer, Notice, Order
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import SweepRecord, TrialRecord, packed

_CLOSING_PATIENCE = 30.0  # seconds without any progress of MLflow before the end is not waited for any longer
_RESTARTS = 3  # of the process, in one sweep


class Mirror:
    """The driver's side: hands orders over without waiting, and takes in run ids."""

    def __init__(self, home: Home) -> None:
        """Start the process. It loads MLflow and makes its database if there is none, which takes seconds."""
        self.run_ids: dict[int, str] = {}  # of trials whose runs have other ids than their records
        self.parent_id = ""
        self.in_trouble = False
        self.takes_ids = False  # whether a run gets the id that its trial's record has; known once MLflow is loaded
        self._home = home
        self._unwritten: deque[Order] = deque()  # given to the process, and not known to be carried out
        self._answered = 0  # orders that this process has carried out
        self._opening: Order | None = None
        self._restarts = 0
        self._closing = False
        self._stopped = False  # its process was ended, and may be started again
        self._heard = 0  # signs that MLflow makes progress
        self._held: list[Order] | None = None  # while orders wait for the study
        self._start()
        self._order("prepare")

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=mirror_process.run, args=(theirs, self._home), name="mlflow-mirror", daemon=False
        )
        self._process.start()
        theirs.close()
        self._answered = 0

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
        self._opening = Order("open", (sweep, ()))
        self._order("open", sweep, finished)

    def _order(self, action: str, *arguments: Any) -> None:
        order = Order(action, arguments)
        if self._held is not None:
            self._held.append(order)
        else:
            self._send([order])

    def _send(self, orders: list[Order]) -> None:
        self._unwritten.extend(orders)
        with contextlib.suppress(OSError):  # its process died: the next `receive` sees that
            self._connection.send(orders)

    def look_again(self) -> None:
        """Have the runs found that other drivers made, before the next is written."""
        self._order("look_again")

    def level(self, finished: Sequence[TrialRecord]) -> None:
        """Write those of the study's finished trials that MLflow lacks."""
        self._order("level", finished)

    def begin(self, record: TrialRecord) -> None:
        self._order("begin", replace(record, steps={}, times={}))

    def end(self, record: TrialRecord) -> None:
        self._order("end", *packed(record))

    def attach(self, number: int, name: str, path: str) -> None:
        self._order("attach", number, name, path)

    def best(self, step: int, value: float, moment: float) -> None:
        self._order("best", step, value, moment)

    def receive(self) -> list[Notice]:
        """Take in what the process has answered, and replace it if it died; return news for the user."""
        news: list[Notice] = []
        if self._stopped:
            return []
        try:
            while self._connection.poll():
                news += self._take_in(self._connection.recv())
        except (EOFError, OSError):
            if not self._given_up and (self._unwritten or not self._closing):
                news += self._replace()
        return news

    def _take_in(self, answer: Answer) -> list[Notice]:
        for _ in range(answer.written - self._answered):
            self._unwritten.popleft()
        self._answered = answer.written
        self._heard += not answer.trouble
        self.run_ids.update(answer.run_ids)
        self.parent_id = answer.parent_id or self.parent_id
        self.takes_ids = answer.takes_ids
        news = list(answer.notices)
        if answer.trouble and not self.in_trouble:
            news.append(Notice(f"MLflow can't be written for now, the sweep goes on: {answer.trouble}"))
        self.in_trouble = bool(answer.trouble)
        return news

    @property
    def _given_up(self) -> bool:
        return self._restarts > _RESTARTS

    def _replace(self) -> list[Notice]:
        """Start another process in the place of a dead one, and give it what that one has not written."""
        self._process.join()
        died = f"the process that writes MLflow died (exit code {self._process.exitcode})"
        self._connection.close()
        self._restarts += 1
        if self._given_up:
            self.in_trouble = True
            return [Notice(f"{died} once too often, and is not replaced; the study is safe")]
        self._start_over()
        return [Notice(f"{died} and was replaced")]

    def _start_over(self) -> None:
        self._start()
        orders = [order for order in self._unwritten if order.action != "prepare"]
        first = [Order("prepare")]
        if self._opening is not None and not any(order.action == "open" for order in orders):
            first.append(self._opening)  # it finds what the dead one wrote
        self._unwritten.clear()
        self._send([*first, *orders])

    def leave(self) -> None:
        """End the writing of trials, while other drivers of the study go on. What comes after that is `close`."""
        self._order("leave")

    def stop_if_behind(self) -> bool:
        """End the process at once if it has not carried out all orders but for files; return whether it was so."""
        if self._given_up or self.files_waiting == len(self._unwritten):
            return False
        self._stopped = True
        self._process.kill()
        self._process.join()
        return True

    @property
    def files_waiting(self) -> int:
        """How many artefacts have not been moved to MLflow."""
        return sum(order.action == "attach" for order in self._unwritten)

    def go_on(self) -> None:
        """Start the process again that `stop_if_behind` has ended, with the orders that it has not carried out."""
        self._connection.close()
        self._stopped = False
        self._start_over()

    def abandon(self) -> None:
        """End the process without more orders; by force only after a while: it may be making MLflow's database."""
        self._connection.close()
        self._process.join(_CLOSING_PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def close(self, status: str, summary: Mapping[str, Any], hurry: Callable[[], bool]) -> list[Notice]:
        """End the parent run (status "": leave it to others) and the process; wait while MLflow makes progress, unless
        told to `hurry`.

        Returns news for the user.
        """
        self._closing = True
        if self._stopped:
            self._connection.close()
            return []
        if status:
            self._order("close", status, dict(summary))
        else:
            self._restarts = _RESTARTS  # one that took its place would open the parent run again
        news = self.wait(hurry)
        self._process.kill()  # all is written, or it hangs; left to itself it takes seconds to unload MLflow
        self._process.join()
        if self._unwritten:
            missing = f"{len(self._unwritten)} entries have not reached MLflow; they are safe in the study"
            news.append(Notice(f"{missing}, and the next `hpo sweep` of this file writes them"))
        self._connection.close()
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
            with contextlib.suppress(OSError):
                self._connection.poll(0.2)
            news += self.receive()
        return news
