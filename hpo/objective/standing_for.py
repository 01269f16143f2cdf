"""A few configurations that stand for all of a space, as far as some of its parameters go."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from hpo.spec.conditions import clause_holds
from hpo.spec.space import Constant, Domain, Range, Space

MOST = 64  # configurations
_DRAWS = 20  # for what is left of a configuration, until it is allowed


def standing_for(
    space: Space, names: Collection[str], rng: random.Random, most: int = MOST
) -> tuple[list[dict[str, Any]], bool]:
    """Return allowed configurations, and whether each combination of these parameters' values is in one of them.

    Where they have more combinations than `most`, or can't be counted: their extremes, each by itself and together, and
    others at random, `most` in all.
    """
    chosen = [name for name in space.names() if name in names]
    counts = [space[name].domain.count() for name in chosen]
    if None not in counts and math.prod(each or 1 for each in counts) <= most:
        return _all(space, chosen, rng)
    found = (_completed(space, fixed, rng) for fixed in _some(space, chosen))
    return list(itertools.islice((params for params in found if params is not None), most)), False


def _all(space: Space, names: Sequence[str], rng: random.Random) -> tuple[list[dict[str, Any]], bool]:
    found, whole = [], True
    for values in itertools.product(*(space[name].domain.choices() or () for name in names)):
        fixed = dict(zip(names, values, strict=True))
        params = _completed(space, fixed, rng)
        if params is not None:
            found.append(params)
        else:
            whole = whole and _is_forbidden(space, fixed)
    return found, whole


def _some(space: Space, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    ends = {name: _ends(space[name].domain) for name in names}
    yield from ({name: ends[name][place] for name in names} for place in (0, 1))
    yield from ({name: end} for name in names for end in ends[name])
    yield from itertools.repeat({}, MOST * 2)


def _ends(domain: Domain) -> tuple[Any, Any]:
    """Return the first and the last value of a domain."""
    if isinstance(domain, Range):
        return domain.own(domain.low), domain.own(domain.largest() or domain.high)
    choices = domain.choices() or (None,)
    return choices[0], choices[-1]


def _completed(space: Space, fixed: Mapping[str, Any], rng: random.Random) -> dict[str, Any] | None:
    """Return an allowed configuration that has these values where they are active, and others at random; None if none
    is found."""
    for _ in range(_DRAWS):
        params: dict[str, Any] = {}
        for parameter in space.parameters:
            if space.active(parameter, params):
                name = parameter.name
                params[name] = fixed[name] if name in fixed else parameter.domain.draw(rng)
        if space.allowed(params):
            return params
    return None


def _is_forbidden(space: Space, fixed: Mapping[str, Any]) -> bool:
    """Whether a clause forbids these values, whatever the others are."""
    constants = {p.name: p.domain.value for p in space.parameters if isinstance(p.domain, Constant) and not p.when}
    return any(clause_holds(clause, {**constants, **fixed}) for clause in space.forbid)
