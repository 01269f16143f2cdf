"""Ctrl-C and SIGTERM, counted instead of died of."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def counting_interrupts(count: Callable[[], None]) -> Iterator[None]:
    """Call `count` at each SIGINT and SIGTERM inside the block: the first lets running trials end, the second not."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can have handlers
        return

    def handle(number: int, frame: FrameType | None) -> None:
        count()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
