"""Conditions on parameters, as `when` and `forbid` write them.

A condition on one parameter is a value (`adam`), a list of values (`[sgd, rmsprop]`), or comparisons that must all hold
(`{">": 0.05, "<=": 0.1}`).
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hpo.spec.faults import did_you_mean

Clause = Mapping[str, Any]  # {parameter: condition}, all of which must hold


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same choice: `True` is not `1`, but `1` is `1.0`, inside of lists and mappings, too.

    `identity_of` says the same by a text.
    """
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def same_params(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Whether two configurations are the same: the same parameters, with the same choices."""
    return same(left, right)


def identity_of(value: Any) -> str:
    """Return a text that two plain values (or configurations) share if, and only if, they are the same choice."""
    return json.dumps(_whole(value), sort_keys=True)


def _whole(value: Any) -> Any:
    """Return a plain value with whole numbers as integers."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _whole(entry) for key, entry in value.items()}
    return [_whole(entry) for entry in value] if isinstance(value, list | tuple) else value


def repeated(values: Sequence[Any]) -> tuple[Any, Any] | None:
    """Return two of several values that are the same choice, None if there are none such."""
    known: dict[str, Any] = {}
    for value in values:
        identity = identity_of(value)
        if identity in known:
            return known[identity], value
        known[identity] = value
    return None


def _of_numbers(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """Return a comparison that holds for numbers only: `true` is none, though Python counts with it."""
    return lambda value, other: not isinstance(value, bool) and compare(value, other)


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">": _of_numbers(operator.gt),
    ">=": _of_numbers(operator.ge),
    "<": _of_numbers(operator.lt),
    "<=": _of_numbers(operator.le),
    "==": same,
    "!=": lambda value, other: not same(value, other),
    "in": lambda value, options: any(same(value, option) for option in options),
    "not_in": lambda value, options: not any(same(value, option) for option in options),
}


def holds(condition: Any, value: Any) -> bool:
    """Whether `value` satisfies one parameter's condition. A comparison across types does not hold."""
    if isinstance(condition, Mapping):
        try:
            return all(OPERATORS[op](value, operand) for op, operand in condition.items())
        except TypeError:
            return False
    if isinstance(condition, list) and any(same(value, option) for option in condition):
        return True
    return same(value, condition)  # also of a list: hidden_layers: [64, 32]


def clause_holds(clause: Clause, params: Mapping[str, Any]) -> bool:
    """Whether all of a clause's conditions hold; a parameter that is inactive (absent) satisfies none."""
    return all(name in params and holds(condition, params[name]) for name, condition in clause.items())


def is_ambiguous(condition: Any, values: Iterable[Any]) -> bool:
    """Whether a condition could be meant in two ways: a list that is itself one of the values, some of whose entries
    are values as well (`[a]` beside `values: [a, [a]]`)."""
    if not isinstance(condition, list):
        return False
    options = list(values)
    return any(same(value, condition) for value in options) and any(
        same(value, entry) for value in options for entry in condition
    )


def objection(condition: Any) -> str:
    """Return why this is no condition, "" if it is one."""
    if not isinstance(condition, Mapping):
        return ""
    if not condition:
        return "an empty condition"
    for op, operand in condition.items():
        if op not in OPERATORS:
            return f"unknown comparison {op!r} ({did_you_mean(str(op), OPERATORS)})"
        if op in ("in", "not_in") and not isinstance(operand, list):
            return f"'{op}' takes a list, but got {operand!r}"
        if op in (">", ">=", "<", "<=") and (isinstance(operand, bool) or not isinstance(operand, int | float)):
            return f"'{op}' takes a number, but got {operand!r}"
    return ""
