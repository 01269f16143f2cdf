"""A command that is a fork (tests/forked_command.py) says and returns what it does as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import conftest
import pytest
from forked_command import can_fork, run_forked


@pytest.mark.parametrize("name", ["nowhere.yaml", "bad.yaml"])
def test_a_command(name: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("method: randm\n")
    command = [sys.executable, "-m", "hpo", "check", name]
    alone = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    forked = run_forked(["check", name], tmp_path, dict(os.environ), seconds=60)
    assert (forked.returncode, forked.stdout, forked.stderr) == (2, alone.stdout, alone.stderr)
    assert name in forked.stderr


ENDING = """
import atexit, sys, threading, time
import forked_command, warm
def run_command():
    def late():
        time.sleep(0.2)
        print("a thread")
    threading.Thread(target=late).start()
    atexit.register(print, "an exit function")
    print("a word", file=sys.stderr)
    {how}
warm.run_command = run_command
{ends}()
"""


@pytest.mark.parametrize("how", ["sys.exit(3)", "sys.exit('a reason')", "raise KeyError('a fault')", "pass"])
def test_its_end_is_that_of_any_python(how: str) -> None:
    def ended(ends: str) -> tuple[int, str, str]:
        command = [sys.executable, "-c", ENDING.format(how=how, ends=ends)]
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr.splitlines()[-1]

    assert ended("forked_command._run") == ended("warm.run_command")
    assert ended("forked_command._run")[1] == "a thread\nan exit function\n"


def test_what_is_read_at_the_start_needs_a_process_of_its_own() -> None:
    assert can_fork({"MLFLOW_TRACKING_URI": "x"}) and not can_fork({"PYTHONIOENCODING": "ascii"})


def test_the_longest_files_are_there() -> None:
    assert [name for name in conftest.LONGEST if not (Path(__file__).parent / name).is_file()] == []
