"""Spaces that are too large to list: what a searcher keeps grows with its trials only."""

from __future__ import annotations

import tracemalloc

import pytest

from hpo.search.searcher import Searcher
from hpo.spec.space import Categorical, Parameter, Range

from .support import play, space_of, sweep_of

WIDE = space_of(*(Parameter(f"p{index}", Range(0, 99, integer=True)) for index in range(8)))


def narrowed(*forbid: dict[str, object]) -> list[dict[str, object]]:
    """Forbid all but one value of most parameters: random draws never hit what is left."""
    return [*({f"p{index}": {"<": 99}} for index in range(5)), *forbid]


@pytest.mark.parametrize("method", ["random", "grid"])
def test_no_memory_grows_with_the_space(method: str) -> None:
    space = space_of(*WIDE.parameters, forbid=narrowed())
    play(Searcher(sweep_of(space, method)), 1)  # what is loaded once
    tracemalloc.start()
    found = play(Searcher(sweep_of(space, method)), 4)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len({str(params) for params in found}) == 4
    assert all(params[f"p{index}"] == 99 for params in found for index in range(5))
    assert most < 2e6  # of 10^6 that are allowed


def test_a_space_is_used_up_to_its_last_configuration() -> None:
    space = space_of(*WIDE.parameters, forbid=narrowed({"p5": {">": 0}}, {"p6": {">=": 4}}, {"p7": {">=": 2}}))
    found = play(Searcher(sweep_of(space, "random")), 100)
    assert len({str(params) for params in found}) == len(found) == 8


def test_a_space_ends_where_its_real_numbers_are_never_active() -> None:
    space = space_of(
        Parameter("a", Categorical((1, 2, 3))), Parameter("x", Range(0.0, 1.0), {"a": 3}), forbid=[{"a": 3}]
    )
    assert len(play(Searcher(sweep_of(space, "random")), 10)) == 2


def test_a_narrow_range_is_hit() -> None:
    space = space_of(Parameter("x", Range(0.0, 1.0)), Parameter("y", Range(0.0, 1.0)), forbid=[{"x": {">": 1e-9}}])
    found = play(Searcher(sweep_of(space, "random")), 3)
    assert len(found) == 3 and all(params["x"] <= 1e-9 for params in found)


def test_a_grid_of_a_billion_goes_on_where_it_was() -> None:
    space = space_of(Parameter("x", Range(0.0, 1.0, step=1e-9)))
    assert [params["x"] for params in play(Searcher(sweep_of(space, "grid")), 3)] == [0.0, 1e-9, 2e-9]
