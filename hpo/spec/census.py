"""How many configurations a space has, and which: worked out, not listed.

Parameters that no `when` and no `forbid` ties together are counted apart, and the counts multiplied. Of parameters that
are tied, only what their conditions tell apart is followed: values that all conditions judge alike are one class, and
a configuration that is made parameter by parameter is known by the clauses that can't hold for it any more. So the
work grows with the conditions, not with the values. It has a bound; a space beyond it has no census.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hpo.spec.classes import TooMuch, ValueClasses, classes_of
from hpo.spec.conditions import Clause
from hpo.spec.once import once
from hpo.spec.space import Parameter, Space

_MOST_MOVES = 200_000  # from one group of configurations to the next: about a second of work
_DRAWS, _DRAWN_VALUES = 10_000, 2_000_000  # where there is no census
_INACTIVE = -1  # in the place of a class


@dataclass(frozen=True)
class _Step:
    """One parameter's turn as a configuration is made."""

    values: ValueClasses
    own: int  # the bit of its `when`, 0 if it has none
    named: int  # the clauses that name it: those an inactive one kills
    ending: int  # the forbidden clauses that name no later one: alive now, they hold
    forgotten: int  # the clauses that say nothing about what comes after

    def moves(self, dead: int) -> Iterator[tuple[int, int]]:
        """Yield (class, dead clauses afterwards) of what is allowed for those that have these clauses dead."""
        inactive = bool(self.own & dead)
        for which, kills in ((_INACTIVE, self.named),) if inactive else enumerate(self.values.kills):
            after = dead | kills
            if not self.ending & ~after:
                yield which, after & ~self.forgotten

    def weight(self, which: int) -> int:
        return 1 if which == _INACTIVE else self.values.counts[which]


class _Tied:
    """Parameters that are tied together, and the ways to fill them in."""

    def __init__(self, steps: Sequence[_Step], start: int) -> None:
        """start: the clauses that are dead before any parameter has a value. Raises TooMuch."""
        self.steps = steps
        self.start = start
        self.moves: list[dict[int, dict[int, int]]] = []  # at each step, by dead clauses: what each class leads to
        self.ways: list[dict[int, int]] = []  # at each step, by dead clauses: how many ways lead to the end
        left, states = _MOST_MOVES, {start}
        for step in steps:
            found: dict[int, dict[int, int]] = {}
            for dead in states:
                found[dead] = {}
                for which, after in step.moves(dead):
                    found[dead][which] = after
                    left -= 1
                    if left < 0:
                        raise TooMuch
            self.moves.append(found)
            states = {after for leads in found.values() for after in leads.values()}
        self.ways.append(dict.fromkeys(states, 1))
        for step, found in zip(reversed(steps), reversed(self.moves), strict=True):
            onward = self.ways[-1]
            for dead, leads in found.items():
                found[dead] = {which: after for which, after in leads.items() if onward[after]}
            self.ways.append(
                {
                    dead: sum(step.weight(which) * onward[after] for which, after in leads.items())
                    for dead, leads in found.items()
                }
            )
        self.ways.reverse()

    @property
    def count(self) -> int:
        return self.ways[0][self.start]

    @property
    def finite(self) -> bool:
        """Whether no range of real numbers is active in any way that leads to the end."""
        real = [step.values.parameter.domain.count() is None for step in self.steps]
        return not any(
            leads.keys() - {_INACTIVE}
            for endless, found in zip(real, self.moves, strict=True)
            if endless
            for leads in found.values()
        )

    def at(self, rank: int, rng: random.Random | None) -> dict[str, Any]:
        """Return the way of this rank."""
        params: dict[str, Any] = {}
        dead = self.start
        for index, step in enumerate(self.steps):
            for which, after in self.moves[index][dead].items():
                each = self.ways[index + 1][after]
                if rank < step.weight(which) * each:
                    break
                rank -= step.weight(which) * each
            if which != _INACTIVE:
                params[step.values.parameter.name] = step.values.pick(which, rank // each, rng)
            rank, dead = rank % each, after
        return params


class Census:
    """The allowed configurations of a space."""

    def __init__(self, space: Space) -> None:
        """Raises TooMuch where conditions tie too much together."""
        self._names = space.names()
        self._groups = _groups(space)
        self._turns = {step.values.parameter.name: (group, index) for group in self._groups
                       for index, step in enumerate(group.steps)}  # fmt: skip
        self._finite = all(group.finite for group in self._groups)
        ways = math.prod(group.count for group in self._groups)  # an interval counts as one value
        self._ways = ways if all(space.forbid) else 0  # an empty clause forbids everything

    @property
    def size(self) -> int | None:
        """How many there are; None if there is no end of them, as with a range of real numbers."""
        return self._ways if self._finite or not self._ways else None

    @property
    def empty(self) -> bool:
        return not self._ways

    def at(self, rank: int) -> dict[str, Any]:
        """Return the configuration of this rank, 0 to size - 1, in an order that is no particular one."""
        return self._at(rank, None)

    def draw(self, rng: random.Random) -> dict[str, Any] | None:
        """Draw an allowed configuration at random; None if there is none."""
        return self._at(rng.randrange(self._ways), rng) if self._ways else None

    def _at(self, rank: int, rng: random.Random | None) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for group in self._groups:
            rank, own = divmod(rank, group.count)
            params |= group.at(own, rng)
        return {name: params[name] for name in self._names if name in params}

    def scattered(self, rng: random.Random) -> Iterator[dict[str, Any]]:
        """Yield every configuration of a countable space once, neighbours far apart; takes no memory."""
        size = self._ways
        if not size:
            return
        start, stride = rng.randrange(size), rng.randrange(size) | 1
        while math.gcd(stride, size) != 1:
            stride += 1
        for count in range(size):
            yield self.at((start + count * stride) % size)

    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield every configuration of a countable space in the file's order, the last parameter first to change; takes
        no memory and no time over what is forbidden."""
        if not self._ways:
            return
        dead = {id(group): group.start for group in self._groups}
        params: dict[str, Any] = {}
        tried: list[Iterator[tuple[bool, Any, int]]] = []  # what is left to try of each parameter so far
        before: list[int] = []  # what was dead before each
        while True:
            if len(tried) == len(self._names):
                yield dict(params)
            else:
                group, index = self._turns[self._names[len(tried)]]
                before.append(dead[id(group)])
                tried.append(_options(group, index, dead[id(group)]))
            while tried:
                name = self._names[len(tried) - 1]
                group, _ = self._turns[name]
                params.pop(name, None)
                dead[id(group)] = before[-1]
                if (option := next(tried[-1], None)) is not None:
                    active, value, dead[id(group)] = option
                    if active:
                        params[name] = value
                    break
                tried.pop()
                before.pop()
            if not tried:
                return


def _options(group: _Tied, index: int, dead: int) -> Iterator[tuple[bool, Any, int]]:
    """Yield (active, value, dead clauses afterwards) of what a parameter can be so that a way leads to the end."""
    leads = group.moves[index][dead]
    if _INACTIVE in leads:
        yield False, None, leads[_INACTIVE]
    else:
        for value, after in group.steps[index].values.each(leads):
            yield True, value, after


@once
def census_of(space: Space) -> Census | None:
    """Return the census of a space; None if its conditions tie too much together to be followed."""
    try:
        return Census(space)
    except TooMuch:
        return None


def size_of(space: Space) -> int | None:
    """Return the number of allowed configurations; None if it is not known, or not finite."""
    census = census_of(space)
    return None if census is None else census.size


def drawn_where_uncounted(space: Space, rng: random.Random) -> dict[str, Any] | None:
    """Draw an allowed configuration of a space that has no census; None if as many draws as are made find none."""
    cost = len(space.parameters) + sum(map(len, space.forbid)) + 1
    for _ in range(min(_DRAWS, _DRAWN_VALUES // cost + 1)):
        if space.allowed(params := space.draw(rng)):
            return params
    return None


def _groups(space: Space) -> list[_Tied]:
    """Split the parameters into groups that no clause ties together, each in the space's order."""
    order = {parameter.name: index for index, parameter in enumerate(space.parameters)}
    clauses: list[tuple[Clause, str | None]] = [(p.when, p.name) for p in space.parameters if p.when]
    clauses += [(clause, None) for clause in space.forbid if clause and clause.keys() <= order.keys()]  # no other holds
    leader = list(range(len(order)))

    def lead(index: int) -> int:
        while leader[index] != index:
            leader[index] = index = leader[leader[index]]
        return index

    for clause, owner in clauses:
        tied = [order[name] for name in (*clause, *((owner,) if owner else ())) if name in order]
        for left, right in pairwise(tied):
            leader[lead(right)] = lead(left)
    members: dict[int, list[Parameter]] = {}
    for parameter in space.parameters:
        members.setdefault(lead(order[parameter.name]), []).append(parameter)
    ties: dict[int, list[tuple[Clause, str | None]]] = {first: [] for first in members}
    for clause, owner in clauses:
        ties[lead(order[owner or next(iter(clause))])].append((clause, owner))
    return [_group(found, ties[first], order) for first, found in members.items()]


def _group(
    parameters: Sequence[Parameter], clauses: Sequence[tuple[Clause, str | None]], order: Mapping[str, int]
) -> _Tied:
    """Raises TooMuch."""
    start, own, ending = 0, dict[str, int](), dict[str, int]()
    naming: dict[str, list[tuple[int, Any]]] = {}  # by parameter: the clauses that name it, with their condition on it
    for index, (clause, owner) in enumerate(clauses):
        bit = 1 << index
        if owner is None:
            last = max(clause, key=order.__getitem__)
            ending[last] = ending.get(last, 0) | bit
        else:
            own[owner] = bit
            if not clause.keys() <= order.keys():
                start |= bit
        for name, condition in clause.items():
            naming.setdefault(name, []).append((bit, condition))
    steps = []
    for parameter in parameters:
        name = parameter.name
        named, mine, last_of = naming.get(name, []), own.get(name, 0), ending.get(name, 0)
        values = classes_of(parameter, named)
        steps.append(_Step(values, mine, sum(bit for bit, _ in named), last_of, mine | last_of))
    return _Tied(steps, start)
