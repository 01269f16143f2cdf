"""The mirror's process: it writes what it is ordered to, many trials at a time when they come quickly."""

from __future__ import annotations

import importlib
import os
import queue
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from hpo.lazy import keep_imports, quick_imports
from hpo.ledger.mirror import compat
from hpo.ledger.mirror.health import is_damage
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import TrialRecord, unpacked
from hpo.ledger.study.urls import mask_output, masked
from hpo.output import log_to

if TYPE_CHECKING:
    from hpo.ledger.mirror.book import MlflowBook

_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
_GOING = 1.0  # seconds in which a driver that is gone lets go of its study
IsRun = Callable[[Home], Callable[[str], bool]]
_TOGETHER = {"begin", "end", "best", "attach"}  # orders that may be carried out in one go


@dataclass(frozen=True)
class MirrorOrder:
    """One thing to write: a trial's begin or end, a point of the best curve, or a method of MlflowBook."""

    action: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Notice:
    """Something the user should know."""

    text: str
    warning: bool = True
    missing: bool = False  # it says what MLflow lacks in the end


@dataclass(frozen=True)
class MirrorAnswer:
    """What came of orders. `written` counts the orders that are done."""

    written: int
    run_ids: Mapping[int, str] = field(default_factory=dict)
    parent_id: str = ""
    takes_ids: bool = False
    trouble: str = ""  # why MLflow can't be written at the moment
    refused: int = 0  # orders that MLflow refused: trying again is of no use
    hopeless: str = ""  # why MLflow can't be written at all; nothing comes after that
    notices: tuple[Notice, ...] = ()


class _Hopeless(Exception):
    """MLflow can't even be connected, and trying again is of no use."""


class _NobodyListens(Exception):
    """Nobody listens any more; the next driver finds out what is missing."""


def run(connection: Connection, home: Home, is_run: IsRun | None = None) -> None:
    """Write order after order, try again while MLflow fails, end with the driver.

    is_run: given a home, returns what tells whether a driver runs a study of it. With it, the parent run is ended if
    the driver is gone without a word and no other one has come.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C means
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    restrain_mlflow()
    log_to(home.logs / "mlflow.log")  # MLflow and its libraries talk
    mask_output()
    try:
        writer = OrderWriter(connection, home, partial(_load, home), _load_mlflow)
        try:
            writer.work()
        except _Hopeless as error:
            writer.end_without_hope(str(error))
        except _NobodyListens:
            if is_run is not None:
                writer.end_alone(is_run)
    except _NobodyListens:
        return


def restrain_mlflow() -> None:
    """Set how MLflow behaves in this process, before it is imported."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # it announces each table that it makes
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # retries are made here, where they are told of
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")  # seconds


@cache
def _load_mlflow() -> None:
    """Import MLflow in two thirds of the time: without pandas, which it can do without, as mlflow-skinny does, and
    without collecting garbage."""
    _hide_pandas()
    with quick_imports():
        importlib.import_module("hpo.ledger.mirror.client")
        compat.remember_schema_version()


def _load(home: Home) -> None:
    """Import what writes the MLflow of a home: MLflow only where it is needed."""
    _hide_pandas()
    with quick_imports():
        connecting = importlib.import_module("hpo.ledger.mirror.connecting")
        importlib.import_module("hpo.ledger.mirror.book")
    if connecting.needs_mlflow(home):
        _load_mlflow()


def _hide_pandas() -> None:
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]  # not to be found


class OrderWriter:
    """Carries out what the driver orders."""

    def __init__(
        self,
        connection: Connection,
        home: Home,
        load: Callable[[], None] = lambda: None,
        load_mlflow: Callable[[], None] = lambda: None,
    ) -> None:
        """load: imports what is needed, which may take seconds, in which the pipe is emptied already. load_mlflow:
        imports MLflow, where it turns out later to be needed."""
        self._connection = connection
        self._home = home
        self._orders: queue.SimpleQueue[MirrorOrder | None] = queue.SimpleQueue()
        self._next: deque[MirrorOrder] = deque()  # taken from the queue, not yet begun
        self._written = 0
        self._refused = 0
        threading.Thread(target=self._take_orders, daemon=True).start()
        load()

        from hpo.ledger.mirror.book import MlflowBook

        keep_imports()
        self._book: MlflowBook = MlflowBook(home, self._tell, load_mlflow)

    def work(self) -> None:
        """Write until the order to close. Raises _NobodyListens if the driver ends without one."""
        while True:
            orders = self._batch()
            rows = [order for order in orders if order.action != "attach"]
            notices = self._persist(rows) if rows else []
            for order in orders:
                if order.action == "attach":  # by itself: a file that was moved can't be moved again
                    notices += self._persist([order])
            self._written += len(orders)
            refused, self._refused = self._refused, 0
            self._tell(run_ids=self._book.new_run_ids(), notices=tuple(notices), refused=refused)
            if orders[-1].action in ("close", "forsake"):
                return

    def end_without_hope(self, reason: str) -> None:
        """Say that nothing will ever be written, and take orders in until the driver ends."""
        self._tell(hopeless=reason)
        while self._orders.get() is not None:
            pass

    def end_alone(self, is_run: IsRun) -> None:
        """Let the parent run say that its sweep was interrupted: the driver was killed. Not if another one runs it."""
        deadline = time.monotonic() + _GOING
        try:
            runs = is_run(self._home)

            def run_again(study: str) -> bool:
                while runs(study):
                    if time.monotonic() > deadline:
                        return True
                    time.sleep(0.05)
                return False

            self._book.interrupted(run_again)
        except Exception as error:  # of MLflow, or of the study's database: nobody is there to be told
            print(f"the parent run still says that the sweep runs: {masked(str(error))}", file=sys.stderr)

    def _take_orders(self) -> None:
        """Empty the pipe at all times: the driver must never wait because MLflow does."""
        try:
            while True:
                for order in self._connection.recv():
                    self._orders.put(order)
        except (EOFError, OSError):
            self._orders.put(None)

    def _batch(self) -> list[MirrorOrder]:
        """Return the next orders that can be carried out together; waits for one, not for more."""
        if not self._next:
            self._next.append(self._required(self._orders.get()))
        orders = [self._next.popleft()]
        while orders[0].action in _TOGETHER and len(orders) < self._book.batch and not self._orders.empty():
            order = self._orders.get()
            if order is None:
                self._orders.put(None)  # what was ordered before is written first
                break
            if order.action not in _TOGETHER:
                self._next.append(order)
                break
            orders.append(order)
        return orders

    def _required(self, order: MirrorOrder | None) -> MirrorOrder:
        if order is None:
            raise _NobodyListens
        return order

    def _persist(self, orders: Sequence[MirrorOrder]) -> list[Notice]:
        """Carry out orders, again and again until MLflow takes them or refuses them; return news for the user."""
        failures = 0
        notes: list[Notice] = []
        while True:
            try:
                return notes + self._carry_out(orders)
            except Exception as error:  # a server that is down or answers nonsense, a locked or full disk
                if is_damage(error) and not notes and (notes := self._recover()):
                    continue
                if _is_refusal(error, failures):
                    if orders[0].action == "prepare":
                        raise _Hopeless(masked(" ".join(str(error).split()))[:300]) from None
                    if len(orders) > 1:  # which of them it is
                        return [notice for order in orders for notice in self._persist([order])]
                    self._refused += 1
                    return [Notice(f"MLflow refuses what it was given to {orders[0].action}: {masked(str(error))}")]
                wait = _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
                failures += 1
                self._tell(trouble=masked(" ".join(f"{type(error).__name__}: {error}".split()))[:300])
                time.sleep(wait)

    def _recover(self) -> list[Notice]:
        """Replace a damaged database; return news for the user, none if that failed."""
        try:
            return [Notice(masked(text)) for text in self._book.recover()]
        except Exception as error:  # a full disk, say: it is tried again
            print(f"MLflow's database could not be mended: {error}", file=sys.stderr)
            return []

    def _carry_out(self, orders: Sequence[MirrorOrder]) -> list[Notice]:
        trials: dict[int, tuple[TrialRecord, bool]] = {}
        best: list[tuple[int, float, float]] = []
        notes: list[str] = []
        for order in orders:
            if order.action == "begin":
                trials.setdefault(order.arguments[0].number, (order.arguments[0], False))
            elif order.action == "end":
                record = unpacked(*order.arguments)
                trials[record.number] = record, True
            elif order.action == "best":
                step, value, moment = order.arguments
                best.append((step, value, moment))
            else:
                notes += getattr(self._book, order.action)(*order.arguments) or ()
        if trials or best:
            self._book.write(list(trials.values()), best)
        return [Notice(text, warning=False) for text in notes]

    def _tell(self, **facts: Any) -> None:
        """Answer the driver. Raises _NobodyListens."""
        book = self._book
        try:
            self._connection.send(
                MirrorAnswer(self._written, parent_id=book.parent_id, takes_ids=book.takes_ids, **facts)
            )
        except OSError:
            raise _NobodyListens from None


def _is_refusal(error: Exception, failures: int) -> bool:
    """Whether trying again is of no use: MLflow says that the request is wrong, or this program made a mistake."""
    code = getattr(error, "error_code", "")
    if code == "BAD_REQUEST":  # whatever a database says against a statement; a lost connection, too
        return failures >= len(_RETRY_SECONDS)
    mistakes = TypeError | LookupError | ArithmeticError | UnicodeEncodeError
    return code == "INVALID_PARAMETER_VALUE" or isinstance(error, mistakes) or isinstance(error.__cause__, mistakes)
