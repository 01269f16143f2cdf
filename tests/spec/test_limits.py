"""What no record, library or machine could bear is refused where it is read, with its line; all else has no limit."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from hpo.objective.build import inspect
from hpo.spec import load as load_module
from hpo.spec.census import size_of
from hpo.spec.conditions import identity_of
from hpo.spec.contract import Contract, Known
from hpo.spec.faults import Bug, SpecError
from hpo.spec.source import read_source
from hpo.spec.space import Categorical, Range, Steps
from hpo.spec.sweep import Sweep
from hpo.spec.yaml_text import MOST_BYTES

from .mutants import nested
from .toy import TOY

Load = Callable[..., Sweep]
Faults = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('seed: 1\nname: "a\\0b"', "2: name: a text must not have the character NUL, but got 'a\\x00b'"),
        ('seed: 1\ndata: {x: [1, {y: "\\ud83d"}]}', "2: data.x[1].y: a text must not have halves of characters"),
        ('seed: 1\nparameters:\n  "x\\udc00": {value: 1}', "2: parameters: a text must not have halves of characters"),
        ('parameters:\n  x: {values: [a, "b\\0"]}', "2: parameters.x.values[1]: a text must not have the char"),
        ('description: "\\udfff"', "1: description: a text must not have halves of characters"),
        (f"seed: 1{'0' * 350}", "1: seed: a whole number has at most 300 digits, but this has about 351"),
        (f"seed: 1\nforbid: [{{x: {{'>': -1{'0' * 310}}}}}]", "2: forbid[0].x.>: a whole number has at most 300"),
        (f"data: {{n: 0x{'f' * 9000}}}", "1: data.n: a whole number has at most 300 digits, but this has about 10,8"),
        (f"seed: {'7' * 6000}", "1: seed: this is no int"),
        (f"name: {'語' * 67}", "1: name: must be at most 200 bytes long"),
        (f"name: {'𠀀' * 60}", "1: name: must be at most 200 bytes long"),
        ('parameters:\n  "x\\ty": {value: 1}', "2: parameters.x\ty: no parameter can go by this name: a name must"),
        ("engine: {memory_gb: 1e200}", "1: engine.memory_gb: must be at most 1e+09"),
        ("engine: {workers: 99999999}", "1: engine.workers: must be auto or at most 10000"),
        ("budget: {seconds: 1e12}", "1: budget.seconds: must be at most 1e+09"),
        ("budget: {trials: 1000000000000000000000}", "1: budget.trials: must be at most 9007199254740992"),
        ("early_terminate: {type: hyperband, max_iter: 9, s: 5000}", "1: early_terminate.s: must be at most 64"),
        ("parameters:\n  x: {min: -8.9e307, max: 1.0}", "2: parameters.x.min: min and max must be within ±1e+150"),
        ("parameters:\n  x: {min: 0.5, max: 1.6e308}", "2: parameters.x.max: min and max must be within ±1e+150"),
        ("parameters:\n  x: {min: 0.0, max: 1e200, q: 1e-9}", "2: parameters.x.max: min and max must be within"),
        ("parameters:\n  x: {min: 1e-300, max: 1.0, distribution: log_uniform_values}", "2: parameters.x.min: min >= "),
        ("parameters:\n  x: {min: 1, max: 600, distribution: log_uniform}", "2: parameters.x.max: min and max must be"),
        ("parameters:\n  x: {min: 0.0, max: 50.0, q: 1e-10}", "2: parameters.x.q: q >= 5e-08 must hold"),
        ("parameters:\n  x: {distribution: [], min: 1, max: 2}", "2: parameters.x.distribution: must be one of"),
        (f"forbid: [{', '.join(['{x: 1}'] * 1001)}]", "1: forbid: must have at most 1000 entries"),
        (f"baselines: [{', '.join(['{x: 1}'] * 1001)}]", "1: baselines: must have at most 1000 entries"),
        (f"parameters: {{{', '.join(f'p{i}: {{value: 1}}' for i in range(2001))}}}", "1: parameters: a sweep has at"),
    ],
)  # fmt: skip
def test_refused(faults: Faults, text: str, fault: str) -> None:
    [found] = faults(text)
    assert found.startswith(fault)


def test_pairs_of_escapes_are_one_character(load: Load) -> None:
    """As JSON writes what is beyond its 16 bits."""
    assert load('description: "\\ud83d\\ude80"').description == "🚀"


def test_what_comes_by_an_override_has_the_same_limits(faults: Faults, load: Load) -> None:
    assert faults("seed: 1", "description='a\0b'")[0].startswith("-o description=")
    assert "seed: a whole number has at most" in faults("seed: 1", f"seed=1{'0' * 400}")[0]
    assert "more than 64 levels deep" in faults("seed: 1", f"data.x={'[' * 90}{']' * 90}")[0]
    assert "more than 64 levels deep" in faults("seed: 1", f"data.{'x.' * 90}y=1")[0]
    for index in ("²", "٣", "1" * 5000, "-1", "+0"):
        [fault] = faults("baselines: [{x: 1}]", f"baselines.{index}.x=2")
        assert "leads nowhere" in fault
    assert load("baselines: [{x: 1}]", "baselines.0.x=2").baselines == ({"x": 2},)


@pytest.mark.parametrize(
    ("domain", "sound"),
    [
        ("{min: 16, max: 20, q: 0.5}", False),
        ("{min: 1.5, max: 9.5, q: 1}", False),
        ("{min: 16.0, max: 64.0}", False),
        ("{min: 16.0, max: 64.0, q: 16}", True),
        ("{min: 16, max: 64, q: 8.0}", True),
        ("{min: 8, max: 512, distribution: q_log_uniform_values, q: 2.5}", False),
        ("{values: [16, 16.5]}", False),
        ("{values: [16, 17.0]}", True),
    ],
)
def test_integers_are_integers(load: Load, faults: Faults, domain: str, sound: bool) -> None:
    text = f"metric: {{name: val_accuracy}}\nparameters: {{batch_size: {domain}}}"
    if sound:
        assert load(text, contract=TOY).space.names() == ["batch_size"]
    else:
        assert "whole number" in faults(text, contract=TOY)[0]


def test_what_is_long_costs_no_more_than_its_length(load: Load) -> None:
    """Each of these was quadratic, or made a list of all that it stands for."""
    numbers = ", ".join(map(str, range(1500)))
    lists = ", ".join(f"[64, {index}]" for index in range(800))
    tracemalloc.start()
    sweep = load(f"""
        parameters:
          epochs: {{min: 1, max: 1000000000}}
          a: {{values: [{numbers}]}}
          b: {{values: [{lists}], when: {{a: [{numbers}]}}}}
          fine: {{min: 0.0, max: 1.0, q: 1e-9, when: {{epochs: {{">": 10}}}}}}
          {" ".join(f"{chr(10)}          p{i}: {{value: 1, when: {{p{i + 1}: 1}}}}" for i in range(200))}
          p200: {{value: 1}}
        forbid: [{{b: [{lists}], a: [{numbers[:-6]}]}}]
    """)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 60e6
    assert sweep.max_epochs() == 10**9
    assert size_of(sweep.space) == (10 + (10**9 - 10) * (10**9 + 1)) * 800
    assert len(str(sweep.space["a"].domain)) < 150


def test_a_large_grid_without_a_budget_says_how_much_of_it_is_run(load: Load) -> None:
    sweep = load("method: grid\nparameters: {a: {min: 1, max: 2000}, b: {min: 0, max: 999}}")
    assert sweep.budget.trials == 100
    assert "no budget in the file: the first 100 of the grid's 2,000,000 configurations are run" in sweep.notes
    small = load("method: grid\nparameters: {a: {min: 1, max: 300}, b: {values: [1, 2]}}")
    assert (small.budget.trials, small.notes) == (600, ())


def test_comparisons_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def counted(value: object) -> str:
        nonlocal calls
        calls += 1
        return identity_of(value)

    monkeypatch.setattr("hpo.spec.space.identity_of", counted)
    values = [*range(3000), *map(str, range(3000)), *([index] for index in range(3000)), True, None]
    domain = Categorical(tuple(values))
    assert [domain.place_of(value) for value in values] == list(range(len(values)))
    assert (domain.place_of(7.0), domain.place_of([8.0]), domain.place_of(False)) == (7, 6008, None)
    assert calls < 5 * len(values)


def test_steps_are_a_sequence() -> None:
    steps = Range(0.0, 1.0, step=0.25).choices()
    assert isinstance(steps, Steps) and len(steps) == 5
    assert (list(steps), steps[-1], steps[1:3]) == ([0.0, 0.25, 0.5, 0.75, 1.0], 1.0, [0.25, 0.5])
    with pytest.raises(IndexError):
        steps[5]


PATHS = ["~nosuchuser/x.csv", "x" * 300, "y" * 256 + "/b"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("key", ["data.csv", "data.root", "objective", "program"])
def test_paths_that_no_file_can_have(tmp_path: Path, key: str, path: str) -> None:
    """With the real look at the objective."""
    data = f"data: {{{key[5:]}: '{path}'}}" if key.startswith("data") else ""
    named = "objective: objectives.binary" if data else f"{key}: '{path}{'.py' if key == 'objective' else ''}'"
    file = tmp_path / "sweep.yaml"
    file.write_text(f"seed: 1\n{data}\n{named}\nmetric: {{name: val_accuracy}}\nparameters: {{epochs: {{value: 1}}}}\n")
    with pytest.raises(SpecError) as caught:
        load_module.load_sweep(file, inspect)
    [fault] = [fault for fault in str(caught.value).splitlines() if f": {key}: " in fault]
    assert f"sweep.yaml:{2 if data else 3}: {key}: " in fault
    assert "there is no user" in fault or "can't be looked at: File name too long" in fault


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("# " + "x" * MOST_BYTES)
    with pytest.raises(SpecError, match="larger than a sweep file may be: 4 MB"):
        read_source(file)
    with pytest.raises(SpecError, match="larger than a sweep file may be"):
        read_source(Path("/dev/zero"))


def test_a_bug_is_told_apart(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody expected is a fault at the key that was read, and its cause is kept."""

    def broken(*arguments: object) -> None:
        raise KeyError("no such thing")

    monkeypatch.setattr("hpo.spec.parameters._domain", broken)
    with pytest.raises(Bug) as caught:
        load("seed: 1\nparameters:\n  x: {value: 1}")
    assert "sweep.yaml:3: parameters.x: hpo itself failed here, by KeyError: 'no such thing' (a bug" in str(
        caught.value
    )
    assert isinstance(caught.value.__cause__, KeyError)
    monkeypatch.undo()
    monkeypatch.setattr("hpo.spec.load._limits", broken)
    with pytest.raises(Bug, match=r"sweep.yaml:1: hpo itself failed"):
        load("seed: 1")


def test_many_faults_are_not_all_printed(faults: Faults) -> None:
    found = faults(f"parameters: {{{', '.join(f'p{i}: 1' for i in range(1500))}}}")
    assert len(found) == 201 and found[-1] == "... and 1,300 faults more"


def test_depth_is_counted_in_plain_data_as_well() -> None:
    """Ray Tune's adapter hands over mappings that no YAML was read for."""
    from hpo.spec.recordable import unrecordable

    assert list(unrecordable({"x": nested(60)})) == []
    [fault] = unrecordable({"x": nested(70)})
    assert "more than 64 levels deep" in fault.message


def test_a_list_in_the_place_of_a_choice_that_sets_defaults(faults: Faults) -> None:
    momentum = Known("float", 0.9, default_where={"optimizer": {"lion": 0.99}})
    contract = Contract({"optimizer": Known("choice", "sgd", choices=("sgd",)), "momentum": momentum}, TOY.metrics)
    text = """
        metric: {name: val_accuracy}
        parameters: {optimizer: {values: [sgd, [1]]}, momentum: {min: 0.0, max: 0.95}}
        baselines: [{optimizer: [1]}]
    """
    assert "optimizer must be one of sgd, but got [1]" in faults(text, contract=contract)[0]
