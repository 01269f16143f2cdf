"""The values of a table's target: which number one says, and which class. Standard library alone."""

from __future__ import annotations

import math
from collections.abc import Iterable

from hpo.training.data.spelling import NumberSpelling, python_number


def number(text: str) -> float | None:
    """Return the finite number that `text` says, or None. `1_000` and `1,000` are no numbers."""
    return finite_number(text, None)


def finite_number(text: str, spelling: NumberSpelling | None) -> float | None:
    """Return the finite number that `text` says in this spelling (None: as Python reads it), or None."""
    value = python_number(text) if spelling is None else spelling.number(text)
    return value if value is not None and math.isfinite(value) else None


def class_labels(values: Iterable[str]) -> dict[str, str]:
    """Return each value's class: the value itself, but one class for `1` and `1.0` if all values are numbers.

    The keys come sorted (by size if all are numbers, else by letters): the first class is 0, the second 1.
    """
    distinct = sorted(set(values))
    numbers = {text: number(text) for text in distinct}
    sizes = {text: size for text, size in numbers.items() if size is not None}
    if len(sizes) < len(distinct):
        return {text: text for text in distinct}
    return {text: repr(sizes[text]).removesuffix(".0") for text in sorted(distinct, key=sizes.__getitem__)}


def differ_by_case(labels: Iterable[str]) -> list[list[str]]:
    """Return groups of classes that are the same but for upper and lower case."""
    alike: dict[str, list[str]] = {}
    for label in labels:
        alike.setdefault(label.casefold(), []).append(label)
    return [group for group in alike.values() if len(group) > 1]
