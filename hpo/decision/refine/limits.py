"""How far a range may be widened: to where numbers of its kind end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from hpo.section import LARGEST, SMALLEST
from hpo.spec.contract import Contract, Interval
from hpo.spec.space import Range
from hpo.training.models import MAX_COUNT


@dataclass(frozen=True)
class NaturalEnd:
    """A number that a range never goes beyond. belongs: whether the range may hold it. why: in words."""

    value: float
    belongs: bool
    why: str


@dataclass(frozen=True)
class NaturalEnds:
    """Between which numbers a range may be widened."""

    low: NaturalEnd
    high: NaturalEnd


def natural_ends(name: str, domain: Range, contract: Contract | None, most_epochs: int | None) -> NaturalEnds:
    """Return between which numbers a range may be widened.

    What the objective's contract says of the parameter holds. Where nothing is said, as of a function's parameter, it
    stays on its side of 0 and, where it lies between 0 and 1, within 1: both are mostly natural ends.
    most_epochs: `budget.epochs`, beyond which no trial trains; None: not set.
    """
    lows, highs = [NaturalEnd(-LARGEST, True, "")], [NaturalEnd(LARGEST, True, "")]
    for end in _ends(name, domain, contract):
        if end.value <= domain.low:
            lows.append(end)
        if end.value >= domain.high:
            highs.append(end)
    if domain.log:
        lows.append(NaturalEnd(max(0.0, SMALLEST), False, "a log scale has no 0"))
    if name == "epochs" and most_epochs is not None:
        highs.append(NaturalEnd(most_epochs, True, f"budget.epochs is {most_epochs}"))
    return NaturalEnds(
        max(lows, key=lambda end: (end.value, not end.belongs)),
        min(highs, key=lambda end: (end.value, end.belongs)),
    )


def _ends(name: str, domain: Range, contract: Contract | None) -> Iterator[NaturalEnd]:
    """Yield numbers that the range must not go beyond, whichever side of it they lie on."""
    known = contract.parameters.get(name) if contract else None
    interval = Interval(known.within) if known else Interval("(-inf, inf)")
    bounds = [bound for bound in (interval.low, interval.high) if math.isfinite(bound[0])]
    for value, belongs in bounds:
        yield NaturalEnd(value, belongs, f"{name} lies in {interval.text}")
    if not bounds:
        guess = "mostly a natural end; widen it by hand if it is none here"
        yield NaturalEnd(0.0, domain.low == 0 or domain.high == 0, f"0 is {guess}")
        if domain.low >= 0 and domain.high <= 1:
            yield NaturalEnd(1.0, domain.high == 1, f"1 is {guess}")
    if known is not None and known.kind == "layers":
        yield NaturalEnd(1 if domain.low >= 1 else 0, True, "a network has no fewer layers")
        yield NaturalEnd(MAX_COUNT, True, f"a network has at most {MAX_COUNT} layers")
    for other, fact in contract.parameters.items() if contract else ():
        for value in fact.excludes.get(name, {}):
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield NaturalEnd(value, False, f"{other} can't be true at {value}")
