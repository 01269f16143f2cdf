"""One thing that a trial may change in its process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """How a part of the surroundings is read and put back.

    read: returns its state, to be compared with `==`. write: sets a state that `read` returned. first: returns the
    state before the first trial, where that is not what `read` returns now.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    first: Callable[[], Any] | None = None


def unchangeable(name: str) -> Callable[[Any], object]:
    """Return the `write` of a part that nobody can put back."""

    def write(state: Any) -> object:
        raise RuntimeError(f"there is no way back from {name}")

    return write
