"""Sweep files without `parameters`: who may leave them out, and what such a file can't say."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.objective.build import inspect
from hpo.spec.faults import SpecError
from hpo.spec.load import load_sweep
from hpo.spec.sweep import Sweep

CODE = """
import functools
from sampling import sample

def direct(trial):
    return trial.suggest_float("x", 0, 1)

def typed(trial: "optuna.Trial"):
    return sample(trial)

def inner(trial):
    def ask(name):
        return trial.suggest_int(name, 0, 1)
    return ask("x")

def helped(trial):
    return sample(trial)

class Objective:
    def __init__(self, scale=1):
        self.scale = scale
    def __call__(self, trial):
        return trial.suggest_float("x", 0, self.scale)

instance = Objective()
partial = functools.partial(lambda data, trial: trial.suggest_float("x", 0, data), 3)

def plain(trial):
    return trial.params["x"]
"""
FILE = "objective: train.py:{}\nmetric: {{name: accuracy}}\nbudget: {{trials: 3}}\n"


def load(folder: Path, name: str, more: str = "") -> Sweep:
    (folder / "train.py").write_text(CODE)
    (folder / "sampling.py").write_text("def sample(trial):\n    return trial.suggest_categorical('c', [1, 2])\n")
    path = folder / "sweep.yaml"
    path.write_text(FILE.format(name) + more)
    return load_sweep(path, inspect)


@pytest.mark.parametrize("name", ["direct", "typed", "inner", "helped", "instance", "partial"])
def test_a_function_that_asks_needs_no_parameters(name: str, tmp_path: Path) -> None:
    sweep = load(tmp_path, name)
    assert sweep.traits.define_by_run and not sweep.space.parameters
    assert sweep.identity()["parameters"] == {} and sweep.duplicates == "replicate"


def test_with_parameters_it_is_a_sweep_like_any_other(tmp_path: Path) -> None:
    sweep = load(tmp_path, "direct", "parameters: {x: {min: 0.0, max: 0.5}}\n")
    assert not sweep.traits.define_by_run and sweep.duplicates == "skip"


def faults(folder: Path, name: str, more: str = "") -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(folder, name, more)
    return [f"{fault.line}: {fault.message} ({fault.remedy})" for fault in caught.value.faults]


def test_who_asks_for_nothing_needs_parameters(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, "plain")
    assert "the key 'parameters' is missing" in fault and "trial.suggest_float" in fault


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("method: grid\n", "4: a grid needs to know the space"),
        ("baselines: [{x: 0.5}]\n", "4: 'baselines' needs to know the space"),
        ("forbid: [{x: 0.5}]\n", "4: 'forbid' needs to know the space"),
        ("duplicates: skip\n", "4: no configuration can be known to be new before it is trained"),
        ("parameters: {}\n", "4: there is nothing to search: no parameter is named"),
        ("repeats: 3\n", "4: 'repeats' needs a Torch task"),
    ],
)
def test_what_needs_a_space_that_is_known(more: str, words: str, tmp_path: Path) -> None:
    assert any(words in fault for fault in faults(tmp_path, "direct", more))
