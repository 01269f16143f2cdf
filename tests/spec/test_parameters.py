"""The grammar of `parameters`: every form, every distribution, and what is refused."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from grids import grid_of

from hpo.spec.census import size_of
from hpo.spec.parameters import parse_parameters
from hpo.spec.source import parse_source
from hpo.spec.space import Categorical, Constant, Domain, Parameter, Range
from hpo.spec.sweep import Sweep

Load = Callable[..., Sweep]
Faults = Callable[..., list[str]]


def domain(load: Load, entry: str) -> Domain:
    return load(f"parameters: {{x: {entry}}}").space["x"].domain


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{value: 3}", Constant(3)),
        ("{value: null}", Constant(None)),
        ("{value: [64, 32]}", Constant([64, 32])),
        ("{value: 1, distribution: constant}", Constant(1)),
        ("{values: [a, 1, 2.5, true, null, [1, 2], {k: 1}]}", Categorical(("a", 1, 2.5, True, None, [1, 2], {"k": 1}))),
        ("{values: [a, b], distribution: categorical}", Categorical(("a", "b"))),
        ("{values: [a, b], probabilities: [0.25, 0.75]}", Categorical(("a", "b"), (0.25, 0.75))),
        ("{values: [a, b], probabilities: [1, 0]}", Categorical(("a", "b"), (1.0, 0.0))),
        # the type of the bounds decides
        ("{min: 1, max: 5}", Range(1, 5, integer=True)),
        ("{min: 1, max: 5.0}", Range(1.0, 5.0)),
        ("{min: 0.0, max: 0.5}", Range(0.0, 0.5)),
        ("{min: -3, max: -1}", Range(-3, -1, integer=True)),
        ("{distribution: uniform, min: 0, max: 1}", Range(0.0, 1.0)),
        ("{distribution: int_uniform, min: 1, max: 5}", Range(1, 5, integer=True)),
        ("{distribution: int_uniform, min: 0, max: 10, q: 5}", Range(0, 10, integer=True, step=5)),
        ("{min: 0, max: 10, q: 2}", Range(0, 10, integer=True, step=2)),
        ("{min: 0, max: 10, q: 1}", Range(0, 10, integer=True)),
        ("{min: 0, max: 1, q: 0.25}", Range(0.0, 1.0, step=0.25)),
        ("{distribution: q_uniform, min: 0.0, max: 1.0, q: 0.1}", Range(0.0, 1.0, step=0.1)),
        ("{distribution: q_uniform, min: 0, max: 10}", Range(0, 10, integer=True)),
        ("{distribution: q_uniform, min: 0, max: 10, q: 5}", Range(0, 10, integer=True, step=5)),
        ("{distribution: log_uniform_values, min: 1e-5, max: 1e-1}", Range(1e-5, 1e-1, log=True)),
        ("{distribution: log_uniform_values, min: 1, max: 100}", Range(1.0, 100.0, log=True)),
        ("{distribution: q_log_uniform_values, min: 16, max: 256, q: 8}", Range(16, 256, True, True, 8)),
        ("{distribution: q_log_uniform_values, min: 0.5, max: 4.0, q: 0.5}", Range(0.5, 4.0, log=True, step=0.5)),
        ("{distribution: log_uniform, min: -2, max: 1}", Range(math.exp(-2), math.e, log=True)),
        ("{distribution: q_log_uniform, min: 0, max: 3, q: 2}", Range(1.0, math.exp(3), log=True, step=2.0)),
    ],
)
def test_forms(load: Load, entry: str, expected: Domain) -> None:
    found = domain(load, entry)
    assert found == expected
    if isinstance(expected, Range):
        assert isinstance(found, Range) and type(found.low) is type(expected.low)
    for value, same in zip(found.choices() or (), expected.choices() or (), strict=True):
        assert type(value) is type(same)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("3", "x: must be a mapping, but got 3 (write x: {value: 3})"),
        ("[1, 2]", "x: must be a mapping, but got [1, 2] (write x: {values: [1, 2]})"),
        ("null", "x: must be a mapping, but got null"),
        ("{}", "x: a parameter is a value, values, or min and max; this has none"),
        ("{value: 1, values: [2]}", "this has value and values"),
        ("{values: [1], min: 0, max: 2}", "this has values and min/max"),
        ("{min: 0}", "x: the key 'max' is missing: a range needs both"),
        ("{max: 0}", "x: the key 'min' is missing: a range needs both"),
        ("{min: 3, max: 1}", "x.min: min < max must hold, but got min=3, max=1 (swap them"),
        ("{min: 1, max: 1}", "x.min: min < max must hold"),
        ("{min: '1e-5', max: 1}", "x.min: must be a number, but got '1e-5'"),
        ("{min: true, max: 5}", "x.min: must be a number, but got true"),
        ("{min: .nan, max: 1.0}", "x: min and max must be finite, but got min=nan, max=1"),
        ("{min: 0.0, max: .inf}", "x: min and max must be finite"),
        (
            "{distribution: log_uniform_values, min: 0, max: 1}",
            "x.min: min > 0 must hold on a log scale, but got min=0",
        ),
        ("{distribution: log_uniform_values, min: -1, max: 1}", "but got min=-1"),
        ("{distribution: log_uniform, min: 0, max: 1000}", "x.max: max is an exponent of e here, but got 1000"),
        ("{distribution: int_uniform, min: 0.5, max: 3}", "int_uniform takes whole numbers as min, max and q"),
        ("{distribution: int_uniform, min: 0, max: 3, q: 0.5}", "int_uniform takes whole numbers"),
        ("{distribution: categorical, min: 0, max: 3}", "min and max go with no distribution 'categorical'"),
        ("{distribution: uniform, values: [1, 2]}", "'values' goes with no distribution 'uniform'"),
        ("{distribution: uniform, value: 1}", "'value' goes with no distribution 'uniform'"),
        ("{distribution: unifrom, min: 0, max: 1}", "did you mean 'uniform'?"),
        (
            "{distribution: normal, mu: 0, sigma: 1}",
            "draws from a bell curve (the nearest is {min: -2.0, max: 2.0})",
        ),
        ("{distribution: q_normal, mu: 10, sigma: 4.1, q: 2}", "(the nearest is {min: 2, max: 18, q: 2})"),
        (
            "{distribution: log_normal, mu: -3, sigma: 0.5}",
            "(the nearest is {distribution: log_uniform_values, min: 0.01832, max: 0.1353})",
        ),
        ("{distribution: beta, a: 8, b: 2}", "(the nearest is {min: 0.5588, max: 1.0})"),
        ("{distribution: beta}", "(the nearest is {min: 0.0, max: 1.0})"),
        ("{distribution: normal, sigma: 0, mu: 3}", "(the nearest is {value: 3.0})"),
        ("{distribution: normal, sigma: -1}", "x.sigma: must be at least 0, but got -1"),
        ("{distribution: normal, mu: '0'}", "x.mu: must be a number, but got '0'"),
        ("{distribution: normal, sgima: 1}", "x.sgima: unknown key 'sgima' of normal (did you mean 'sigma'?)"),
        ("{distribution: inv_log_uniform, min: -1000, max: 2}", "x.min: min is an exponent of e here, but got -1000"),
        ("{distribution: categorical_w_probabilities, values: [1, 2]}", "needs 'probabilities', one for each of"),
        ("{min: 0.0, max: 1.0, q: 0}", "x.q: must be greater than 0"),
        ("{min: 0.0, max: 1.0, q: 2.0}", "x.q: q <= max - min must hold, but got q=2, max - min=1"),
        ("{values: [1, 2], q: 1}", "x.q: 'q' is a step between min and max"),
        ("{values: []}", "x.values: 'values' must name at least one value"),
        ("{values: 3}", "x.values: must be a list, but got 3"),
        ("{values: [1, 2, 1.0]}", "x.values: the value 1 is repeated, as 1.0 (keep one)"),
        ("{values: ['1', a, '1']}", "x.values: the value '1' is repeated (keep one)"),
        ("{values: [[1, {a: 2}], [1.0, {a: 2.0}]]}", "x.values: the value [1, {'a': 2}] is repeated, as [1.0, {'a'"),
        ("{values: [{a: 1, b: 2}, {b: 2, a: 1}]}", "x.values: the value {'a': 1, 'b': 2} is repeated"),
        ("{values: [.nan, 1]}", "x.values: nan is no choice"),
        ("{values: [.inf, 1]}", "x.values: a number must be finite, but got inf (as text, 'inf', it can stand here)"),
        ("{value: .nan}", "x.value: a number must be finite, but got nan"),
        ("{value: -.inf}", "x.value: a number must be finite, but got -inf"),
        ("{value: [1, .inf]}", "x.value: a number must be finite, but got [1, inf]"),
        ("{value: {a: .nan}}", "x.value: a number must be finite"),
        ("{min: 0.0, max: 1.0, q: .inf}", "x.q: must be finite, but got inf"),
        (
            "{min: 0, max: 9007199254740994}",
            "x: whole numbers must be within ±2**53, but got min=0, max=9007199254740994",
        ),
        (f"{{min: 0, max: 1{'0' * 400}}}", "x.max: a whole number has at most 300 digits, but this has about 401"),
        ("{min: 0, max: .inf}", "x: min and max must be finite, but got min=0, max=inf"),
        (
            "{min: 9007199254740993, max: 9007199254740992}",
            "min < max must hold, but got min=9007199254740993, max=9007199254740992",
        ),
        ("{min: 0.12345678, max: 0.12345677}", "min < max must hold, but got min=0.12345678, max=0.12345677"),
        ("{values: [1, 2], probabilities: [1.0]}", "one probability a value, but got 1 for 2 values"),
        ("{values: [1, 2], probabilities: []}", "one probability a value, but got 0 for 2 values"),
        ("{values: [1, 2], probabilities: [0.5, 0.6]}", "they sum to 1.1"),
        ("{values: [1, 2], probabilities: [-0.5, 1.5]}", "probabilities must be >= 0"),
        ("{min: 0, max: 1, probabilities: [1.0]}", "'probabilities' goes with 'values' only"),
        ("{valeus: [1, 2]}", "x.valeus: unknown key 'valeus' (did you mean 'values'?)"),
        ("{value: 1, parameters: {y: {value: 1}}}", "'parameters' goes with 'when' and 'description' only"),
        ("{parameters: {}}", "'parameters' must name at least one parameter"),
        ("{when: 3, parameters: {y: {value: 1}}}", "x.when: must be a mapping, but got 3"),
    ],
)
def test_refused(faults: Faults, entry: str, message: str) -> None:
    [fault] = faults(f"seed: 1\nparameters:\n  x: {entry}\n")
    assert fault.startswith("3: parameters.x")
    assert message in fault


def test_whole_bounds_keep_their_digits(load: Load) -> None:
    found = domain(load, "{min: 9007199254740991, max: 9007199254740992}")
    assert found == Range(9007199254740991, 9007199254740992, integer=True)
    assert list(found.choices() or ()) == [9007199254740991, 9007199254740992] and found.count() == 2
    assert found.holds(9007199254740992) and not found.holds(9007199254740993)
    assert str(found) == "9007199254740991 to 9007199254740992, whole numbers"
    stepped = Range(9007199254740993, 9007199254740999, integer=True, step=2)
    assert stepped.holds(9007199254740995) and not stepped.holds(9007199254740996)


@pytest.mark.parametrize("name", ["''", "a//b", "a/", "/a", ".", "..", "'../a'", "a" * 251])
def test_names_that_cannot_be_recorded(faults: Faults, name: str) -> None:
    [fault] = faults(f"parameters:\n  x: {{values: [1, 2]}}\n  {name}: {{values: [1, 2]}}\n")
    assert fault.startswith("3: parameters.") and "no parameter can go by this name: a name " in fault


@pytest.mark.parametrize("group", ["'': {parameters: {y: {value: 1}}}", "a: {parameters: {'': {value: 1}}}"])
def test_empty_names_in_groups(faults: Faults, group: str) -> None:
    [fault] = faults(f"parameters:\n  x: {{values: [1, 2]}}\n  {group}\n")
    assert "no parameter can go by this name: a name must not be empty" in fault


def test_names_that_would_be_recorded_as_one(faults: Faults) -> None:
    [fault] = faults("parameters:\n  a@b: {values: [1, 2]}\n  a_b: {values: [1, 2]}\n")
    assert fault == (
        "3: parameters.a_b: no parameters can go by these names: 'a@b' and 'a_b' would be one name in MLflow: 'a_b' "
        "(rename one of them)"
    )


@pytest.mark.parametrize("section", ["[1]", "3", ""])
def test_parameters_must_be_a_mapping(faults: Faults, section: str) -> None:
    [fault] = faults(f"seed: 1\nparameters: {section}")
    assert fault.startswith("2: parameters: must be a mapping of names, but got")


def test_no_parameter(faults: Faults) -> None:
    assert faults("parameters: {}") == ["1: parameters: there is nothing to search: no parameter is named"]


def test_nested_parameters_get_dotted_names(load: Load) -> None:
    space = load("""
        parameters:
          kind: {values: [a, b]}
          outer:
            when: {kind: a}
            parameters:
              inner: {min: 0, max: 3}
              deeper:
                when: {outer.inner: {">": 1}}
                parameters:
                  x: {value: 1, when: {outer.inner: {">": 1}}}
    """).space
    assert space.names() == ["kind", "outer.inner", "outer.deeper.x"]
    assert space["outer.inner"].when == {"kind": "a"}
    assert space["outer.deeper.x"].when == {"kind": "a", "outer.inner": {">": 1}}


def test_a_group_and_its_parameter_may_not_differ_in_a_condition(faults: Faults) -> None:
    """One of the two conditions would be dropped in silence."""
    [fault] = faults("""
        parameters:
          kind: {values: [1, 2, 3]}
          outer:
            when: {kind: [1, 2]}
            parameters:
              x: {values: [1, 2], when: {kind: {">": 1}}}
    """)
    assert fault.startswith("6: parameters.outer.parameters.x.when.kind: 'when' names 'kind' here and")


def test_a_dotted_name_that_comes_twice(faults: Faults) -> None:
    [fault] = faults("""
        parameters:
          a.b: {value: 1}
          a: {parameters: {b: {value: 2}}}
    """)
    assert fault == "3: parameters.a.parameters.b: the parameter 'a.b' is named twice"


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        ("a", "a", True),
        ("a", "b", False),
        (1, True, False),
        (True, 1, False),
        (1, 1.0, True),
        (None, None, True),
        ([1, 2], 2, True),
        ([1, 2], True, False),
        ([64, 32], [64, 32], True),
        ([1, 2], [True, 2], False),
        ({"==": {"a": [1]}}, {"a": [True]}, False),
        ({"==": {"a": [1]}}, {"a": [1.0]}, True),
        ({">": 0}, True, False),
        ({"<=": 1}, False, False),
        ([[64], [64, 32]], [64], True),
        ([[64], [64, 32]], [32], False),
        ({">": 1, "<=": 3}, 3, True),
        ({">": 1, "<=": 3}, 1, False),
        ({">": 1}, "a", False),
        ({">=": 2}, 2, True),
        ({"<": 2}, 2, False),
        ({"==": 1}, True, False),
        ({"!=": 1}, True, True),
        ({"in": [1, "a"]}, "a", True),
        ({"in": [1]}, True, False),
        ({"not_in": [1]}, True, True),
        ({"not_in": ["a", "b"]}, "a", False),
    ],
)
def test_conditions(condition: Any, value: Any, holds: bool) -> None:
    from hpo.spec.conditions import clause_holds
    from hpo.spec.conditions import holds as condition_holds

    assert condition_holds(condition, value) is holds
    assert clause_holds({"x": condition}, {"x": value}) is holds
    assert clause_holds({"x": condition}, {}) is False
    assert clause_holds({}, {}) is True


@pytest.mark.parametrize(
    ("other", "condition", "possible"),
    [
        ("{values: [a, b]}", "a", True),
        ("{values: [a, b]}", "c", False),
        ("{values: [a, b]}", "[c, d]", False),
        ("{values: [a, b]}", "{'!=': a}", True),
        ("{values: [1, 2]}", "{'>': 2}", False),
        ("{values: [[1], [2], [3]]}", "[[1], [2]]", True),
        ("{min: 0.0, max: 1.0}", "{'>': 1.0}", False),
        ("{min: 0.0, max: 1.0}", "{'>=': 1.0}", True),
        ("{min: 0.0, max: 1.0}", "{'<': 0.0}", False),
        ("{min: 0.0, max: 1.0}", "{'==': 0.1234567}", True),
        ("{min: 0.0, max: 1.0}", "0.1234567", True),
        ("{min: 0.0, max: 1.0}", "a", False),
        ("{min: 0.0, max: 1.0}", "{'>': 0.3, '<': 0.3}", False),
        ("{min: 0.0, max: 1.0}", "{'>': 0.30001, '<': 0.30002}", True),
        ("{distribution: log_uniform_values, min: 1e-5, max: 1e-1}", "{'>': 2e-5, '<': 8e-5}", True),
        ("{min: 0, max: 1000000000}", "{'>': 5, '<': 7}", True),
        ("{min: 0, max: 1000000000}", "{'>': 5, '<': 6}", False),
        ("{min: 0, max: 1000000000}", "5.5", False),
        ("{min: 0, max: 10, q: 5}", "{'>': 1, '<': 4}", False),
        ("{min: 0, max: 10, q: 5}", "{'>': 1, '<': 6}", True),
    ],
)
def test_a_condition_that_can_never_hold_is_a_fault(
    load: Load, faults: Faults, other: str, condition: str, possible: bool
) -> None:
    text = f"parameters:\n  other: {other}\n  x: {{values: [1, 2], when: {{other: {condition}}}}}\n"
    if possible:
        load(text)
    else:
        [fault] = faults(text)
        assert fault.startswith("3: parameters.x.when.other: the condition can never hold: 'other' never is")


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("{'=>': 1}", "unknown comparison '=>' (did you mean '>'?)"),
        ("{}", "an empty condition"),
        ("{in: 3}", "'in' takes a list, but got 3"),
        ("{'>': a}", "'>' takes a number, but got 'a'"),
        ("{'>': true}", "'>' takes a number, but got True"),
    ],
)
@pytest.mark.parametrize("where", ["when", "forbid"])
def test_what_is_no_condition(faults: Faults, where: str, condition: str, message: str) -> None:
    """Whatever else the file has: a grid is counted and baselines are checked against what is forbidden."""
    when = f", when: {{a: {condition}}}" if where == "when" else ""
    [fault] = faults(f"""
        method: grid
        parameters:
          a: {{values: [1, 2]}}
          b: {{values: [1, 2]{when}}}
        baselines: [{{a: 1, b: 1}}]
        {f"forbid: [{{a: {condition}}}]" if where == "forbid" else ""}
    """)
    assert message in fault
    assert fault.startswith("4: parameters.b.when.a: " if where == "when" else "6: forbid[0].a: ")


@pytest.mark.parametrize("where", ["when", "forbid"])
@pytest.mark.parametrize(
    ("values", "condition", "said"),
    [
        ("[a, [a]]", "[a]", "['a'] may be the choice of 'a' that is this list, or the choices in it"),
        ("[1, [1, 2], 2, 3]", "[1.0, 2]", "(write {'==': [1.0, 2]} or {in: [1.0, 2]})"),
        ("[a, [a]]", "{'==': [a]}", ""),
        ("[a, [a]]", "{in: [a]}", ""),
        ("[a, b]", "[a]", ""),
        ("[[a], [b]]", "[a]", ""),
    ],
)
def test_a_list_that_may_mean_itself_or_its_entries(
    faults: Faults, values: str, condition: str, said: str, where: str
) -> None:
    when = f", when: {{a: {condition}}}" if where == "when" else ""
    entries = f"  a: {{values: {values}}}\n  b: {{values: [1, 2]{when}}}\n"
    forbid = "" if where == "when" else f"forbid: [{{a: {condition}, b: 1}}]\n"
    found = faults(f"parameters:\n{entries}{forbid}baselines: [{{unknown: 1}}]\n")
    about = [fault for fault in found if "may be the choice" in fault]
    assert len(about) == bool(said) and all(said in fault for fault in about)


@pytest.mark.parametrize("inner", ["[1]", "{b: 1}"])
def test_conditions_of_a_group_that_differ_in_a_truth_value(faults: Faults, inner: str) -> None:
    other = inner.replace("1", "true")
    (fault, *_) = faults(f"""
        parameters:
          a: {{values: [[1], [true], 3]}}
          group: {{when: {{a: {{'==': {inner}}}}}, parameters: {{x: {{value: 1, when: {{a: {{'==': {other}}}}}}}}}}}
    """)
    assert "'when' names 'a' here and, with another condition, in the group around it" in fault


def test_conditions_are_transitive_and_parameters_are_put_in_order(load: Load) -> None:
    space = load("""
        parameters:
          c: {values: [1, 2], when: {b: 1}}
          b: {values: [1, 2], when: {a: 1}}
          a: {values: [1, 2]}
    """).space
    assert space.names() == ["a", "b", "c"]
    assert [list(params.items()) for params in grid_of(space)] == [
        [("a", 1), ("b", 1), ("c", 1)],
        [("a", 1), ("b", 1), ("c", 2)],
        [("a", 1), ("b", 2)],
        [("a", 2)],
    ]
    assert space.complete({"a": 2, "b": 1, "c": 1}) == {"a": 2}


@pytest.mark.parametrize(
    ("entries", "circle"),
    [
        ("a: {value: 1, when: {a: 1}}", "a -> a"),
        ("a: {value: 1, when: {b: 1}}, b: {value: 1, when: {a: 1}}", "a -> b -> a"),
        ("z: {value: 1, when: {a: 1}}, a: {value: 1, when: {b: 1}}, b: {value: 1, when: {a: 1}}", "a -> b -> a"),
    ],
)
def test_circles(faults: Faults, entries: str, circle: str) -> None:
    [fault] = faults(f"parameters: {{{entries}}}")
    assert f"parameters.a.when: 'when' goes round in a circle: {circle}" in fault


def test_when_on_an_unknown_parameter(faults: Faults) -> None:
    [fault] = faults("parameters:\n  alpha: {value: 1}\n  b: {value: 1, when: {alpa: 1}}")
    assert fault == "3: parameters.b.when.alpa: 'when' names the unknown parameter 'alpa' (did you mean 'alpha'?)"


def test_a_faulty_parameter_is_not_unknown_to_others(faults: Faults) -> None:
    """One slip, one fault."""
    found = faults("""
        parameters:
          a: {min: 3, max: 1}
          b: {value: 1, when: {a: 2}}
        forbid: [{a: 2}]
        baselines: [{a: 2}]
    """)
    assert len(found) == 1 and found[0].startswith("2: parameters.a.min")


def test_whole_ranges_may_be_huge(load: Load) -> None:
    space = load("parameters: {x: {min: 0, max: 1000000000000}}").space
    assert space.searched() == [Parameter("x", Range(0, 10**12, integer=True))]
    assert size_of(space) == 10**12 + 1


def test_the_nearest_of_every_bell_curve_can_be_typed() -> None:
    rng = random.Random(3)
    for _ in range(500):
        name = rng.choice(["normal", "q_normal", "log_normal", "q_log_normal", "beta", "q_beta"])
        keys = ("a", "b") if "beta" in name else ("mu", "sigma")
        entry = {key: 10 ** rng.uniform(-4, 2 if "log" in name else 4) for key in keys}
        entry |= {"q": rng.choice([1, 5, 0.1, 10 ** rng.uniform(-8, 2)])} if name.startswith("q_") else {}
        if "mu" in entry:
            entry["mu"] *= rng.choice([-1, 0, 1])
        [fault] = parse_parameters({"x": {"distribution": name, **entry}}).faults
        near = fault.remedy.removeprefix("the nearest is ")
        again = parse_parameters(parse_source(f"x: {near}\n", "file").data)
        assert not again.faults, (name, entry, near, again.faults)
        assert not again.notes, (name, entry, near, again.notes)
