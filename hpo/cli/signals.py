"""Ctrl-C and SIGTERM, as a command hears them until its driver counts them."""

from __future__ import annotations

import signal
import threading


def hear_interrupts() -> None:
    """Let both end the command in good order, Ctrl-C also where a script began it with `&`, and so with it ignored."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
