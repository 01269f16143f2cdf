"""The mirror: a process of its own that keeps MLflow like the study.

MLflow's client takes 25 ms and more a run and may stand still for as long as its server does; in a process of its own
it holds up nothing. It keeps nothing that can't be lost: whatever it has not written when it ends, the next `hpo sweep`
on the study finds missing and writes.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

from hpo.ledger.home import Home
from hpo.ledger.records import SweepRecord, TrialRecord
from hpo.output import log_to

_CLOSING_PATIENCE = 30.0  # seconds without any progress of MLflow before the end is not waited for any longer
_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class _Order:
    """One thing to write: a method of MlflowBook with its arguments."""

    action: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Notice:
    """Something the user should know."""

    text: str
    warning: bool = True


@dataclass(frozen=True)
class _Answer:
    """What came of orders. `written` counts the orders that are done."""

    written: int
    run_ids: Mapping[int, str] = field(default_factory=dict)
    parent_id: str = ""
    trouble: str = ""  # why MLflow can't be written at the moment
    notices: tuple[Notice, ...] = ()


class Mirror:
    """The driver's side: hands orders over without waiting, and takes in run ids."""

    def __init__(self, home: Home) -> None:
        """Start the process. It loads MLflow and makes its database if there is none, which takes seconds."""
        self.run_ids: dict[int, str] = {}
        self.parent_id = ""
        self.in_trouble = False
        self._given = 0
        self._written = 0
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, home), name="mlflow-mirror", daemon=False)
        self._process.start()
        theirs.close()
        self._order("prepare")

    def open(self, sweep: SweepRecord, finished: list[TrialRecord]) -> None:
        """Open the stores. finished: the trials of the study so far; those that MLflow lacks are written first."""
        self._order("open", sweep, finished)

    def _order(self, action: str, *arguments: Any) -> None:
        self._given += 1
        try:
            self._connection.send(_Order(action, arguments))
        except OSError:
            self.in_trouble = True  # its process died; said at the end, made good by the next sweep

    def begin(self, record: TrialRecord) -> None:
        self._order("begin", replace(record, steps={}, times={}))

    def end(self, record: TrialRecord) -> None:
        self._order("end", record)

    def attach(self, number: int, name: str, path: str) -> None:
        self._order("attach", number, name, path)

    def best(self, step: int, value: float, moment: float) -> None:
        self._order("best", step, value, moment)

    def receive(self) -> list[Notice]:
        """Take in what the process has answered; return news for the user."""
        news: list[Notice] = []
        try:
            while self._connection.poll():
                answer = self._connection.recv()
                self._written = answer.written
                self.run_ids.update(answer.run_ids)
                self.parent_id = answer.parent_id or self.parent_id
                news += answer.notices
                if answer.trouble and not self.in_trouble:
                    news.append(Notice(f"MLflow can't be written for now, the sweep goes on: {answer.trouble}"))
                self.in_trouble = bool(answer.trouble)
        except (EOFError, OSError):
            if self._process.exitcode != 0 and not self.in_trouble:
                code = self._process.exitcode
                news.append(Notice(f"the process that writes MLflow died (exit code {code}); the study is safe"))
            self.in_trouble = True
        return news

    def abandon(self) -> None:
        """End the process without more orders; by force only after a while: it may be making MLflow's database."""
        self._connection.close()
        self._process.join(_CLOSING_PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def close(self, status: str, summary: Mapping[str, Any], hurry: Callable[[], bool]) -> list[Notice]:
        """End the parent run and the process; wait while MLflow makes progress, unless told to `hurry`.

        Returns news for the user.
        """
        self._order("close", status, dict(summary))
        news = self.receive()
        progress, since = self._written, time.monotonic()
        while self._written < self._given and self._process.is_alive():
            if self._written != progress:
                progress, since = self._written, time.monotonic()
            if time.monotonic() - since > _CLOSING_PATIENCE or hurry():
                break
            self._connection.poll(0.2)
            news += self.receive()
        self._process.kill()  # all is written, or it hangs; left to itself it takes seconds to unload MLflow
        self._process.join()
        if self._written < self._given:
            missing = f"{self._given - self._written} entries have not reached MLflow; they are safe in the study"
            news.append(Notice(f"{missing}, and the next `hpo sweep` of this file writes them"))
        self._connection.close()
        return news


def _run(connection: Connection, home: Home) -> None:
    """The process: write order after order, try again while MLflow fails, end with the driver."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C means
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # it announces each table that it makes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # retries are made here, where they are told of
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")  # seconds
    log_to(home.logs / "mlflow.log")  # MLflow and its libraries talk
    from hpo.ledger.mlflow_book import MlflowBook

    book = MlflowBook(home)
    orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
    threading.Thread(target=_take_orders, args=(connection, orders), daemon=True).start()
    written = 0
    while (order := orders.get()) is not None:
        failures = 0
        while True:
            try:
                notices = tuple(
                    Notice(text, warning=False) for text in getattr(book, order.action)(*order.arguments) or ()
                )
                break
            except Exception as error:  # a server that is down or answers nonsense, a locked or full disk
                if _is_refusal(error):
                    notices = (Notice(f"MLflow refuses what it was given to {order.action}: {error}"),)
                    break
                wait = _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
                failures += 1
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                if not _tell(connection, _Answer(written, trouble=reason)):
                    return
                time.sleep(wait)
        written += 1
        answer = _Answer(written, book.new_run_ids(), book.parent_id, notices=notices)
        if not _tell(connection, answer) or order.action == "close":
            return


def _take_orders(connection: Connection, orders: queue.SimpleQueue[_Order | None]) -> None:
    """Empty the pipe at all times: the driver must never wait because MLflow does."""
    try:
        while True:
            orders.put(connection.recv())
    except (EOFError, OSError):
        orders.put(None)  # the driver is gone; the next one finds out what is missing


def _is_refusal(error: Exception) -> bool:
    """Whether trying again is of no use: MLflow says that the request is wrong, or this program made a mistake."""
    wrong = getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE"
    return wrong or isinstance(error, TypeError | LookupError | ArithmeticError)


def _tell(connection: Connection, answer: _Answer) -> bool:
    try:
        connection.send(answer)
    except OSError:
        return False
    return True
