"""Sizes are worked out, not listed: against brute force on small spaces, and at once on those that nobody can list."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from grids import grid_of

from hpo.spec.census import Census, census_of, drawn_where_uncounted, size_of
from hpo.spec.space import Categorical, Constant, Parameter, Range, Space

from .test_space import SPACES, check, random_space

TEN = Range(0, 9, integer=True)
TIED = Space(  # each parameter with each later one, by clauses that tell all values apart
    tuple(Parameter(f"p{index}", Range(0, 30, integer=True)) for index in range(8)),
    tuple(
        {f"p{left}": value, f"p{right}": (value * 7 + right) % 31}
        for left, right in itertools.combinations(range(8), 2)
        for value in range(31)
    ),
)


def census(space: Space) -> Census:
    found = census_of(space)
    assert found is not None
    return found


def text(params: dict[str, Any]) -> str:
    return repr(list(params.items()))


def test_it_has_every_allowed_configuration_once() -> None:
    for seed in SPACES:
        space = random_space(seed)
        expected, found = grid_of(space), census(space)
        assert found.size == len(expected)
        assert found.empty == (not expected)
        assert list(map(text, found.grid())) == list(map(text, expected))  # and in the same order
        assert sorted(text(found.at(rank)) for rank in range(len(expected))) == sorted(map(text, expected))
        scattered = list(map(text, found.scattered(random.Random(seed))))
        assert sorted(scattered) == sorted(map(text, expected))


def test_draws_of_it_are_allowed() -> None:
    for seed in SPACES:
        space, rng = random_space(seed, countable=False), random.Random(seed)
        for _ in range(10):
            params = census(space).draw(rng)
            assert (params is None) == census(space).empty
            if params is not None:
                check(space, params)
                assert space.allowed(params)


def many(count: int, high: int, *forbid: dict[str, Any], **when: Any) -> Space:
    return Space(tuple(Parameter(f"p{i}", Range(0, high, integer=True), when) for i in range(count)), forbid)


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (Space(()), 1),
        (Space((), ({},)), 0),
        (Space((Parameter("a", Range(0.0, 1.0)),)), None),
        (many(8, 9, {"p7": {"<": 9}}), 10**7),
        (many(8, 9, *({f"p{i}": {"<": 9}} for i in range(8))), 1),
        (many(1000, 9), 10**1000),
        (many(1000, 9, *({f"p{i}": {">": 4}} for i in range(500))), 5**500 * 10**500),
        (many(300, 9, *({f"p{i}": 3, f"p{i + 1}": 4} for i in range(0, 300, 2))), 99**150),
        (many(1, 10**15, {"p0": {"<": 10**14, "!=": 7}}), 9 * 10**14 + 2),
        (Space((Parameter("x", Range(0.0, 1.0, step=1e-9)),), ({"x": {"<": 0.5}},)), 5 * 10**8 + 1),
        (Space((Parameter("x", Categorical(tuple(range(20_000)))),), ({"x": list(range(15_000))},)), 5_000),
        (
            Space((Parameter("x", Categorical(tuple(range(9_000)))), Parameter("y", TEN, {"x": {"not_in": [3]}}))),
            89_991,
        ),
        # a range of real numbers that is never active has no part in it
        (Space((Parameter("a", Categorical((1, 2))), Parameter("x", Range(0.0, 1.0), {"a": 2})), ({"a": 2},)), 1),
        # a chain: each is active while the one before it is 0
        (Space(tuple(Parameter(f"p{i}", TEN, {f"p{i - 1}": 0} if i else {}) for i in range(400))), 9 * 399 + 10),
    ],
)
def test_sizes_that_nobody_lists(space: Space, size: int | None) -> None:
    found = census(space)
    assert found.size == size
    moves = sum(len(leads) for group in found._groups for each in group.moves for leads in each.values())
    assert moves <= 6_000


def test_a_grid_goes_straight_to_what_is_allowed() -> None:
    space = many(40, 9, *({"p39": {"<": 9}, f"p{i}": {">=": 0}} for i in range(39)), {"p38": {"!=": 5}})
    first = next(census(space).grid())
    assert list(first.values()) == [0] * 38 + [5, 9]
    huge = Space((Parameter("x", Range(0, 10**12, integer=True)),), ({"x": {"<": 10**12 - 3}},))
    assert [params["x"] for params in census(huge).grid()] == [10**12 - 3 + i for i in range(4)]


def test_narrow_rooms_are_found_and_drawn_from() -> None:
    narrow = Space(
        (Parameter("x", Range(1e-9, 1.0, log=True)), Parameter("y", TEN)), ({"x": {">": 2e-9}}, {"y": {"<": 9}})
    )
    for seed in range(20):
        params = census(narrow).draw(random.Random(seed))
        assert params is not None and 1e-9 <= params["x"] <= 2e-9 and params["y"] == 9
    shut = Space(narrow.parameters, (*narrow.forbid, {"x": {"<=": 2e-9}}))
    assert census(shut).empty


def test_what_is_tied_too_closely_has_no_census() -> None:
    assert census_of(TIED) is None
    assert size_of(TIED) is None
    params = drawn_where_uncounted(TIED, random.Random(0))
    assert params is not None and TIED.allowed(params)
    assert drawn_where_uncounted(Space(TIED.parameters, ({"p0": {">=": 0}},)), random.Random(0)) is None


def test_constants_and_unknown_names() -> None:
    one = Parameter("a", Constant([1, 2]))
    space = Space((one, Parameter("b", TEN, {"a": [1, 2]}), Parameter("c", TEN, {"gone": 1})), ({"lost": 1},))
    assert size_of(space) == len(grid_of(space)) == 10
