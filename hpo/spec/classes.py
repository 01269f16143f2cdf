"""The values of one parameter by what the conditions on it say of them: those that all judge alike are one class."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hpo.spec.conditions import holds
from hpo.spec.space import Categorical, Parameter, Range

_MOST_JUDGED = 2_000_000  # values times conditions of one parameter


class TooMuch(Exception):
    """The conditions of a space tie more together than can be followed."""


@dataclass(frozen=True)
class _Piece:
    """Neighbouring values that all conditions judge alike: places among the choices, or an open interval of a range of
    real numbers."""

    places: range
    interval: tuple[float, float] | None = None


@dataclass
class ValueClasses:
    """The values of one parameter, by classes: those that kill the same clauses."""

    parameter: Parameter
    kills: list[int] = field(default_factory=list)  # of each class, the clauses that it can't satisfy, as bits
    pieces: list[tuple[_Piece, int]] = field(default_factory=list)  # in order, each with its class
    counts: list[int] = field(default_factory=list)  # values in each class; an interval counts as one
    known: dict[int, int] = field(default_factory=dict)  # the class of those that kill these clauses

    def add(self, piece: _Piece, kills: int) -> None:
        which = self.known.setdefault(kills, len(self.kills))
        if which == len(self.kills):
            self.kills.append(kills)
            self.counts.append(0)
        self.counts[which] += len(piece.places)
        self.pieces.append((piece, which))

    def pick(self, which: int, rank: int, rng: random.Random | None) -> Any:
        """Return the value of this rank in a class; of an interval one at random."""
        for piece, found in self.pieces:
            if found == which:
                if rank < len(piece.places):
                    return self._value(piece, rank, rng)
                rank -= len(piece.places)
        raise IndexError(rank)

    def _value(self, piece: _Piece, rank: int, rng: random.Random | None) -> Any:
        if piece.interval is None:
            return (self.parameter.domain.choices() or ())[piece.places[rank]]
        assert rng is not None and isinstance(self.parameter.domain, Range)
        low, high = piece.interval
        return Range(low, high, log=self.parameter.domain.log).draw(rng)

    def each(self, classes: Mapping[int, int]) -> Iterator[tuple[Any, int]]:
        """Yield the values of some classes in order, each with what `classes` has for its class."""
        choices = self.parameter.domain.choices() or ()
        for piece, which in self.pieces:
            if which in classes:
                for place in piece.places:
                    yield choices[place], classes[which]


def classes_of(parameter: Parameter, conditions: Sequence[tuple[int, Any]]) -> ValueClasses:
    """Sort a parameter's values by what the conditions on it, each with its clause's bit, say of them."""
    found, domain = ValueClasses(parameter), parameter.domain
    if isinstance(domain, Range):
        pieces = list(_pieces(domain, [condition for _, condition in conditions]))
        if len(pieces) * len(conditions) > _MOST_JUDGED:
            raise TooMuch
        for piece, value in pieces:
            found.add(piece, sum(bit for bit, condition in conditions if not holds(condition, value)))
        return found
    values = domain.values if isinstance(domain, Categorical) else (domain.value,)
    if len(values) * len(conditions) > _MOST_JUDGED:
        raise TooMuch
    kills = [0] * len(values)
    for bit, condition in conditions:
        places = satisfied(condition, domain, values)
        for place in range(len(values)):
            if place not in places:
                kills[place] |= bit
    start = 0
    for place in range(1, len(values) + 1):
        if place == len(values) or kills[place] != kills[start]:
            found.add(_Piece(range(start, place)), kills[start])
            start = place
    return found


def satisfied(condition: Any, domain: Any, values: Sequence[Any]) -> set[int]:
    """Return the places of the values that satisfy a condition, looking listed values up instead of comparing all."""
    if isinstance(domain, Categorical):
        if isinstance(condition, list):
            return _places_of([condition, *condition], domain)
        if isinstance(condition, Mapping) and condition.keys() <= {"in", "not_in"}:
            sets = {op: _places_of(options, domain) for op, options in condition.items()}
            inside = sets.get("in", set(range(len(values))))
            return inside - sets.get("not_in", set())
    return {place for place, value in enumerate(values) if holds(condition, value)}


def _places_of(options: Sequence[Any], domain: Categorical) -> set[int]:
    places = {domain.place_of(option) for option in options}
    return {place for place in places if place is not None}


def _pieces(domain: Range, conditions: Sequence[Any]) -> Iterator[tuple[_Piece, float]]:
    """Yield the pieces of a range within which no condition changes, each with one of its values: conditions change at
    the numbers that they name only."""
    choices = domain.choices()
    marks = sorted({number for number in numbers_in(conditions) if domain.low <= number <= domain.high})
    if choices is None:
        for low, high in pairwise(sorted({domain.low, *marks, domain.high})):
            yield _Piece(range(1), (low, high)), low + (high - low) / 2
        return
    start = 0
    for mark in marks:
        for stop in (bisect_left(choices, mark), bisect_right(choices, mark)):
            if stop > start:
                yield _Piece(range(start, stop)), choices[start]
                start = stop
    if start < len(choices):
        yield _Piece(range(start, len(choices))), choices[start]


def numbers_in(conditions: Sequence[Any]) -> Iterator[float]:
    """Yield the numbers that conditions name."""
    for condition in conditions:
        for operand in condition.values() if isinstance(condition, Mapping) else [condition]:
            for number in operand if isinstance(operand, list) else [operand]:
                if isinstance(number, int | float):
                    yield number
