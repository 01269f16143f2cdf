"""Finding a value among many without comparing it with each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, wraps
from typing import Any, TypeVar

from hpo.spec.conditions import same

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


class Lookup:
    """Says at which place of a sequence a value stands, by hpo.spec.conditions.same."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = values
        self._places: dict[Any, list[int]] = {}  # of values that may be the same
        for place, value in enumerate(values):
            places = self._places.setdefault(_rough(value), [])
            if not any(same(values[earlier], value) for earlier in places):
                places.append(place)

    def place(self, value: Any) -> int | None:
        """Return the first place at which the value stands, None if there is none."""
        return next((place for place in self._places.get(_rough(value), ()) if same(self._values[place], value)), None)

    def repeated(self) -> list[Any]:
        """Return the values that stand at a second place, too."""
        return [value for place, value in enumerate(self._values) if self.place(value) != place]


def _rough(value: Any) -> Any:
    """Return a key that all values have in common which are the same; some others may have it, too."""
    if isinstance(value, list | tuple):
        return ("list", *map(_rough, value))
    if isinstance(value, Mapping):
        return ("map", frozenset((key, _rough(entry)) for key, entry in value.items()))
    return value if value.__hash__ is not None else type(value)
