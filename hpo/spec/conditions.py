"""Conditions on parameters, as `when` and `forbid` write them.

A condition on one parameter is a value (`adam`), a list of values (`[sgd, rmsprop]`), or comparisons that must all hold
(`{">": 0.05, "<=": 0.1}`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from hpo.spec.faults import did_you_mean

Clause = Mapping[str, Any]  # {parameter: condition}, all of which must hold


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same choice: `True` is not `1`, but `1` is `1.0`."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def same_params(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Whether two configurations are the same: the same parameters, with the same choices."""
    return left.keys() == right.keys() and all(same(value, right[name]) for name, value in left.items())


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
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
