"""The one way in which tests wait for something: bounded, and it says what it waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from subprocess import Popen
from typing import Any, TypeVar

T = TypeVar("T")
PAUSE = 0.1  # seconds between two looks


def wait_for(condition: Callable[[], T], what: str, seconds: float = 120, *, process: Popen[Any] | None = None) -> T:
    """Look again and again until a condition holds; return what it gave, which is true.

    condition: is called ten times a second; what it raises is raised at once.
    what: what is waited for, in words.
    process: one that must not end meanwhile: if it does, what it said is told at once.

    Raises AssertionError if it doesn't hold within so many seconds, with the last answer that was seen.
    """
    deadline = time.monotonic() + seconds
    while not (seen := condition()):
        if process is not None and process.poll() is not None:
            if seen := condition():  # it came about just before the end
                return seen
            said = "".join(part if isinstance(part, str) else repr(part) for part in process.communicate() if part)
            ended = f"the process ended ({process.returncode}) before: {what}; last seen: {seen!r}"
            raise AssertionError(f"{ended}\n{said}")
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {seen!r}")
        time.sleep(PAUSE)
    return seen
