"""A new key, method, stopping rule or command is one entry in one file: made in a copy of the package, and used."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import hpo

FILE = """
objective: thing
metric: {name: score, goal: maximize, margin: 0.125}
method: luck
early_terminate: {type: after, steps: 7}
budget: {trials: 9, dollars: 2.5}
patron: somebody
parameters: {x: {values: [1, 2]}}
"""
RULE = '''
from typing import Literal

from hpo.stopping.base import Course, StoppingKeys, StoppingRule


class AfterKeys(StoppingKeys):
    """Stop after so many steps."""

    type: Literal["after"]
    steps: int = 5

    def rule(self, study: str, max_epochs: int | None) -> StoppingRule:
        return AfterRule(self.steps)


class AfterRule(StoppingRule):
    def __init__(self, steps: int) -> None:
        self._steps = steps

    def report(self, course: Course, step: int, value: float) -> None: ...

    def stops(self, course: Course) -> bool:
        return max(course.values) >= self._steps
'''
COMMAND = '''
import click


@click.command("greet")
def command() -> None:
    """Say hello."""
    click.echo("hello")
'''
USE = """
import dataclasses, json
from pathlib import Path
from hpo.events import Decision
from hpo.ledger.study.restored import sweep_of
from hpo.plan.planner import opening
from hpo.search.searcher import Searcher
from hpo.spec.load import load_sweep
from hpo.spec.named import Inspection
from hpo.spec.schema import json_schema

sweep = load_sweep(Path("new.yaml"), lambda named: Inspection(), ["budget.dollars=3.5"])
config, schema = json.loads(json.dumps(sweep.config())), json_schema()
properties, parts = schema["properties"], schema["$defs"]

assert (sweep.budget.dollars, sweep.budget.trials, sweep.patron, sweep.metric.margin) == (3.5, 9, "somebody", 0.125)
assert dataclasses.replace(sweep.budget, trials=10).dollars == 3.5
assert config["budget"]["dollars"] == 3.5 and config["patron"] == "somebody" and config["metric"]["margin"] == 0.125
assert "dollars" in parts["Budget"]["properties"] and "margin" in parts["Metric"]["properties"]
assert properties["patron"]["description"] == "who pays"
assert "luck" in properties["method"]["enum"] and "AfterKeys" in parts

read_back = sweep_of("new", {"id": "1", "identity": sweep.identity(), "sweep": config})
assert read_back.budget == sweep.budget

assert opening("luck", None, 1).least == opening("random", None, 1).least
searcher = Searcher(sweep)
proposal = searcher.propose()
searcher.begin(proposal.key, 0, None)
assert [searcher.report(proposal.key, step, 0.0, decide=True) for step in (6, 7)] == [Decision.CONTINUE, Decision.STOP]
"""


def add_to_class(file: Path, name: str, line: str) -> None:
    """Add a line at the end of a class."""
    text = file.read_text(encoding="utf-8")
    (found,) = (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == name)
    lines = text.splitlines()
    lines.insert(found.end_lineno or 0, f"    {line}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(Path(hpo.__file__).parent, folder / "hpo", ignore=shutil.ignore_patterns("__pycache__"))
    grammar, methods = folder / "hpo" / "spec" / "grammar.py", folder / "hpo" / "spec" / "methods.py"
    add_to_class(grammar, "Budget", "dollars: Annotated[float | None, Field(gt=0)] = None")
    add_to_class(grammar, "Metric", "margin: float | None = None")
    add_to_class(grammar, "PlainKeys", 'patron: Annotated[str | None, says("who pays")] = None')
    entry = '"luck": SearchMethod("optuna.samplers:RandomSampler", learns=False),'
    text = methods.read_text(encoding="utf-8")
    methods.write_text(text.replace('    "nsga2":', f'    {entry}\n    "nsga2":'), encoding="utf-8")
    (folder / "hpo" / "stopping" / "after.py").write_text(RULE, encoding="utf-8")
    (folder / "hpo" / "cli" / "greet.py").write_text(COMMAND, encoding="utf-8")
    (folder / "new.yaml").write_text(textwrap.dedent(FILE), encoding="utf-8")
    return folder


def run(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_keys_a_method_and_a_rule_that_are_new(folder: Path) -> None:
    run(folder, "-c", USE)


def test_a_command_that_is_new(folder: Path) -> None:
    assert run(folder, "-m", "hpo", "greet") == "hello\n"
    commands = run(folder, "-m", "hpo", "--help").partition("Commands:")[2]
    assert [line.split()[0] for line in commands.strip().splitlines()] == [
        "sweep", "check", "list", "trials", "best", "compare", "confirm", "model", "predict", "refine", "report",
        "doctor", "ui",
        "study", "data", "schema", "greet",
    ]  # fmt: skip
    assert "greet    Say hello." in commands
