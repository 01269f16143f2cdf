"""Reading YAML: what counts as what, the line of every key, and overrides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpo.spec.faults import Fault, SpecError, did_you_mean, dotted
from hpo.spec.source import Source, apply_override, parse_source, parse_value, read_source
from hpo.spec.sweep import Sweep
from hpo.spec.yaml_text import dump_source

Load = Callable[..., Sweep]
Faults = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        ("-1.5e+3", -1500.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("1_000", 1000),
        ("0x10", 16),
        ("0", 0),
        ("-7", -7),
        (".inf", float("inf")),
        ("1:30", "1:30"),
        ("010", "010"),
        ("2024-01-01", "2024-01-01"),
        ("1e", "1e"),
        ("e5", "e5"),
        ("1e-5x", "1e-5x"),
        ("'1e-5'", "1e-5"),
        ("true", True),
        ("off", "off"),
        ("=", "="),
        ("0o17", 15),
        ("0o8", "0o8"),
        ("~", None),
        ("", None),
        ("[1, 1e-3, a]", [1, 1e-3, "a"]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
        ("{1: a, on: b}", {"1": "a", "on": "b"}),
    ],
)
def test_values(text: str, value: Any) -> None:
    found = parse_value(text)
    assert found == value and type(found) is type(value)
    assert parse_source(f"key: {text}\n", "x").data["key"] == value


@pytest.mark.parametrize(
    "text", ["!!python/object/apply:os.system [ls]", "!!binary aGk=", "!!set {a}", "!mine 3", "!!int abc", "!!bool 3"]
)
def test_tags_are_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"file:2: b: (the tag .* is not allowed|this is no (int|bool))"):
        parse_source(f"a: 1\nb: {text}\n", "file")


def test_merge_keys_and_anchors() -> None:
    source = parse_source(
        "a: &a {x: 1, y: 2}\n"
        "b: &b\n"
        "  <<: *a\n"
        "  y: 3\n"
        "c: {y: 4, <<: *a}\n"
        "d: {<<: [*b, {x: 9, z: 5}], w: 6}\n"
        "e: *b\n"
        "f: {<<: *b}\n"
        "g: *b\n",
        "file",
    )
    b = {"x": 1, "y": 3}
    assert source.data == {
        "a": {"x": 1, "y": 2},
        "b": b,
        "c": {"x": 1, "y": 4},
        "d": {"x": 1, "y": 3, "z": 5, "w": 6},
        "e": b,
        "f": b,
        "g": b,
    }
    assert source.lines["b", "x"] == 1
    assert source.lines["b", "y"] == 4
    assert source.lines["d", "y"] == 4
    source.data["b"]["y"] = 0
    assert source.data["e"]["y"] == 3  # no two keys share a value: an override changes one place


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("a: 1\nb: 2\na: 3\n", ["file:3: a: the key is repeated (first on line 1)"]),
        ("a: {b: 1, b: 2}\n", ["file:1: a.b: the key is repeated (first on line 1)"]),
        ("a: 1\na: 2\nb:\n  - {c: 1,\n     c: 1}\n", ["file:2: a: the key", "file:5: b[0].c: the key"]),
        ("a: {b: 1\n", ["file:2: not valid YAML: "]),
        ("a: b: c\n", ["file:1: not valid YAML: mapping values are not allowed here"]),
        ("a: 1\n\tb: 2\n", ["file:2: not valid YAML: found character '\\t'"]),
        ("a: *nowhere\n", ["file:1: not valid YAML: found undefined alias 'nowhere'"]),
        ("a: 1\n---\nb: 2\n", ["file:2: not valid YAML: "]),
        ("a: 1\n<<: 3\n", ["file:2: '<<' takes a mapping"]),
        ("? [a, b]\n: 1\n", ["file:1: a key must be a word"]),
        ("a: 1\nb: &x [1, *x]\n", ["file:2: it is nested more than 64 levels deep"]),
        ("a: 1\nb: &x {y: 1, <<: *x}\n", ["file:2: it is nested more than 64 levels deep, or an anchor holds itself"]),
        (f"a: 1\nb: {'[' * 3000}{']' * 3000}\n", ["file:2: it is nested more than 64 levels deep"]),
        (f"a: 1\nb: {'{a: ' * 65}1{'}' * 65}\n", ["file:2: it is nested more than 64 levels deep"]),
        (
            "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
            + "".join(
                f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
            ),
            ["it has more than 200,000 entries, counting what aliases repeat"],
        ),
        (
            "a: &a {x: 1, y: 2}\n"
            + "".join(
                f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 20)}]}}\n"
                for old, new in zip("abcde", "bcdef", strict=True)
            ),
            ["it has more than 200,000 entries, counting what aliases repeat"],
        ),
        ("a: 1\nb: 1e999\n", ["file:2: b: the number 1e999 would be infinite"]),
        ("a: 1\nb: [0.01e-400]\n", ["file:2: b[0]: the number 0.01e-400 would be zero"]),
        ('a: 1\nb: "\\UFFFFFFFF"\n', ["file:2: not valid YAML: "]),
        (f"%YAML {'1' * 5000}.1\n---\na: 1\n", ["file:1: not valid YAML: "]),
        (f"a: {'9' * 5000}\n", ["file:1: a: this is no int"]),
        ("", ["file: the file is empty (see search_spaces/binary.yaml"]),
        ("# nothing\n", ["file: the file is empty"]),
        ("- a\n- b\n", ["file:1: a sweep file is a mapping of keys"]),
        ("just words\n", ["file:1: a sweep file is a mapping of keys"]),
        ("a: \x00b\n", ["file: not a YAML text file: special characters are not allowed"]),
    ],
)
def test_what_is_no_sweep_file(text: str, messages: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        parse_source(text, "file")
    found = str(caught.value).splitlines()
    assert len(found) == len(messages)
    assert all(message in line for message, line in zip(messages, found, strict=True)), found


def test_unreadable_files(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: \xff\xfe\x00")
    for path, message in (
        (tmp_path / "nothing.yaml", "there is no such file"),
        (tmp_path, "this is a folder, not a sweep file"),
        (binary, "this is not a text file: byte 3 is not UTF-8 (a sweep file is YAML text)"),
    ):
        with pytest.raises(SpecError) as caught:
            read_source(path)
        assert str(caught.value) == f"{path}: {message}"


def test_windows_files(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("\ufeffa: 1\r\nb: ä\r\n".encode())
    source = read_source(path)
    assert source.data == {"a": 1, "b": "ä"} and source.lines["b",] == 2


def test_lines() -> None:
    source = parse_source("a: 1\nb:\n  - c: 1\n    d:\n      e: 2\n  - 5\n", "file")
    located = {path: source.locate(Fault("x", path)).line for path in source.lines}
    assert located == {
        (): 1, ("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 0, "c"): 3, ("b", 0, "d"): 4, ("b", 0, "d", "e"): 5, ("b", 1): 6
    }  # fmt: skip
    assert source.locate(Fault("x", ("b", 0, "d", "missing", "deeper"))).line == 4  # the closest that is there
    assert source.locate(Fault("x", ("nowhere",))).line == 1


def test_faults_are_rendered_by_line_with_remedies() -> None:
    error = SpecError(
        [Fault("no place"), Fault("later", ("b", 0, "c"), 7, "do it"), Fault("sooner", line=2)], source="file.yaml"
    )
    assert str(error).splitlines() == [
        "file.yaml:2: sooner",
        "file.yaml:7: b[0].c: later (do it)",
        "file.yaml: no place",
    ]
    assert dotted(("forbid", 0, "loss")) == "forbid[0].loss"
    assert did_you_mean("leraning_rate", ["learning_rate", "loss"]) == "did you mean 'learning_rate'?"
    assert did_you_mean("zzz", ["b", "a", "a"]) == "one of: a, b"
    assert did_you_mean("zzz", []) == ""


BASE = {
    "seed": 1,
    "early_terminate": "asha",
    "budget": {"trials": 3},
    "retry": None,
    "forbid": [{"a": 1}, {"b": 2}],
    "parameters": {"a.b": {"value": 1}, "g": {"parameters": {"x": {"min": 0}, "y.z": {"value": 2}}}},
}


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("seed=5", ("seed",), 5),
        ("seed = 5", ("seed",), 5),
        ("seed=", ("seed",), None),
        ("budget.trials=50", ("budget", "trials"), 50),
        ("budget.seconds=1e3", ("budget", "seconds"), 1000.0),
        ("new.deep.key=[1, a]", ("new", "deep", "key"), [1, "a"]),
        ("early_terminate={type: median}", ("early_terminate",), {"type": "median"}),
        ("early_terminate.type=median", ("early_terminate", "type"), "median"),
        ("early_terminate.eta=4", ("early_terminate",), {"type": "asha", "eta": 4}),
        ("retry.died=0", ("retry", "died"), 0),
        ("forbid.1.b=7", ("forbid", 1, "b"), 7),
        ("forbid.0={c: 1}", ("forbid", 0), {"c": 1}),
        ("parameters.a.b={value: 9}", ("parameters", "a.b"), {"value": 9}),
        ("parameters.a.b.value=9", ("parameters", "a.b", "value"), 9),
        ("parameters.g.x.min=9", ("parameters", "g", "parameters", "x", "min"), 9),
        ("parameters.g.y.z.value=9", ("parameters", "g", "parameters", "y.z", "value"), 9),
        ("parameters.g.parameters.x.min=9", ("parameters", "g", "parameters", "x", "min"), 9),
        ("parameters.g.when={a.b: 1}", ("parameters", "g", "when"), {"a.b": 1}),
        ("name=a=b", ("name",), "a=b"),
    ],
)
def test_overrides(text: str, path: tuple[Any, ...], value: Any) -> None:
    import copy

    source = Source("file", copy.deepcopy(BASE), {("seed",): 1})
    assert apply_override(source, text) is None
    found: Any = source.data
    for part in path:
        found = found[part]
    assert found == value
    located = source.locate(Fault("x", path))
    assert (located.source, located.line) == (f"-o {text}", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed", "an override is written key.path=value"),
        ("=3", "an override is written key.path=value"),
        ("seed=[1", "not valid YAML: "),
        ("seed={a: 1, a: 2}", "not valid YAML: the key is repeated"),
        ("seed=!!python/name:os.system", "not valid YAML: "),
        ("forbid.2.a=1", "'2' leads nowhere in what stands there"),
        ("forbid.x=1", "'x' leads nowhere"),
    ],
)
def test_overrides_that_cannot_be_applied(faults: Faults, text: str, message: str) -> None:
    [fault] = faults("parameters: {a: {values: [1, 2]}, b: {values: [1, 2]}}\nforbid: [{a: 1}, {b: 2}]", text)
    assert fault.startswith(f"-o {text}: ") and message in fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("budgt.trials=3", "-o budgt.trials=3: budgt: unknown key 'budgt' (did you mean 'budget'?)"),
        ("budget.trails=3", "-o budget.trails=3: budget.trails: unknown key 'trails' (did you mean 'trials'?)"),
        ("budget.trials=x", "-o budget.trials=x: budget.trials: must be a whole number, but got 'x'"),
        ("parameters.x=3", "-o parameters.x=3: parameters.x: must be a mapping, but got 3 (write x: {value: 3})"),
        ("baselines.0.x=3", "-o baselines.0.x=3: baselines: must be a list, but got {'0': {'x': 3}}"),
        ("method=bayse", "-o method=bayse: method: must be one of random, grid, tpe, gp, cmaes"),
    ],
)
def test_faults_of_overridden_keys_name_the_override(faults: Faults, text: str, fault: str) -> None:
    [found] = faults("budget: {trials: 2}", text)
    assert found.startswith(fault)


@pytest.mark.parametrize("value", ["7", "seven", "[1]", "true"])
def test_a_value_that_is_no_mapping_is_not_replaced_in_silence(faults: Faults, value: str) -> None:
    found = faults(f"budget: {value}", "budget.trials=5")
    assert "-o budget.trials=5: budget: 'trials' leads nowhere in what stands there" in found
    assert any("budget: must be a mapping" in fault for fault in found)


@pytest.mark.parametrize(
    ("entry", "texts", "found"),
    [
        ("{values: [1, 2], probabilities: [0.5, 0.5]}", ["value=3"], "{value: 3}"),
        ("{min: 0, max: 9, q: 3, distribution: int_uniform}", ["value=3"], "{value: 3}"),
        ("{min: 1, max: 9, distribution: log_uniform_values}", ["values=[3, 4]"], "{values: [3, 4]}"),
        ("{values: [1, 2], distribution: categorical}", ["values=[3, 4]"], "{values: [3, 4]}"),
        ("{values: [1, 2], description: why}", ["min=3", "max=4"], "{min: 3, max: 4}"),
        ("{value: 1}", ["max=4", "min=3"], "{min: 3, max: 4}"),
        ("{value: 1}", ["min=3", "max=4", "value=2"], "{value: 2}"),
        ("{min: 0, max: 9}", ["max=4"], "{min: 0, max: 4}"),
        ("{value: {min: 0, values: 2}}", ["value.min=1"], "{value: {min: 1, values: 2}}"),  # a mapping for a value
    ],
)
def test_one_way_to_say_what_a_parameter_is_replaces_another(load: Load, entry: str, texts: list[str], found: str):
    expected = load(f"parameters: {{x: {found}}}").space
    assert load(f"parameters: {{x: {entry}}}", *(f"parameters.x.{text}" for text in texts)).space == expected
    nested = "parameters: {{g: {{parameters: {{value: {}}}}}}}"  # a parameter by that name
    overrides = [f"parameters.g.parameters.value.{text}" for text in texts]
    assert load(nested.format(entry), *overrides).space == load(nested.format(found)).space


def test_what_the_override_lacks_is_its_own_fault(faults: Faults) -> None:
    [fault] = faults("parameters: {x: {values: [1, 2]}}", "parameters.x.min=3")
    assert fault.endswith("parameters.x: the key 'max' is missing: a range needs both")


def test_a_later_override_wins(load: Load, faults: Faults) -> None:
    assert load("seed: 1", "seed=2", "seed=3").seed == 3
    assert load("early_terminate: asha", "early_terminate={type: median}", "early_terminate.n_startup_trials=7")
    [fault] = faults("seed: 1", "budget.trials=x", "budget={trials: y}")
    assert fault.startswith("-o budget={trials: y}: budget.trials")


def test_an_override_leaves_other_lines_alone(faults: Faults) -> None:
    found = faults("seed: x\nbudget: {trials: y}\n", "budget.seconds=-1")
    assert [line.partition(": ")[0] for line in found] == ["1", "2", "-o budget.seconds=-1"]


@pytest.mark.parametrize("word", ["off", "on", "yes", "No", "OFF", "y", "n"])
def test_booleans_are_true_and_false_only(word: str) -> None:
    data = parse_source(f"a: [{word}, light]\nb: {word}\nc: [true, False, TRUE]", "file").data
    assert data == {"a": [word, "light"], "b": word, "c": [True, False, True]}
    assert parse_source(dump_source(data), "file").data == data
    assert yaml.safe_load(dump_source(data)) == data  # others' readers, too
