"""What is a metric's value: numbers of Python, NumPy and Torch, and nothing that only turns into one.

What is a parameter's value, spec/plain.py says.
"""

from __future__ import annotations

import math
from typing import Any

from hpo.spec.plain import is_masked, shown

_NO_NUMBERS = frozenset("bcmMSU")  # kinds of NumPy's types: truth values, complex numbers, times, bytes and text


def as_number(name: str, value: Any) -> float:
    """Return a real number, or the one element of an array or a tensor, as a float; it may be NaN or infinite, as one
    beyond any float is.

    A number is what `float` takes (int, float, Decimal, Fraction, a scalar of NumPy or Torch) but for truth values,
    text, bytes, complex numbers, times, and what is masked. Raises TypeError for anything else.
    """
    try:
        if not _is_no_number(value):
            element = value.item() if hasattr(value, "item") else value
            if not isinstance(element, bool | str | bytes | bytearray | memoryview | complex):
                return _as_float(element)
    except (TypeError, ValueError, ArithmeticError, RuntimeError):  # ArithmeticError: Decimal's own
        pass
    raise TypeError(f"{name} must be a number, but got {shown(value)}")


def _as_float(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:  # a whole number or a fraction beyond any float
        return math.inf if number > 0 else -math.inf


def _is_no_number(value: Any) -> bool:
    """Whether a value would be taken for a number although it is none."""
    if is_masked(value):
        return True
    kind = getattr(getattr(value, "dtype", None), "kind", "")  # Torch's types have none
    return isinstance(kind, str) and kind in _NO_NUMBERS
