"""The commands that train nothing, and how the command line answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import optuna
import pytest
from commands import all_commands

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
    there = tmp_path / "there"
    there.mkdir()
    for arguments in ((), ("--home", str(there))):
        outcome = hpo("list", *arguments)
        assert outcome.code == 0 and outcome.out.startswith("no study in ")
        assert hpo("list", "--json", *arguments).out == "[]\n"
    assert not Path("mlruns").exists() and not list(there.iterdir())


@pytest.mark.parametrize(
    ("option", "said"), [("--home", "there is no folder {}"), ("--storage", "there is no journal file {}")]
)
def test_list_of_a_place_that_is_not_there(hpo: Hpo, tmp_path: Path, option: str, said: str) -> None:
    for more in ((), ("--json",)):
        outcome = hpo("list", option, str(tmp_path / "typo"), *more)
        assert outcome.code == 2 and outcome.err.startswith(f"hpo: {said.format(tmp_path / 'typo')} (")
        assert outcome.out == "" and not (tmp_path / "typo").exists()


def test_a_list_that_is_piped_is_whole(hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hpo.ledger.study.home import Home, open_storage

    monkeypatch.setenv("COLUMNS", "40")
    names = ["a study [bold]of[/bold] " + "mine " * 30 + "é", "short"]
    for name in names:
        study = optuna.create_study(study_name=name, storage=open_storage(Home(tmp_path)))
        study.add_trial(optuna.trial.create_trial(value=-1.234567e-08))
    outcome = hpo("list", "--home", str(tmp_path))
    assert outcome.code == 0
    head, *lines = outcome.out.splitlines()
    assert head.split() == ["study", "metric", "best", "complete", "pruned", "failed", "running", "latest"]
    assert sorted(line.partition("  ")[0] for line in lines) == sorted(names)
    assert all(" -1.23457e-08  1 " in line and line == line.rstrip() for line in lines)
    found = json.loads(hpo("list", "--json", "--home", str(tmp_path)).out)
    assert sorted(each["study"] for each in found) == sorted(names)
    assert found[0]["best"] == {"number": 0, "value": -1.234567e-08} and found[0]["trials"]["complete"] == 1


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
    for name in all_commands():
        outcome = hpo(*name.split(), "--help")
        assert outcome.code == 0 and "\\b" not in outcome.out and "\b" not in outcome.out, name


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
