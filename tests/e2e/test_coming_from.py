"""docs/coming-from.md does what it says: each of its files is written, and each of its commands run, as it stands."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from e2e.support import Place
from e2e.test_tutorial import BLOCK, SAVED, commands

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"


@pytest.mark.parametrize("section", ["Optuna", "Ray Tune", "W&B"])
def test_what_a_section_shows_runs(section: str, tmp_path: Path) -> None:
    place = Place(tmp_path)
    (text,) = [part for part in PAGE.read_text(encoding="utf-8").split("\n## ") if part.startswith(f"{section}\n")]
    ran = []
    for found in BLOCK.finditer(text):
        kind, block = found.groups()
        if kind in ("python", "yaml"):
            (*_, name) = SAVED.findall(text[: found.start()])
            (tmp_path / name).write_text(block, encoding="utf-8")
        for command in commands(block) if kind == "sh" else ():
            done = place.run(*shlex.split(command)[1:])
            assert done.returncode == 0, done.stdout + done.stderr
            ran.append(shlex.split(command)[1])
    assert "sweep" in ran
    study = {"Optuna": "optuna", "Ray Tune": "tune", "W&B": "wandb"}[section]
    states = {trial.state.name for trial in place.trials(study)}
    assert states <= {"COMPLETE", "PRUNED"} and "COMPLETE" in states
