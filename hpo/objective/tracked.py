"""Hyperparameters that note what is read of them."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from typing import Any


class Reads:
    """What was read of a configuration, by all who have it.

    named: read each by itself. copied: all were taken at once (`f(**params)`, `dict(params)`, a loop over them); what
    is read from then on may be part of the copying, and is not noted.
    """

    def __init__(self) -> None:
        self.named: set[str] = set()
        self.copied = False
        self._given: list[weakref.ref[TrackedParams]] = []

    def note(self, key: object) -> None:
        if not self.copied and isinstance(key, str):
            self.named.add(key)

    def give(self, params: TrackedParams) -> None:
        """Take in that there is one more mapping of which reads are noted here."""
        self._given.append(weakref.ref(params))

    @property
    def held(self) -> bool:
        """Whether somebody has such a mapping still, and may read it later."""
        return any(each() is not None for each in self._given)


class TrackedParams(dict[str, Any]):
    """A dict that notes which keys were read, so that a parameter that nobody reads can be pointed out.

    Whatever might have an effect counts: to ask whether a key is there is to read it.
    """

    def __init__(self, params: Mapping[str, Any], reads: Reads | None = None) -> None:
        super().__init__(params)
        self.reads = reads or Reads()
        self.reads.give(self)

    @property
    def read(self) -> set[str]:
        """The keys that were read, one by one or all at once."""
        return self.reads.named | (set(super().keys()) if self.reads.copied else set())

    def __getitem__(self, key: str) -> Any:
        self.reads.note(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.reads.note(key)
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        self.reads.note(key)
        return super().pop(key, *default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        self.reads.note(key)
        return super().setdefault(key, default)

    def __contains__(self, key: object) -> bool:
        self.reads.note(key)
        return super().__contains__(key)

    # Going through all of them takes all. `__iter__` also makes `f(**params)` and `dict(params)` come this way.
    def __iter__(self) -> Iterator[str]:
        self.reads.copied = True
        return super().__iter__()

    def __reversed__(self) -> Iterator[str]:
        self.reads.copied = True
        return super().__reversed__()

    def keys(self) -> Any:
        self.reads.copied = True
        return super().keys()

    def items(self) -> Any:
        self.reads.copied = True
        return super().items()

    def values(self) -> Any:
        self.reads.copied = True
        return super().values()

    def popitem(self) -> tuple[str, Any]:
        self.reads.copied = True
        return super().popitem()

    def __or__(self, other: Any) -> Any:
        self.reads.copied = True
        return super().__or__(other)

    def __eq__(self, other: object) -> bool:
        self.reads.copied = True
        return super().__eq__(other)

    __hash__ = None

    # What is read of a copy is read of this.
    def copy(self) -> TrackedParams:
        return TrackedParams(dict(super().items()), self.reads)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> TrackedParams:
        from copy import deepcopy

        return TrackedParams(deepcopy(dict(super().items()), memo), self.reads)

    def __reduce__(self) -> tuple[Any, ...]:
        self.reads.copied = True  # another process reads it, unseen
        return dict, (dict(super().items()),)
