"""W&B's distributions that Optuna has no counterpart of, and the nearest ranges that it has.

A bell curve is unbounded and falls off; the nearest that can be searched is the range of two standard deviations around
its mean (95% of a normal one), or as much of it as the distribution reaches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hpo.spec.faults import ConfigPath, Fault, did_you_mean
from hpo.spec.space import show

_KEYS = {
    "normal": ("mu", "sigma"),
    "q_normal": ("mu", "sigma", "q"),
    "log_normal": ("mu", "sigma"),
    "q_log_normal": ("mu", "sigma", "q"),
    "beta": ("a", "b"),
    "q_beta": ("a", "b", "q"),
}
_DEFAULTS = {"mu": 0.0, "sigma": 1.0, "a": 1.0, "b": 1.0, "q": 1.0}  # W&B's
_MAY_BE_NEGATIVE = "mu"
_LARGEST = 300.0  # exponents of e within what `min` and `max` may be


def unsupported(entry: Mapping[str, Any], path: ConfigPath) -> list[Fault]:
    """Return what is wrong with an entry whose distribution is a bell curve, with the nearest range as the remedy; []
    for all others. A key that the curve lacks, or that is no number for it, is the fault then."""
    name = entry.get("distribution")
    if not isinstance(name, str) or name not in _KEYS:
        return []
    known = (*_KEYS[name], "distribution", "description", "when")
    faults = [
        Fault(f"unknown key {key!r} of {name}", (*path, key), remedy=did_you_mean(str(key), known))
        for key in entry
        if key not in known
    ]
    numbers = {key: entry.get(key, _DEFAULTS[key]) for key in _KEYS[name]}
    for key, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not -1e150 < value < 1e150:
            faults.append(Fault(f"must be a number, but got {show(value)}", (*path, key)))
        elif value < 0 and key != _MAY_BE_NEGATIVE:
            faults.append(Fault(f"must be at least 0, but got {show(value)}", (*path, key)))
    if faults:
        return faults
    rest = {key: entry[key] for key in ("when", "description") if key in entry}
    more = f" (and {', '.join(rest)} as they are)" if rest else ""
    message = f"the distribution {name!r} is not supported: no search method here draws from a bell curve"
    return [Fault(message, (*path, "distribution"), remedy=f"the nearest is {_nearest(name, numbers)}{more}")]


def _nearest(name: str, numbers: Mapping[str, float]) -> str:
    """Return the entry that is nearest to a curve, as a sweep file has it."""
    low, high = _bounds(name, numbers)
    step: float | None = numbers.get("q")
    if step and max(abs(low), abs(high)) / 1e9 < step <= high - low:
        low, high = (round(bound / step) * step for bound in (low, high))  # multiples of q, as W&B's values are
        low = max(low, step) if "log" in name else low
    else:
        step = None
    if not step:
        low, high = _shortened(low, high)
    if not low < high:
        return f"{{value: {_written(low)}}}"
    whole = step is not None and float(step).is_integer() and max(abs(low), abs(high)) < 2**53
    words = [f"distribution: {'q_' if step else ''}log_uniform_values"] if "log" in name else []
    words += [f"min: {_written(low, whole)}", f"max: {_written(high, whole)}"]
    words += [f"q: {_written(step, whole)}"] if step else []
    return f"{{{', '.join(words)}}}"


def _bounds(name: str, numbers: Mapping[str, float]) -> tuple[float, float]:
    """Return where a curve's range begins and ends."""
    if "beta" in name:
        a, b = numbers["a"], numbers["b"]
        if min(a, b) <= 0 or max(a, b) <= 1:  # heaviest at its ends, or flat
            return 0.0, 1.0
        mean, spread = a / (a + b), math.sqrt(a / (a + b) * (b / (a + b)) / (a + b + 1))
        return max(0.0, mean - 2 * spread), min(1.0, mean + 2 * spread)
    low, high = (numbers["mu"] + side * numbers["sigma"] for side in (-2, 2))
    if "log" in name:
        low, high = (math.exp(min(max(exponent, -_LARGEST), _LARGEST)) for exponent in (low, high))
    return low, high


def _shortened(low: float, high: float) -> tuple[float, float]:
    """Return bounds with few digits, of which those that tell them apart are kept."""
    if 0 < 2 * low < high:
        return float(f"{low:.4g}"), float(f"{high:.4g}")
    if low == high:
        return low, high
    digits = 3 - math.floor(math.log10(high - low))
    return round(low, digits), round(high, digits)


def _written(number: float, whole: bool = False) -> str:
    """Return a number as YAML reads it: with a dot, unless it is to be a whole one."""
    return str(int(number)) if whole else repr(float(f"{number:.12g}"))
