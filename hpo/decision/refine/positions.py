"""Where a number lies in a range: 0 at its lower end, 1 at its upper, on the scale on which it is searched."""

from __future__ import annotations

import math
from itertools import pairwise

from hpo.spec.space import Range

MOST_CELLS = 6  # parts of a range that are told apart: the last one is its end


def position(domain: Range, value: float) -> float:
    """Return where a value lies, by order of magnitude on a log scale."""
    if domain.log:
        return (math.log(value) - math.log(domain.low)) / (math.log(domain.high) - math.log(domain.low))
    return (value - domain.low) / (domain.high - domain.low)


def value_at(domain: Range, place: float) -> float:
    """Return the value at a position; positions below 0 and above 1 lie outside of the range."""
    if domain.log:
        low, high = math.log(domain.low), math.log(domain.high)
        return math.exp(low + place * (high - low))
    return domain.low + place * (domain.high - domain.low)


def index_of(domain: Range, value: float) -> int:
    """Return the number of steps from the lower end of a countable range."""
    return round((value - domain.low) / (domain.step or 1))


def cells(domain: Range, most: int = MOST_CELLS) -> list[float]:
    """Return the share of the range in each of its cells: of equal width on its scale, or single values."""
    count = domain.count()
    if count is None or count > most:
        return [1 / most] * most
    if not domain.log:
        return [1 / count] * count
    # On a log scale a value is drawn as often as the stretch that is rounded to it is wide.
    marks = [domain.at(index) for index in range(count)]
    edges = [marks[0], *((left + right) / 2 for left, right in pairwise(marks)), marks[-1]]
    return [position(domain, high) - position(domain, low) for low, high in pairwise(edges)]


def cell_of(domain: Range, value: float, most: int = MOST_CELLS) -> int:
    """Return the cell that a value lies in."""
    count = domain.count()
    if count is not None and count <= most:
        return min(max(index_of(domain, value), 0), count - 1)
    return min(max(int(position(domain, value) * most), 0), most - 1)
