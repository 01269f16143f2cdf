"""The search space: parameters, which of them are active when, and what is forbidden. Plain Python, no library.

How many configurations it has, and which, is worked out in hpo.spec.census.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

from hpo.spec.conditions import Clause, clause_holds, identity_of, same
from hpo.spec.faults import shortened
from hpo.spec.once import once
from hpo.spec.scalars import needs_quotes

_SHOWN_VALUES = 20  # of a list of choices


@dataclass(frozen=True)
class Constant:
    """Always this value."""

    value: Any

    def holds(self, value: Any) -> bool:
        return same(value, self.value)

    def own(self, value: Any) -> Any:
        """Return a value that the domain holds as the domain writes it."""
        return self.value

    def count(self) -> int | None:
        return 1

    def choices(self) -> Sequence[Any] | None:
        return [self.value]

    def largest(self) -> float | None:
        return _largest([self.value])

    def draw(self, rng: random.Random) -> Any:
        return self.value

    def __str__(self) -> str:
        return show(self.value)


@dataclass(frozen=True)
class Categorical:
    """One of several values of any plain type; `probabilities`, if given, weigh them."""

    values: tuple[Any, ...]
    probabilities: tuple[float, ...] | None = None

    @cached_property
    def _places(self) -> dict[str, int]:
        return {identity_of(value): place for place, value in enumerate(self.values)}

    def place_of(self, value: Any) -> int | None:
        """Return the place of a choice among `values`, None if it is none of them."""
        return self._places.get(identity_of(value))

    def holds(self, value: Any) -> bool:
        return self.place_of(value) is not None

    def own(self, value: Any) -> Any:
        """Return a value that the domain holds as the domain writes it: 32 where the choice is 32, for 32.0."""
        return self.values[self._places[identity_of(value)]]

    def count(self) -> int | None:
        return len(self.values)

    def choices(self) -> Sequence[Any] | None:
        return self.values

    def largest(self) -> float | None:
        return _largest(self.values)

    def draw(self, rng: random.Random) -> Any:
        return rng.choices(self.values, self.probabilities)[0]

    def __str__(self) -> str:
        shares = [""] * len(self.values) if self.probabilities is None else [f" ({p:g})" for p in self.probabilities]
        return enumerated([f"{show(value)}{share}" for value, share in zip(self.values, shares, strict=True)])


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; `step` makes them multiples of it from `low`; `log` spreads them by
    order of magnitude; `integer` makes them whole."""

    low: float
    high: float
    log: bool = False
    integer: bool = False
    step: float | None = None

    def holds(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self.integer and value != int(value):
            return False
        if self.integer:
            return bool(self.snap(value) == value)
        return self.step is None or math.isclose(self.snap(value), value, rel_tol=1e-9, abs_tol=1e-12)

    def own(self, value: Any) -> Any:
        """Return a value that the domain holds as the domain writes it: as a whole number where it takes no other."""
        return int(value) if self.integer else float(value)

    def snap(self, value: float) -> float:
        """Return the nearest value of the grid of `step`."""
        if self.step is None:
            return round(value) if self.integer else value
        return self.at(min(round((value - self.low) / self.step), (self.count() or 1) - 1))

    def at(self, count: int) -> float:
        """Return the value that is `count` steps above `low`."""
        value = self.low + count * (self.step or 1)
        return round(value) if self.integer else float(f"{value:.12g}")

    def count(self) -> int | None:
        """Return the number of values, None if they are not countable."""
        if self.integer:
            return int(self.high - self.low) // int(self.step or 1) + 1
        if self.step is None:
            return None
        steps = (self.high - self.low) / self.step
        return math.floor(steps + 1e-9 + steps * 1e-12) + 1  # 1.0 / 1e-9 is a little less than 10**9

    def choices(self) -> Sequence[Any] | None:
        """Return all the values in order, None if they are not countable. They take no memory."""
        count = self.count()
        return None if count is None else Steps(self, count)

    def largest(self) -> float | None:
        """Return the largest value, None if they are not countable (of other domains: if none is a number)."""
        count = self.count()
        return None if count is None else self.at(count - 1)

    def draw(self, rng: random.Random) -> Any:
        if self.log:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        elif self.integer and self.step is None:
            return rng.randint(int(self.low), int(self.high))
        else:
            value = rng.uniform(self.low, self.high)
        return self.snap(min(max(value, self.low), self.high))

    def __str__(self) -> str:
        words = [f"{show(self.low)} to {show(self.high)}"]
        words += ["whole numbers"] if self.integer else []
        words += [f"in steps of {show(self.step)}"] if self.step else []
        words += ["log scale"] if self.log else []
        return ", ".join(words)


Domain = Constant | Categorical | Range


class Steps(Sequence[float]):
    """The values of a countable range, each worked out when it is asked for."""

    def __init__(self, domain: Range, count: int) -> None:
        self._domain = domain
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> float: ...

    @overload
    def __getitem__(self, index: slice) -> list[float]: ...

    def __getitem__(self, index: int | slice) -> float | list[float]:
        if isinstance(index, slice):
            return [self._domain.at(count) for count in range(self._count)[index]]
        return self._domain.at(range(self._count)[index])


def _largest(values: Sequence[Any]) -> float | None:
    return max((value for value in values if isinstance(value, int | float)), default=None)


@dataclass(frozen=True)
class Parameter:
    """A named domain, active while `when` holds."""

    name: str
    domain: Domain
    when: Clause = field(default_factory=dict)


@dataclass(frozen=True)
class Space:
    """Parameters in an order in which each stands after those its `when` names; and the forbidden clauses."""

    parameters: tuple[Parameter, ...]
    forbid: tuple[Clause, ...] = ()

    def __getitem__(self, name: str) -> Parameter:
        return _by_name(self)[name]

    def __contains__(self, name: object) -> bool:
        return name in _by_name(self)

    def names(self) -> list[str]:
        return [parameter.name for parameter in self.parameters]

    def searched(self) -> list[Parameter]:
        """Return the parameters that vary."""
        return [parameter for parameter in self.parameters if parameter.domain.count() != 1]

    def active(self, parameter: Parameter, params: Mapping[str, Any]) -> bool:
        """Whether a parameter is active, given the active ones before it."""
        return clause_holds(parameter.when, params)

    def complete(self, proposed: Mapping[str, Any]) -> dict[str, Any]:
        """Return the active configuration of proposed values: constants added, inactive ones left out."""
        params: dict[str, Any] = {}
        for parameter in self.parameters:
            if self.active(parameter, params):
                if isinstance(parameter.domain, Constant):
                    params[parameter.name] = parameter.domain.value
                elif parameter.name in proposed:
                    params[parameter.name] = proposed[parameter.name]
        return params

    def allowed(self, params: Mapping[str, Any]) -> bool:
        """Whether no forbidden clause holds for an active configuration."""
        return not any(clause_holds(clause, params) for clause in self.forbid)

    def draw(self, rng: random.Random) -> dict[str, Any]:
        """Draw an active configuration at random; it may be a forbidden one."""
        params: dict[str, Any] = {}
        for parameter in self.parameters:
            if self.active(parameter, params):
                params[parameter.name] = parameter.domain.draw(rng)
        return params


@once
def _by_name(space: Space) -> Mapping[str, Parameter]:
    return {parameter.name: parameter for parameter in space.parameters}


def show(value: Any) -> str:
    """Return a value as a sweep file writes it, short."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, str) and needs_quotes(value):
        return shortened(repr(value))
    return f"{value:.6g}" if isinstance(value, float) else shortened(str(value))


def counted(number: int, what: str) -> str:
    """Return how many there are of something that has an `s` when there are several: `1 shape`, `1,200 shapes`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def enumerated(texts: Sequence[str], between: str = ", ") -> str:
    """Return texts one after the other, of many the first ones, the last one and how many there are."""
    if len(texts) <= _SHOWN_VALUES:
        return between.join(texts)
    return between.join([*texts[: _SHOWN_VALUES - 1], "...", f"{texts[-1]} ({len(texts):,} in all)"])
