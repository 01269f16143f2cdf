"""The commands that train nothing, and how the command line answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from .support import Hpo

HEAVY = ("torch", "numpy", "pandas", "sklearn", "scipy", "optuna", "mlflow", "ray", "sqlalchemy")
MAIN = "from hpo.cli.main import main; main()"


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["schema"], ["sweep", "--help"], *(["check", n] for n in ("binary", "cifar10", "regression"))],
)
def test_nothing_heavy_is_loaded(tmp_path: Path, arguments: list[str]) -> None:
    """Lazily imported modules are in sys.modules from the start; what counts is whether they were executed."""
    script = f"""
import sys, types
try:
    from hpo.cli.main import main
    main()
except SystemExit as ended:
    assert ended.code in (0, 2), ended.code
executed = [name for name in {HEAVY} if type(sys.modules.get(name)) is types.ModuleType]
inner = [name for name in sys.modules if name.partition(".")[0] in {HEAVY} and "." in name]
sys.exit(f"loaded {{executed}} {{inner[:5]}}" if executed or inner else 0)
"""
    done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_schema(hpo: Hpo) -> None:
    outcome = hpo("schema")
    assert (outcome.code, outcome.err) == (0, "")
    jsonschema.Draft202012Validator.check_schema(json.loads(outcome.out))


@pytest.mark.parametrize("name", ["binary", "search_spaces/binary.yaml", "regression"])
def test_shipped_files_are_found_from_anywhere(hpo: Hpo, name: str) -> None:
    outcome = hpo("check", name)
    assert (outcome.code, outcome.err) == (0, "")
    stem = Path(name).stem
    assert outcome.out.startswith(f"{stem}: objectives.{stem}, ")
    assert "workers" in outcome.out and "budget" in outcome.out
    assert list(Path.cwd().iterdir()) == []  # trains nothing, leaves nothing


def test_a_file_here_goes_before_one_that_ships(hpo: Hpo) -> None:
    Path("search_spaces").mkdir()
    Path("search_spaces/binary.yaml").write_text("methd: tpe\n")
    outcome = hpo("check", "search_spaces/binary.yaml")
    assert outcome.code == 2 and "search_spaces/binary.yaml:1: methd: unknown key 'methd'" in outcome.err


def test_check_shows_the_space(hpo: Hpo) -> None:
    Path("mine.yaml").write_text("""\
metric: {name: score, goal: maximize}
objective: mine.py
project: somewhere
method: grid
early_terminate: {type: asha, min_iter: 1, eta: 3}
budget: {epochs: 9}
parameters:
  a: {values: [x, y]}
  b: {values: [1, 2], when: {a: x}}
  c: {value: 0.5}
forbid: [{a: x, b: {">": 1}}]
baselines: [{a: y}]
""")
    Path("mine.py").write_text("def objective(trial): return 1.0\n")
    outcome = hpo("check", "mine.yaml")
    assert (outcome.code, outcome.err) == (0, "")
    for part in (
        "mine: mine.py, maximize score, by grid",
        "a : x, y",
        "b : 1, 2   when a is x",
        "c = 0.5",
        "never     a is x and b > 1",
        "first     ",
        "space     2 configurations",
        "budget    2 trials of at most 9 epochs",
        "stopping  asha: after epochs 1, 3 about the best 1/3 go on",
        "'project' is a key of W&B's service",
    ):
        assert part in outcome.out


def test_list_of_an_empty_home(hpo: Hpo, tmp_path: Path) -> None:
    for arguments in ((), ("--home", str(tmp_path / "nowhere"))):
        outcome = hpo("list", *arguments)
        assert outcome.code == 0 and outcome.out.startswith("no study in ")
    assert not Path("mlruns").exists() and not (tmp_path / "nowhere").exists()


def test_best_of_an_unknown_study(hpo: Hpo) -> None:
    for form in ("text", "yaml", "json"):
        outcome = hpo("best", "nothing", "--format", form)
        assert (outcome.code, outcome.out) == (2, "")
        journal = Path("mlruns/studies.journal").absolute()
        assert outcome.err.startswith(f"hpo: there is no study 'nothing' in {journal} (there is none yet: ")
    assert not Path("mlruns").exists()


def test_unknown_commands(hpo: Hpo) -> None:
    for word, meant in (("chek", "check"), ("sweeps", "sweep")):
        outcome = hpo(word)
        assert outcome.code == 2 and f"no such command '{word}' (did you mean '{meant}'?)" in outcome.err
    outcome = hpo("check", "binary", "--nonsense")
    assert outcome.code == 2 and "--nonsense" in outcome.err


def test_help_and_version(hpo: Hpo) -> None:
    for arguments in (("--help",), ("-h",)):
        outcome = hpo(*arguments)
        assert outcome.code == 0
        assert all(f"  {name} " in outcome.out for name in ("sweep", "check", "list", "best", "ui", "data", "schema"))
    assert hpo("--version").code == 0
    for name in ("sweep", "check", "list", "best", "ui", "data", "schema"):
        assert hpo(name, "--help").code == 0


@pytest.mark.parametrize("arguments", [["schema"], ["check", "binary"], ["--help"]])
def test_a_reader_that_goes_away(tmp_path: Path, arguments: list[str]) -> None:
    """`hpo schema | head -1`: silence, and no traceback."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *arguments], cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, text=True
        )
    finally:
        os.close(write)
    assert done.stderr == ""
    assert done.returncode == 1  # click's
