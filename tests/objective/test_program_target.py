"""A program that is a module, a command on PATH, or a file that is itself executed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hpo.events import Assignment, Finished, TrialSpec
from hpo.objective.program import ProgramObjective
from hpo.spec.sweep import Sweep

from .program_support import RecordingChannel

BODY = "import json, sys\nprint(json.dumps({'acc': float(len(sys.argv))}))\n"
MODULE = ["${interpreter}", "-m", "${program}", "${args}"]
ITSELF = ["${program}", "${args}"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `lab` with a module `fit`, and `lab.whole`, a package that can be run; a command on PATH."""
    for name in ("here/lab/whole", "here/lab/empty", "bin"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("lab/__init__.py", "lab/whole/__init__.py", "lab/empty/__init__.py"):
        (tmp_path / "here" / name).touch()
    for name in ("lab/fit.py", "lab/whole/__main__.py", "alone.py"):
        (tmp_path / "here" / name).write_text(BODY)
    for path in (tmp_path / "bin" / "fit-it", tmp_path / "here" / "fit.sh"):
        path.write_text(f"#!{sys.executable}\n{BODY}")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return tmp_path / "here"


def outcome(program: str, command: Sequence[str], folder: Path, beside: Path) -> list[object]:
    objective = ProgramObjective(program, command, "acc", {}, folder=folder, beside=beside)
    assert objective.check_data() == []
    channel = RecordingChannel()
    objective.run(Assignment(1, (TrialSpec(7, {"a": 1, "b": 2}, 42),)), channel)
    return [*channel.reports, channel.ending]


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("lab.fit", MODULE),
        ("lab.whole", MODULE),
        ("alone", MODULE),
        ("lab.fit", ["${env}", "${interpreter}", "-um", "${program}", "${args}"]),
        ("fit-it", ITSELF),
        ("fit-it", ["${env}", "A=1", "${program}", "${args}"]),
        ("fit.sh", ITSELF),
    ],
)
def test_runs(folder: Path, tmp_path: Path, program: str, command: Sequence[str]) -> None:
    assert outcome(program, command, folder, folder) == [(1, {"acc": 3.0}), Finished(7)]
    if program != "fit.sh":  # modules beside the sweep file; the command line's folder is another
        assert outcome(program, command, tmp_path, folder) == [(1, {"acc": 3.0}), Finished(7)]


def test_a_command_beside_this_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment that is not activated."""
    monkeypatch.setattr(sys, "executable", str(folder.parent / "bin" / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    objective = ProgramObjective("fit-it", ITSELF, "acc", {}, folder=folder, beside=folder)
    assert objective.check_data() == []


@pytest.mark.parametrize(
    ("program", "command", "said", "remedy"),
    [
        ("lab.fti", MODULE, "there is no module 'lab.fti' in ", "did you mean 'lab.fit'?"),
        ("lab.empty", MODULE, "a package without a __main__.py", ""),
        ("labb.fit", MODULE, "there is no module 'labb', neither installed nor in ", ""),
        ("lab/fit.py", MODULE, "must be a module's name, but got 'lab/fit.py'", "program: lab.fit"),
        ("fit_it", ITSELF, "neither a file fit_it nor a command of that name on PATH", ""),
        ("fti.sh", ITSELF, "neither a file fti.sh nor a command", "did you mean 'fit.sh'?"),
        ("alone.py", ITSELF, "may not be executed", "chmod +x ./alone.py"),
    ],
)
def test_faults(folder: Path, program: str, command: Sequence[str], said: str, remedy: str) -> None:
    [fault] = ProgramObjective(program, command, "acc", {}, folder=folder, beside=folder).check_data()
    assert said in fault.message
    assert fault.remedy == remedy


def test_an_installed_module_needs_no_file(folder: Path) -> None:
    assert ProgramObjective("json.tool", MODULE, "acc", {}, folder=folder, beside=folder).check_data() == []


def test_numbers_in_a_command(load: Callable[..., Sweep], faults: Callable[..., list[str]]) -> None:
    sweep = load("program: train.py\ncommand: [python, '${program}', --gpus, 2, --lr, 1e-5, '${args}', 0.5]")
    assert sweep.command == ("python", "${program}", "--gpus", "2", "--lr", "1e-05", "${args}", "0.5")
    assert faults("program: train.py\ncommand: [python, true, '${args}']") == [
        "2: command[1]: must be text, but got true"
    ]
    assert "must be text" in faults("program: train.py\ncommand: [python, null, '${args}']")[0]


def test_names_are_kept_as_they_are(load: Callable[..., Sweep], tmp_path: Path) -> None:
    assert load("program: lab.fit\ncommand: [python, -m, '${program}', '${args}']").config()["program"] == "lab.fit"
    (tmp_path / "train.py").touch()
    assert load("program: train.py").config()["program"] == str(tmp_path / "train.py")
