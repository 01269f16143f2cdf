"""Properties of spaces, over random ones."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hpo.spec.conditions import clause_holds
from hpo.spec.space import Categorical, Constant, Domain, Parameter, Range, Space, show

SPACES = range(150)


def random_domain(rng: random.Random, countable: bool) -> Domain:
    kind = rng.choice(
        ["constant", "choices", "weighted", "int", "int_step", "step"] + ["real", "log"] * (not countable)
    )
    low = rng.randint(-3, 3)
    return {
        "constant": lambda: Constant(rng.choice([1, 0.5, "a", None, [1, 2]])),
        "choices": lambda: Categorical(tuple(rng.sample(["a", "b", 1, 2.5, None, True, [1], [1, 2], {"k": 1}], 3))),
        "weighted": lambda: Categorical(("a", "b", "c"), (0.5, 0.5, 0.0)),
        "int": lambda: Range(low, low + rng.randint(1, 3), integer=True),
        "int_step": lambda: Range(low, low + rng.randint(4, 9), integer=True, step=rng.choice([2, 3])),
        "step": lambda: Range(low / 10, low / 10 + 1.0, step=rng.choice([0.1, 0.3, 0.4])),
        "real": lambda: Range(low / 10, low / 10 + 1.0),
        "log": lambda: Range(1e-5, rng.choice([1e-3, 10.0]), log=True),
    }[kind]()


def random_condition(rng: random.Random, domain: Domain) -> Any:
    value = domain.draw(rng)
    if isinstance(value, int | float) and not isinstance(value, bool) and rng.random() < 0.5:
        return {rng.choice([">=", "<=", "=="]): value}
    return value if isinstance(value, list) or (rng.random() < 0.5 and not isinstance(value, dict)) else [value]


def random_space(seed: int, countable: bool = True) -> Space:
    rng = random.Random(seed)
    parameters: list[Parameter] = []
    for index in range(rng.randint(1, 4)):
        when = {p.name: random_condition(rng, p.domain) for p in parameters if rng.random() < 0.3}
        parameters.append(Parameter(f"p{index}", random_domain(rng, countable), when))
    forbid = [
        {p.name: random_condition(rng, p.domain) for p in rng.sample(parameters, min(2, len(parameters)))}
        for _ in range(rng.randint(0, 2))
    ]
    return Space(tuple(parameters), tuple(forbid))


def check(space: Space, params: dict[str, Any]) -> None:
    """A configuration has exactly the active parameters, each in its domain."""
    for parameter in space.parameters:
        assert (parameter.name in params) == clause_holds(parameter.when, params)
        if parameter.name in params:
            assert parameter.domain.holds(params[parameter.name])
    assert space.complete(params) == params
    assert set(params) <= set(space.names())


@pytest.mark.parametrize("countable", [True, False])
def test_draws_are_configurations(countable: bool) -> None:
    for seed in SPACES:
        space, rng = random_space(seed, countable), random.Random(seed)
        for _ in range(20):
            check(space, space.draw(rng))
        assert space.draw(random.Random(1)) == space.draw(random.Random(1))


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (Constant(1), [1, 1.0], [True, 2, None, "1"]),
        (Constant(None), [None], [0, False, ""]),
        (Categorical((True, "a", [1, 2])), [True, "a", [1, 2]], [1, 1.0, "b", [1], None]),
        (Range(0.0, 1.0), [0.0, 0, 1, 0.3], [-0.1, 1.1, True, "0.5", None, float("nan"), [0.5]]),
        (Range(1, 5, integer=True), [1, 5, 3.0], [0, 6, 2.5, True]),
        (Range(0, 10, integer=True, step=4), [0, 4, 8], [10, 2, 12]),
        (Range(0.0, 1.0, step=0.1), [0.0, 0.1, 0.30000000000000004, 0.3, 1.0], [0.05, 1.1]),
        (Range(16, 256, log=True, integer=True, step=8), [16, 24, 256], [17, 8, 264]),
    ],
)
def test_holds(domain: Domain, inside: list[Any], outside: list[Any]) -> None:
    assert [value for value in inside if not domain.holds(value)] == []
    assert [value for value in outside if domain.holds(value)] == []


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (Range(0.0, 1.0, step=0.3), [0.0, 0.3, 0.6, 0.9]),
        (Range(0.1, 0.4, step=0.1), [0.1, 0.2, 0.3, 0.4]),
        (Range(0, 10, integer=True, step=4), [0, 4, 8]),
        (Range(-2, 1, integer=True), [-2, -1, 0, 1]),
        (Range(0.0, 1.0), None),
        (Range(1e-5, 1.0, log=True), None),
    ],
)
def test_choices_of_a_range(domain: Range, values: list[float] | None) -> None:
    choices = domain.choices()
    assert (None if choices is None else list(choices)) == values
    assert domain.count() == (None if values is None else len(values))
    rng = random.Random(0)
    drawn = {domain.draw(rng) for _ in range(300)}
    assert all(domain.holds(value) for value in drawn)
    if values is not None:
        assert drawn == set(values)  # each is reached, and with no rounding noise


def test_a_log_range_spreads_by_order_of_magnitude() -> None:
    rng = random.Random(0)
    drawn = [Range(1e-4, 1.0, log=True).draw(rng) for _ in range(2000)]
    for low in (1e-4, 1e-3, 1e-2, 1e-1):
        assert 400 < sum(low <= value < 10 * low for value in drawn) < 600


def test_probabilities_weigh_draws() -> None:
    rng = random.Random(0)
    domain = Categorical(("a", "b", "c"), (0.7, 0.3, 0.0))
    drawn = [domain.draw(rng) for _ in range(2000)]
    assert 1300 < drawn.count("a") < 1500
    assert drawn.count("c") == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"), (None, "null"), (1e-5, "1e-05"), (0.1 + 0.2, "0.3"), (3, "3"), ("a", "a"), ([1, 2], "[1, 2]"),
        ("true", "'true'"), ("null", "'null'"), ("", "''"), ("1e-5", "'1e-5'"), ("0x1F", "'0x1F'"), (".inf", "'.inf'"),
        ("off", "off"), ("1:30", "1:30"), ("1.2.3", "1.2.3"),
    ],
)  # fmt: skip
def test_show(value: Any, text: str) -> None:
    assert show(value) == text
