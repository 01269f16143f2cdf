"""The search space: parameters, which of them are active when, and what is forbidden. Plain Python, no library."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hpo.spec.conditions import Clause, clause_holds, identity_of, same
from hpo.spec.scalars import needs_quotes


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

    def draw(self, rng: random.Random) -> Any:
        return rng.choices(self.values, self.probabilities)[0]

    def __str__(self) -> str:
        if self.probabilities is None:
            return ", ".join(map(show, self.values))
        pairs = zip(self.values, self.probabilities, strict=True)
        return ", ".join(f"{show(value)} ({share:g})" for value, share in pairs)


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
        count = min(round((value - self.low) / self.step), math.floor((self.high - self.low) / self.step + 1e-9))
        snapped = self.low + count * self.step
        return round(snapped) if self.integer else float(f"{snapped:.12g}")

    def count(self) -> int | None:
        """Return the number of values, None if they are not countable."""
        step = self.step or (1 if self.integer else None)
        return None if step is None else math.floor((self.high - self.low) / step + 1e-9) + 1

    def choices(self) -> Sequence[Any] | None:
        """Return all the values in order, None if they are not countable."""
        count = self.count()
        if count is None:
            return None
        if self.integer:  # takes no memory, however many there are
            return range(int(self.low), int(self.high) + 1, int(self.step or 1))
        return [self.snap(self.low + index * (self.step or 1)) for index in range(count)]

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
        return next(parameter for parameter in self.parameters if parameter.name == name)

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

    def configurations(self) -> Iterator[dict[str, Any]] | None:
        """Return all allowed active configurations in order (the grid), None if a range is not countable."""
        if any(parameter.domain.count() is None for parameter in self.parameters):
            return None
        return (params for params in self._expand({}, 0) if self.allowed(params))

    def _expand(self, params: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
        if index == len(self.parameters):
            yield dict(params)
            return
        parameter = self.parameters[index]
        if not self.active(parameter, params):
            yield from self._expand(params, index + 1)
            return
        for value in parameter.domain.choices() or ():
            yield from self._expand({**params, parameter.name: value}, index + 1)

    def size(self, limit: int = 1_000_000) -> int | None:
        """Return the number of allowed configurations; None if there are more than `limit`, or uncountably many."""
        configurations = self.configurations()
        if configurations is None:
            return None
        rough = math.prod(parameter.domain.count() or 0 for parameter in self.parameters if not parameter.when)
        if rough > limit * 100:  # a lower bound but for `forbid`: not worth counting
            return None
        count = sum(1 for _ in itertools.islice(configurations, limit + 1))
        return count if count <= limit else None

    def has_room(self, draws: int = 10_000) -> bool:
        """Whether some configuration is allowed: exactly for small countable spaces, else tried by random draws."""
        if not self.forbid:
            return True
        rng = random.Random(0)
        return any(self.allowed(self.draw(rng)) for _ in range(draws)) or any(True for _ in self.survivors())

    def survivors(self, limit: int = 1_000_000) -> Iterator[dict[str, Any]]:
        """Yield the allowed ones among the first `limit` configurations; none if they are not countable."""
        found = itertools.islice(self._expand({}, 0), limit) if self.configurations() is not None else ()
        return (params for params in found if self.allowed(params))


def show(value: Any) -> str:
    """Return a value as a sweep file writes it, short."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, str) and needs_quotes(value):
        return repr(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
