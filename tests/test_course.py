"""The course's studies: files without fault, grids as large as they say, models that run, commands that there are."""

from __future__ import annotations

import random
import re
import shlex
from pathlib import Path

import click
import pytest
import torch
from test_objectives import inspect, task

from hpo.cli.main import cli
from hpo.spec.census import size_of
from hpo.spec.load import load_sweep
from hpo.spec.shipped import find_sweep_file
from hpo.training.contract import contract_of, with_defaults

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "search_spaces" / "course").glob("*.yaml"))
SHAPES = {
    "objectives.binary": (20,),
    "objectives.cifar10": (3, 32, 32),
    "objectives.multiclass": (64,),
    "objectives.regression": (10,),
    "objectives.sequence": (5, 2),
}


@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_a_study(name: str) -> None:
    sweep = load_sweep(find_sweep_file(f"course/{name}"), inspect)
    assert sweep.name == name and sweep.objective is not None
    if sweep.method == "grid":
        assert sweep.budget.trials == size_of(sweep.space)
    subject, rng = task(sweep.objective.removeprefix("objectives.")), random.Random(0)
    contract, outputs = contract_of(subject), 10 if subject.kind == "multiclass" else 1
    rows = torch.zeros(2, *SHAPES[sweep.objective])
    for _ in range(5):
        params = with_defaults(contract, sweep.space.draw(rng))
        made = subject.model(params, rows.shape[1:], outputs).eval()(rows)
        assert made.shape == ((2, outputs) if outputs > 1 else (2,))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_commands_at_its_head(path: Path) -> None:
    """Each has a command and options that there are."""
    lines = [line for line in path.read_text().splitlines() if re.match(r"#  +hpo ", line)]
    assert lines
    for line in lines:
        _, verb, *words = shlex.split(re.split(r" {4,}|\)", line[1:].strip())[0])
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None, line
        command.make_parser(click.Context(command)).parse_args(words)  # raises UsageError


def test_the_page_names_each_study() -> None:
    page = (ROOT / "docs" / "course.md").read_text()
    assert [path.stem for path in FILES if f"`course/{path.stem}`" not in page] == []
