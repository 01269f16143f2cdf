"""Wherever on the command line a URL with a password stands, no command shows the password."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from command import run_here
from commands import all_commands

SECRET = "n0t-4-eyes"
URL = f"postgresql://me:{SECRET}@nowhere.invalid:1/x?password={SECRET}"
FILE = f"""
objective: gone.py:f
metric: {{name: score, goal: maximize}}
data: {{table: "{URL}"}}
parameters: {{x: {{min: 0.0, max: 1.0}}}}
"""
_NOT_FROM_THE_NET = {"data cifar10": ("--archive", "sweep.yaml")}


def command_lines() -> list[list[str]]:
    """Return, for each command, lines with the URL in the place of each argument and each option's value."""
    lines = []
    for words, command in all_commands().items():
        arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
        plain = [*words.split(), *("sweep.yaml" for _ in arguments), *_NOT_FROM_THE_NET.get(words, ())]
        lines += [[*plain, URL], [*plain, f"--{URL}"], [*plain, f"--no-such-option={URL}"]]
        for position in range(len(arguments)):
            line = list(plain)
            line[len(words.split()) + position] = URL
            lines.append(line)
        for option in command.params:
            if isinstance(option, click.Option) and not option.is_flag:
                lines += [[*plain, option.opts[-1], URL], [*plain, option.opts[-1], f"metric.goal={URL}"]]
    return lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    (folder / "sweep.yaml").write_text(FILE)
    return folder


def _named(line: list[str]) -> str:
    return " ".join(line).replace(URL, "URL")


@pytest.mark.parametrize("line", [["no-such-command"], *command_lines()], ids=_named)
def test_no_command_shows_it(folder: Path, line: list[str]) -> None:
    for tracking in (URL, f"nothing://me:{SECRET}@host/x"):
        done = run_here(line, folder, {**os.environ, "MLFLOW_TRACKING_URI": tracking})
        assert SECRET not in done.stdout + done.stderr
        assert done.returncode in (0, 1, 2) and "Traceback" not in done.stderr
