"""What is written of a parameter is read back as the same one."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hpo.spec.parameters import order_by_conditions, parse_parameters
from hpo.spec.source import parse_source
from hpo.spec.space import Categorical, Constant, Domain, Parameter, Range
from hpo.spec.written import entry_of
from hpo.spec.yaml_text import in_one_line

VALUES: list[Any] = [
    "a", "on", "1e-5", "", " ", "a\nb", "#", "é: ü", "\u2028", "{", "- x", "null", 1, 0, -3, 1e-05, 2.5, True, False,
    None, [64, 32], [], {"a": [1, {"b": "x: y"}]}, "x" * 300,
]  # fmt: skip
RANGES = [
    Range(0.0, 1.0), Range(-3.0, 10.0), Range(1e-05, 0.1, log=True), Range(1, 9, integer=True),
    Range(1, 9, integer=True, step=2), Range(1, 512, integer=True, log=True),
    Range(8, 512, integer=True, log=True, step=8), Range(0.0, 1.0, step=0.25), Range(0.0, 10.0, step=2.0),
    Range(1.0, 100.0, log=True, step=1.0), Range(2.0, 9.0, log=True),
]  # fmt: skip


def read_back(parameter: Parameter, *others: Parameter) -> Parameter:
    lines = [f"{in_one_line(each.name)}: {in_one_line(entry_of(each))}" for each in (parameter, *others)]
    parsed = parse_parameters(parse_source("\n".join(lines), "file").data)
    order_by_conditions(parsed)
    assert parsed.faults == []
    return parsed.parameters[parameter.name]


@pytest.mark.parametrize("domain", [*map(Constant, VALUES), *RANGES, Categorical(tuple(VALUES)),
                                    Categorical(("a", "b"), (0.25, 0.75))])  # fmt: skip
def test_a_domain(domain: Domain) -> None:
    parameter = Parameter("outer.x y: é", domain)
    found = read_back(parameter)
    assert found == parameter
    if isinstance(domain, Range):
        assert [type(value) for value in vars(found.domain).values()] == [
            type(value) for value in vars(domain).values()
        ]


def test_conditions() -> None:
    other = Parameter("other", Categorical(("a", "b", [1])))
    number = Parameter("number", Range(1, 9, integer=True))
    when = {"other": ["a", "b"], "number": {">": 2, "in": [3, 4]}}
    parameter = Parameter("x", Range(0.0, 1.0), when)
    assert read_back(parameter, other, number) == parameter


def test_one_line_of_anything() -> None:
    generator = random.Random(5)
    shared = [1, 2]
    for _ in range(200):
        value = {"k": generator.choices(VALUES, k=3), "again": shared, "shared": shared}
        text = in_one_line(value)
        assert "\n" not in text and "&id" not in text
        assert parse_source(f"key: {text}", "file").data == {"key": value}
