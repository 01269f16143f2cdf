"""What README claims and shows is so."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np
import pytest
from e2e.support import Place

import hpo
from hpo.cli.main import cli
from hpo.objective.build import inspect
from hpo.spec.load import load_sweep
from hpo.spec.schema import json_schema
from hpo.training.vocabulary.activations import ACTIVATIONS
from hpo.training.vocabulary.initializers import INITIALIZERS
from hpo.training.vocabulary.losses import LOSSES
from hpo.training.vocabulary.optimizers import OPTIMIZERS
from hpo.training.vocabulary.schedules import SCHEDULES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBERS = {"three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}


def block(language: str, words: str) -> str:
    """Return the block of code that has these words in it."""
    (found,) = (text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if words in text)
    return str(found)


def test_the_vocabulary_is_as_large_as_it_says() -> None:
    match = re.search(
        r"(\d+) optimizers, (\d+) activations, (\d+) losses, (\d+) schedules and (\d+) initializers", README
    )
    assert match is not None
    losses = {choice.name for registry in LOSSES.values() for choice in registry}
    sizes = [len(list(OPTIMIZERS)), len(list(ACTIVATIONS)), len(losses), len(list(SCHEDULES)), len(list(INITIALIZERS))]
    assert list(map(int, match.groups())) == sizes


def test_each_command_is_listed_and_each_that_is_listed_is_there() -> None:
    section = README.partition("## A sweep")[2].partition("\n## ")[0]
    listed = re.findall(r"^    hpo ([a-z]+) ?([a-z|0-9]*)", section, re.MULTILINE)
    context = click.Context(cli)
    assert {name for name, _ in listed} == set(cli.list_commands(context))
    for group in {name for name, _ in listed}:
        if isinstance(command := cli.get_command(context, group), click.Group):
            below = {each for name, words in listed if name == group for each in words.split("|")}
            assert below == set(command.list_commands(context))


def test_the_sweep_file_is_one(tmp_path: Path) -> None:
    text = block("yaml", "objectives.binary")
    (tmp_path / "sweep.yaml").write_text(text)
    sweep = load_sweep(tmp_path / "sweep.yaml", inspect)
    assert sweep.budget.trials == 200 and sweep.early_terminate.type == "asha"
    methods, rules = re.findall(r"# (random .*|none .*)$", text, re.MULTILINE)
    properties = json_schema()["properties"]
    assert {*methods.split(), "bayes"} == set(properties["method"]["enum"])
    assert {*rules.split(), None} == set(properties["early_terminate"]["anyOf"][1]["enum"])


def test_the_function_runs_and_json_has_the_keys_that_are_named(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(block("python", "def objective(trial)").replace("...", "0.9 - 1 / epoch"))
    (tmp_path / "sweep.yaml").write_text(
        "objective: train.py:objective\nmetric: {name: val_accuracy, goal: maximize}\nengine: {workers: 0}\n"
        "budget: {trials: 2}\nparameters: {x: {min: 0.0, max: 1.0}}\n"
    )
    result = Place(tmp_path).sweep(tmp_path / "sweep.yaml")
    assert result["best"]["value"] == pytest.approx(0.8)
    named = re.search(r"one line: `(\{\"study\".*?\})`\n?\(", README, re.DOTALL)
    assert named is not None
    names = re.findall(r'"(\w+)"', named.group(1))
    inner = {name for value in result.values() if isinstance(value, dict) for name in value}
    assert set(result) <= set(names) <= set(result) | inner


def test_the_torch_task_trains(tmp_path: Path) -> None:
    code = block("python", "class Mine")
    assert len(code.splitlines()) < 40
    draw = np.random.default_rng(0)
    module = ModuleType("mine")
    x = draw.normal(size=(200, 3))
    vars(module)["load_my_table"] = lambda: (x, (x[:, 0] > 0).astype(int))
    exec(compile(code, "mine.py", "exec"), vars(module))
    keys: dict[str, Any] = {"parameters": {"learning_rate": {"values": [0.01, 0.1]}}, "metric": "val_accuracy"}
    result = hpo.run(objective=vars(module)["objective"], trials=2, workers=0, home=tmp_path, progress=False, **keys)
    assert result.best is not None and result.best.value > 0.8


def test_the_objectives_are_as_many_as_it_says() -> None:
    words = re.search(r"\[objectives/\]\(objectives\) has (\w+) of them", README)
    assert words is not None
    shipped = [path for path in (ROOT / "objectives").glob("*.py") if path.stem != "__init__"]
    assert NUMBERS[words.group(1)] == len(shipped)


def test_the_packages_that_scripts_need_are_there() -> None:
    for script in re.findall(r"\bscripts/([a-z-]+)", README):
        assert (ROOT / "scripts" / script).exists(), script
