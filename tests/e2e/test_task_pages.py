"""The pages by task do what they say: files are written and commands run as they stand, and they show what comes out.

docs/your-table.md, your-code.md, your-script.md, and the first example of sweep-files.md.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from e2e.support import Place
from e2e.test_tutorial import BLOCK, SAVED, commands, shell
from hpo.objective.build import inspect
from hpo.spec.load import load_sweep

DOCS = Path(__file__).parents[2] / "docs"
FEW = ["-o", "budget.trials=3", "-o", "parameters.epochs.value=2", "-o", "confirm=null"]  # of the table's 100 trials


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def follow(place: Place, text: str) -> dict[str, str]:
    """Do what a page says, in its order. Returns what each command printed, by the command.

    A block of Python or YAML is a file where the sentence before it says so, and else only shown.
    """
    said: dict[str, str] = {}
    for found in BLOCK.finditer(text):
        kind, block = found.groups()
        if kind in ("python", "yaml") and (name := re.search(rf"{SAVED.pattern}:\s*\Z", text[: found.start()])):
            (place.folder / name[1]).write_text(block, encoding="utf-8")
        for command in commands(block) if kind == "sh" else ():
            _, *words = shlex.split(command)
            done = place.run(*words, *(FEW if words[:2] == ["sweep", "table"] else ()))
            assert done.returncode == 0, done.stdout + done.stderr
            said[command] = done.stdout
    return said


def ended_well(place: Place, *studies: str) -> None:
    for study in studies:
        assert {trial.state.name for trial in place.trials(study)} <= {"COMPLETE", "PRUNED"}


@pytest.mark.slow
def test_your_table(tmp_path: Path) -> None:
    place = Place(tmp_path, torch=True)
    (table,) = [block for kind, block in BLOCK.findall(text_of("tutorial.md")) if kind == "sh" and "to_csv" in block]
    shell(place, table)  # the tutorial's customers, as the page says
    said = follow(place, text_of("your-table.md"))
    (shown,) = [block for kind, block in BLOCK.findall(text_of("your-table.md")) if kind == "text"]
    check = said["hpo check table -o data.csv=churn.csv -o data.target=left"]
    assert shown.replace("/home/me", str(tmp_path)) in check
    assert len(said) == 4
    ended_well(place, "table", "churn")
    assert len(place.trials("churn")) == 20


@pytest.mark.slow
def test_your_code(tmp_path: Path) -> None:
    place = Place(tmp_path, torch=True)
    assert len(follow(place, text_of("your-code.md"))) == 4
    ended_well(place, "train", "tumours")
    assert len(place.trials("train")) == 10 and len(place.trials("tumours")) == 8


@pytest.mark.slow
def test_your_script(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert len(follow(place, text_of("your-script.md"))) == 2
    ended_well(place, "fit")
    assert [len(trial.intermediate_values) for trial in place.trials("fit")] == [10] * 6


@pytest.mark.slow
def test_the_first_sweep_file(tmp_path: Path) -> None:
    place = Place(tmp_path, torch=True)
    assert len(follow(place, text_of("sweep-files.md"))) == 2
    ended_well(place, "first")
    assert len(place.trials("first")) == 10


def test_the_file_with_all_keys_is_one(tmp_path: Path) -> None:
    (text,) = [block for kind, block in BLOCK.findall(text_of("sweep-files.md")) if kind == "yaml" and "retry" in block]
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    assert load_sweep(tmp_path / "sweep.yaml", inspect).retry.died == 2
