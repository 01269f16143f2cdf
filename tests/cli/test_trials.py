"""`hpo trials` and what `hpo best` says besides, as commands."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from review.recorded import Trial, complete, recorded, sweep_of

from hpo.ledger.study.home import Home

from .support import Hpo

SPACE = {"x": {"min": 0.0, "max": 1.0}, "layers": {"values": [[64, 32], [8]]}}
MAIN = "from hpo.cli.main import main; main()"


def one(number: int) -> Trial:
    return complete(number / 100, x=0.01 * number, layers=[[64, 32], [8]][number % 2])


@pytest.fixture
def home(tmp_path: Path) -> str:
    sweep = sweep_of(tmp_path, SPACE, name="größe 1")
    return str(recorded(Home(tmp_path / "home"), sweep, map(one, range(30))).path)


def test_a_pipe_gets_everything(hpo: Hpo, home: str) -> None:
    outcome = hpo("trials", "größe 1", "--home", home)
    assert (outcome.code, outcome.err) == (0, "")
    head, *lines = outcome.out.splitlines()
    assert len(lines) == 30 and lines[0].split()[0] == "29" and "run_id" in head and "\x1b" not in outcome.out


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_files(hpo: Hpo, home: str, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"out put.{suffix}"
    file.write_text("what was there")
    chosen = ("--top", "3", "--columns", "number,layers")
    outcome = hpo("trials", "größe 1", "--output", str(file), *chosen, "--home", home)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    frame = getattr(pd, f"read_{suffix}")(file)
    assert list(frame.columns) == ["number", "layers"] and list(frame["number"]) == [29, 28, 27]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["größe 1.yaml", "home", file.name, "work"]


def test_forms_on_standard_output(hpo: Hpo, home: str) -> None:
    rows = list(csv.DictReader(hpo("trials", "größe 1", "--format", "csv", "--home", home).out.splitlines()))
    objects = json.loads(hpo("trials", "größe 1", "--format", "json", "--home", home).out)
    assert [row["layers"] for row in rows] == [json.dumps(record["layers"]) for record in objects]
    where = ("--where", "x >= 0.1 and x < 0.2", "--sort", "-x", "--top", "2", "--columns", "x")
    assert hpo("trials", "größe 1", *where, "--home", home).out.split() == ["x", "0.19", "0.18"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["größe"], "hpo: there is no study 'größe' in "),
        (["größe 1", "--where", "y > 1"], "hpo: --where 'y > 1': there is no column 'y'"),
        (["größe 1", "--sort", "layer"], "did you mean 'layers'?"),
        (["größe 1", "--columns", "x,durations"], "did you mean 'duration'?"),
        (["größe 1", "--top", "0"], "0 is not in the range"),
        (["größe 1", "--output", "trials"], "its name says no format (.csv, .json, "),
        (["größe 1", "--output", "no/such/folder.csv"], "can't be written: No such file or directory"),
        (["größe 1", "--output", ".", "--format", "csv"], "can't be written: Is a directory"),
    ],
)
def test_bad_input(hpo: Hpo, home: str, arguments: list[str], said: str) -> None:
    outcome = hpo("trials", *arguments, "--home", home)
    assert (outcome.code, outcome.out) == (2, "") and said in outcome.err
    assert list(Path.cwd().iterdir()) == []


def test_nothing_to_show(hpo: Hpo, home: str, tmp_path: Path) -> None:
    outcome = hpo("trials", "größe 1", "--where", "x > 5", "--home", home)
    assert (outcome.code, outcome.err) == (0, "no trial meets --where 'x > 5'\n")
    recorded(Home(Path(home)), sweep_of(tmp_path, SPACE), [])
    outcome = hpo("trials", "small", "--format", "csv", "--home", home)
    assert (outcome.code, outcome.err) == (0, "small has no trial yet\n") and outcome.out.startswith("number,state")


def in_a_terminal(arguments: list[str], width: int) -> str:
    """Run a command whose standard output is a terminal; return what it printed there."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(width), "TERM": "xterm-256color"}
    process = subprocess.Popen([sys.executable, "-c", MAIN, *arguments], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    process.wait()
    return said.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("width", [80, 300])
def test_a_terminal_gets_what_fits(home: str, width: int) -> None:
    lines = in_a_terminal(["trials", "größe 1", "--home", home], width).splitlines()
    table = lines[:21]
    assert max(map(len, table)) <= width and table[0].startswith("number  state") and table[20].split()[0] == "10"
    assert lines[-1] == "20 of 30 trials (--top 30 shows all)"
    assert ("run_id" in table[0]) == (width == 300)


def test_parquet_is_not_for_a_terminal(home: str) -> None:
    said = in_a_terminal(["trials", "größe 1", "--format", "parquet", "--home", home], 80)
    assert "name a file with --output" in said


def test_a_reader_that_goes_away(home: str) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        command = [sys.executable, "-c", MAIN, "trials", "größe 1", "--home", home]
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(write)
    assert done.stderr == ""


def test_best_says_how_sure_it_is(hpo: Hpo, home: str) -> None:
    text = hpo("best", "größe 1", "--home", home).out
    assert "how sure: not known: score is no share of the validation rows" in text.splitlines()[-1]
    found = json.loads(hpo("best", "größe 1", "--format", "json", "--home", home).out)
    assert found["number"] == 29 and found["certainty"]["measure"] == "unknown" and found["certainty"]["others"] == 29
