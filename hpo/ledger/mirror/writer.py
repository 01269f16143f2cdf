"""The process that writes MLflow, as the driver sees it."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator

from hpo.ledger.mirror import process
from hpo.ledger.mirror.process import MirrorAnswer, MirrorOrder
from hpo.ledger.study.home import Home
from hpo.spawning import start_process


class WriterProcess:
    """The process that writes MLflow, and the pipe to it."""

    def __init__(self, home: Home, is_run: process.IsRun | None = None) -> None:
        """Start it. It may have to load MLflow, which takes seconds. is_run: as process.run has it."""
        self._connection, theirs = multiprocessing.Pipe()
        self._process = start_process(process.run, (theirs, home, is_run), "mlflow-mirror")
        theirs.close()
        self.answered = 0  # orders that it has carried out

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def send(self, orders: list[MirrorOrder]) -> None:
        with contextlib.suppress(OSError):  # it died: the next `answers` sees that
            self._connection.send(orders)

    def answers(self) -> Iterator[MirrorAnswer]:
        """Yield what has come. Raises EOFError or OSError if the process is gone."""
        while self._connection.poll():
            yield self._connection.recv()

    def wait(self, seconds: float) -> None:
        """Wait until something has come, or until the process is gone."""
        with contextlib.suppress(OSError):
            self._connection.poll(seconds)

    def disconnect(self) -> None:
        """Give it no more orders."""
        self._connection.close()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def end(self, patience: float) -> None:
        """End it, by force only after a while: it may be making MLflow's database."""
        self.disconnect()
        self._process.join(patience)
        if self._process.is_alive():
            self.kill()

    def exit_code(self) -> int | None:
        """Wait for its end; return its exit code."""
        self._process.join()
        return self._process.exitcode
