"""What every text and number in a sweep file must be like, wherever it stands, so that all records can keep it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from hpo.spec.faults import ConfigPath, Fault

DEEPEST = 64  # levels: what records and libraries do with nested data, they do by recursion
_MOST_DIGITS = 300  # of a whole number: what is larger is no float
_LARGEST = 10**_MOST_DIGITS


def unrecordable(data: Mapping[str, Any], path: ConfigPath = ()) -> Iterator[Fault]:
    """Yield what no record can keep of plain data, from a file or from elsewhere."""
    waiting: list[tuple[ConfigPath, Any]] = [(path, data)]
    while waiting:
        place, value = waiting.pop()
        if len(place) > DEEPEST:
            yield Fault(f"it is nested more than {DEEPEST} levels deep", place[:4])
        elif isinstance(value, Mapping):
            for key, entry in value.items():
                if isinstance(key, str) and (reason := _text_fault(key)):
                    yield Fault(f"{reason}, but got the key {key!a}", place)
                else:
                    waiting.append(((*place, key), entry))
        elif isinstance(value, list | tuple):
            waiting.extend(((*place, index), entry) for index, entry in enumerate(value))
        elif isinstance(value, str):
            if reason := _text_fault(value):
                yield Fault(f"{reason}, but got {value[:40]!a}", place)
        elif isinstance(value, int) and not -_LARGEST < value < _LARGEST:
            digits = math.floor(value.bit_length() * math.log10(2)) + 1
            yield Fault(f"a whole number has at most {_MOST_DIGITS} digits, but this has about {digits:,}", place)


def _text_fault(text: str) -> str:
    if "\0" in text:
        return "a text must not have the character NUL"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return r"a text must not have halves of characters (\ud800 to \udfff)"
    return ""
