"""Texts that stand for a parameter's choices where a record, or a program, takes no other values."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from hpo.spec.space import Categorical, Space

LONGEST_TEXT = 6000  # characters of a parameter's value in MLflow


def text_of(value: Any) -> str:
    """Return a plain value as records show it: text as it is, all else as JSON has it."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, float) else json.dumps(value)


def told_apart(values: Sequence[Any], readable: Callable[[Any], Hashable]) -> list[Any]:
    """Return what stands for each of several choices, no two of which are the same: what `readable` makes of each; or
    where that is equal for two of them (`true` and the text "true", say), the JSON text of each."""
    found = [readable(value) for value in values]
    return found if len(set(found)) == len(found) else [json.dumps(value) for value in values]


def quoted_parameters(space: Space) -> list[str]:
    """Return the parameters that have two choices of which MLflow would show the same text: there, theirs are JSON."""
    return [
        parameter.name
        for parameter in space.parameters
        if isinstance(domain := parameter.domain, Categorical)
        and len({text_of(value)[:LONGEST_TEXT] for value in domain.values}) < len(domain.values)
    ]
