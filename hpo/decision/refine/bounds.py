"""New bounds of a range as people would write them: few digits, on its grid, within its natural ends."""

from __future__ import annotations

import math
from dataclasses import replace

from hpo.decision.refine.limits import NaturalEnd
from hpo.decision.refine.positions import index_of, value_at
from hpo.spec.space import Range

_WIDENED = 1 / 3  # of the range
_FEWEST_VALUES = 3  # that a range with steps keeps
_HALVED = 0.6  # of the values: a range with steps that has no more of them left gets finer ones


def bound_within(domain: Range, place: float, at_top: bool) -> float:
    """Return a bound at a position in the range, or a little outside of it: the next number with few digits, or of the
    grid; never beyond the range's own bound."""
    if (place >= 1) if at_top else (place <= 0):
        return domain.high if at_top else domain.low
    value = value_at(domain, place)
    if (count := domain.count()) is None:
        rounded = _rounded(domain, value, up=at_top)
        return min(rounded, domain.high) if at_top else max(rounded, domain.low)
    steps = (value - domain.low) / (domain.step or 1)
    index = math.ceil(steps - 1e-9) if at_top else math.floor(steps + 1e-9)
    return domain.at(min(max(index, 0), count - 1))


def bound_beyond(domain: Range, end: NaturalEnd, at_top: bool) -> float | None:
    """Return a bound a third of the range beyond its own, and within the natural end: halfway to one that must not be
    reached. None if there is none."""
    sign = 1 if at_top else -1
    bound = domain.snap(domain.high) if at_top else domain.low
    wanted = _rounded(domain, value_at(domain, 1 + _WIDENED if at_top else -_WIDENED), up=not at_top)
    if domain.count() is None:
        if sign * (wanted - end.value) >= 0:
            wanted = end.value if end.belongs else _halfway(domain, bound, end.value)
        return wanted if sign * (wanted - bound) > 1e-9 * abs(bound) else None
    room = min(sign * (wanted - bound), sign * (end.value - bound))  # it may be billions of steps wide
    most = room / (domain.step or 1)
    for steps in range(math.floor(most + 1e-9), 0, -1):
        value = domain.at(index_of(domain, bound) + sign * steps)
        if sign * (value - end.value) < 0 or (end.belongs and value == end.value):
            return value
    return None


def _halfway(domain: Range, bound: float, end: float) -> float:
    if domain.log and end > 0:
        return math.sqrt(bound * end)
    return float(f"{(bound + end) / 2:.4g}")


def with_bounds(domain: Range, low: float, high: float) -> Range:
    """Return a range with other bounds; with finer steps, where it has steps and few of its values are left."""
    count = domain.count()
    if count is None:
        return replace(domain, low=low, high=high)
    first, last = index_of(domain, low), index_of(domain, high)
    while last - first + 1 < min(_FEWEST_VALUES, count):
        if first > 0:
            first -= 1
        if last - first + 1 < _FEWEST_VALUES and last < count - 1:
            last += 1
    finer = _finer(domain) if last - first + 1 <= _HALVED * count else domain.step
    return replace(domain, low=domain.at(first), high=domain.at(last), step=finer)


def _finer(domain: Range) -> float | None:
    """Return the next finer step, so that the values of the old one are among its own; None: every whole number."""
    step = domain.step
    if step is None or not domain.integer:
        return None if step is None else step / 2
    for parts in (2, 3):
        if step % parts == 0:
            return None if step == parts else int(step) // parts
    return step


def _rounded(domain: Range, value: float, up: bool) -> float:
    """Return a number of two digits, or of as many as a hundredth of a range that is no log scale takes."""
    if domain.count() is not None or value == 0:
        return value
    scale = abs(value) if domain.log else domain.high - domain.low
    unit = 10.0 ** (math.floor(math.log10(scale)) - (1 if domain.log else 2))
    count = value / unit
    whole = math.ceil(count - 1e-9) if up else math.floor(count + 1e-9)
    return float(f"{whole * unit:.12g}")
