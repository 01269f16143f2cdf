"""`hpo refine --run`: a sweep, its refinement, and a second sweep, all of them real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e.support import Place, assert_records_agree

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("refined"))
    keys = {"parameters": {"x": {"min": -50.0, "max": 50.0}}, "description": "a test", "engine": {"workers": 0}}
    path = place.write("parabola", budget={"trials": 40}, **keys)
    place.sweep(path)
    return place


def test_it_goes_on_with_what_it_wrote(place: Place) -> None:
    done = place.run("refine", "small", "--run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "small-refined: 20 complete, 0 pruned, 0 failed" in done.stdout
    assert_records_agree(place, "small-refined")
    assert "\ndescription: a test\n" in Path(place.folder, "small-refined.yaml").read_text()
    first, second = place.trials(), place.trials("small-refined")
    best = max(first, key=lambda trial: trial.value or 0.0)
    assert second[0].params == best.params and second[0].value == best.value
    assert second[0].user_attrs["seed"] != best.user_attrs["seed"]
    assert max(trial.value or 0.0 for trial in second) >= (best.value or 0.0)
    assert all(abs(trial.params["x"]) < 35 for trial in second)
    again = place.run("refine", "small", "--run")  # nothing is left to do, and nothing is doubled
    assert again.returncode == 0 and len(place.trials("small-refined")) == 20
    assert "20 of 20 trials are done" in again.stdout


def test_an_extended_study_gets_another_name(place: Place) -> None:
    assert place.run("refine", "small", "--run").returncode == 0
    place.sweep(place.folder / "sweep.yaml", "--extend", "4")
    done = place.run("refine", "small")
    assert done.returncode == 0, done.stderr
    assert "study 'small-refined-2', 22 trials" in done.stdout
    assert Path(place.folder, "small-refined-2.yaml").exists()


def test_the_winner_of_a_confirmation_comes_first(place: Place) -> None:
    confirmed = place.run("confirm", "small", "--top", "2", "--seeds", "2", "--against", "0", "--json")
    assert confirmed.returncode == 0, confirmed.stderr
    winner = json.loads(confirmed.stdout.splitlines()[-1])["winner"]
    done = place.run("refine", "small", "--output", "confirmed.yaml")
    assert f"the best is trial {winner['number']} (the winner of its confirmation)" in done.stdout, done.stderr
    assert f"# trial {winner['number']}\n" in (place.folder / "confirmed.yaml").read_text().partition("baselines:\n")[2]
    refused = place.run("refine", "small.confirm")
    assert refused.returncode == 2 and "confirms 'small', and searches nothing" in refused.stderr


def test_the_shipped_binary_task(tmp_path: Path) -> None:
    """Conditional parameters, lists, clauses and a contract: the file passes `hpo check`."""
    place = Place(tmp_path, torch=True)
    settings = [
        "budget.trials=60",
        "parameters.epochs.value=1",
        "early_terminate=none",
        "confirm=null",
        "references=off",
    ]
    place.sweep(Path("binary"), *(part for setting in settings for part in ("-o", setting)))
    done = place.run("refine", "binary", "--trials", "9")
    assert done.returncode == 0, done.stderr
    checked = place.run("check", place.folder / "binary-refined.yaml")
    assert checked.returncode == 0, checked.stderr
    assert "budget    9 trials of at most 1 epoch" in checked.stdout
    assert done.stderr == ""
