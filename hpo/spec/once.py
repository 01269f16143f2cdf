"""Working out once what belongs to an object that never changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class _Held:
    """An object that is equal to itself only, so that one that can't be hashed can be a key."""

    def __init__(self, it: Any) -> None:
        self.it = it

    def __hash__(self) -> int:
        return id(self.it)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and self.it is other.it


def once(function: Callable[[A], B]) -> Callable[[A], B]:
    """Have a function of one object that never changes work once for each object; 512 results are kept."""
    kept = lru_cache(maxsize=512)(lambda held: function(held.it))

    @wraps(function)
    def call(it: A) -> B:
        return kept(_Held(it))

    return call
