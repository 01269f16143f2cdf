"""Ctrl-C and SIGTERM, counted instead of died of."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Counts SIGINT and SIGTERM: the first lets running trials end, the second does not."""

    def __init__(self, then: Callable[[], None]) -> None:
        """then: called at each of them, between two instructions of the main thread."""
        self.count = 0
        self.signal = 0  # the number of the last one
        self._then = then

    def __bool__(self) -> bool:
        return self.count > 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what comes inside the block; what the program ignores stays ignored. Only the main thread can count: in
        others all is as ever."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        before = {number: handler for number, handler in found.items() if handler is not signal.SIG_IGN}
        for number in before:
            signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def another(self) -> Callable[[], bool]:
        """Return a call that says whether there has been one more since now."""
        before = self.count
        return lambda: self.count > before

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.signal = number
        self._then()
