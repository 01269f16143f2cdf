"""What a terminal shows in the first moments of `hpo sweep`."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from hpo.cli.opening import OpeningLine

CLEAR = "\r\x1b[K"


def on_terminal(arguments: list[str], folder: Path, **environment: str) -> str:
    """Run a command with a terminal for its output; return what it writes there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "hpo", *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        env=os.environ | {"TERM": "xterm"} | environment,
    ) as process:  # fmt: skip
        os.close(theirs)
        said = b""
        with suppress(OSError):  # how a terminal says that nobody has it open any more
            while part := os.read(ours, 65536):
                said += part
        process.wait(60)
    os.close(ours)
    return said.decode()


def test_the_first_thing_is_what_is_done_and_it_goes_before_a_fault_is_told(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("objective: thing\nmethood: tpe\n")
    said = on_terminal(["sweep", "wrong.yaml"], tmp_path)
    assert said.startswith(f"{CLEAR}checking wrong.yaml ...{CLEAR}wrong.yaml:1: ")
    assert on_terminal(["sweep", "wrong.yaml", "--quiet"], tmp_path).startswith("wrong.yaml:1: ")
    assert on_terminal(["sweep", "wrong.yaml"], tmp_path, TERM="dumb").startswith("wrong.yaml:1: ")


def test_it_gives_way_to_the_panel(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("def objective(trial):\n    return trial.params['x']\n")
    (tmp_path / "s.yaml").write_text(
        "objective: train.py:objective\nmetric: {name: score, goal: maximize}\nbudget: {trials: 1}\n"
        "engine: {workers: 0}\nparameters: {x: {values: [1, 2]}}\n"
    )
    said = on_terminal(["sweep", "s.yaml"], tmp_path)
    before, _, after = said.partition("opening the study s ...")
    assert before == f"{CLEAR}checking s.yaml ...{CLEAR}"
    assert after.startswith(CLEAR) and "1 complete" in after


def test_a_pipe_gets_nothing_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "log").open("w") as stream, OpeningLine(stream) as opening:
        opening.say("checking ...")
    assert (tmp_path / "log").read_text() == ""
