"""`hpo refine` as a command."""

from __future__ import annotations

from pathlib import Path

import pytest
from review.recorded import complete, recorded, sweep_of

from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.restored import origin_of

from .support import Hpo

SPACE = {"x": {"min": 0.0, "max": 1.0}, "y": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1.0}}


@pytest.fixture
def home(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text("def f(trial): return -abs(trial.params['x'] - 0.3)\n")
    keys = {
        "objective": f"{tmp_path / 'mine.py'}:f",
        "name": "größe 1",
        "budget": {"trials": 60},
        "engine": {"workers": 0},
    }
    sweep = sweep_of(tmp_path, SPACE, **keys)
    trials = [complete(-abs(i / 60 - 0.3), x=i / 60, y=10 ** -(4 * (i * 7 % 60) / 60)) for i in range(60)]
    return str(recorded(Home(tmp_path / "home"), sweep, trials).path)


def test_it_writes_a_file_that_check_takes(hpo: Hpo, home: str) -> None:
    outcome = hpo("refine", "größe 1", "--home", home)
    assert (outcome.code, outcome.err) == (0, "")
    assert [path.name for path in Path.cwd().iterdir()] == ["größe 1-refined.yaml"]
    assert "  x  narrowed: 0.1" in outcome.out and "good trials lie in" in outcome.out
    assert "study 'größe 1-refined', 30 trials (half of the study's 60 trials)" in outcome.out
    assert "sweep 'größe 1-refined.yaml' --home" in outcome.out
    checked = hpo("check", "größe 1-refined.yaml")
    assert (checked.code, checked.err) == (0, "") and "budget    30 trials" in checked.out


def test_a_file_is_never_replaced_unasked(hpo: Hpo, home: str) -> None:
    file = Path("größe 1-refined.yaml")
    assert hpo("refine", "größe 1", "--home", home).code == 0
    text = file.read_text()
    assert hpo("refine", "größe 1", "--home", home).code == 0  # the same once more
    file.write_text(f"{text}# my own words\n")
    outcome = hpo("refine", "größe 1", "--home", home)
    assert (outcome.code, outcome.out) == (2, "") and "is there already (--force replaces it" in outcome.err
    assert file.read_text().endswith("my own words\n")
    assert hpo("refine", "größe 1", "--force", "--home", home).code == 0 and file.read_text() == text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["größe"], "hpo: there is no study 'größe' in "),
        (["größe 1", "--output", "no/such/folder.yaml"], "can't be written: No such file or directory"),
        (["größe 1", "--output", "."], "can't be written: "),
        (["größe 1", "--output", f"{'x' * 300}.yaml"], "can't be looked at: File name too long"),
        (["größe 1", "--trials", "0"], "0 is not in the range"),
        (["größe 1", "--trials", "1.5"], "is not a valid integer"),
    ],
)
def test_bad_input(hpo: Hpo, home: str, arguments: list[str], said: str) -> None:
    outcome = hpo("refine", *arguments, "--home", home)
    assert (outcome.code, outcome.out) == (2, "") and said in outcome.err
    assert list(Path.cwd().iterdir()) == []


def test_a_budget_of_its_own(hpo: Hpo, home: str, tmp_path: Path) -> None:
    file = tmp_path / "out put.yaml"
    assert hpo("refine", "größe 1", "--trials", "7", "--output", str(file), "--home", home).code == 0
    assert "budget: {trials: 7}  # in place of the study's 60 trials" in file.read_text()


def test_a_module_that_only_its_own_folder_has(hpo: Hpo, tmp_path: Path) -> None:
    """A path in the file is absolute; a module is looked for beside the file."""
    (there := tmp_path / "there").mkdir()
    (there / "mine_only_here.py").write_text("def f(trial): return 0.0\n")
    sweep = sweep_of(there, {"x": {"min": 0.0, "max": 1.0}}, objective="mine_only_here:f")
    home = recorded(Home(tmp_path / "home"), sweep, [complete(index / 20, x=index / 20) for index in range(20)])
    storage = open_storage(home)
    storage.set_study_user_attr(storage.get_study_id_from_name("small"), "origin", origin_of(sweep))
    outcome = hpo("refine", "small", "--home", str(home.path))
    assert outcome.code == 2 and "there is no module 'mine_only_here'" in outcome.err
    assert f"the study's own file lay in {there}: " in outcome.err and list(Path.cwd().iterdir()) == []
    assert hpo("refine", "small", "--home", str(home.path), "--output", str(there / "small-refined.yaml")).code == 0
