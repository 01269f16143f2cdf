"""`hpo.load`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from review.recorded import Trial, complete, recorded, sweep_of

import hpo
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import Outcome

SPACE = {"x": {"values": [[1, 2], 3]}, "fixed": {"value": "a"}}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    trials = [complete(0.5, x=[1, 2], fixed="a"), complete(0.75, x=3, fixed="a"), Trial({"x": 3, "fixed": "a"})]
    return recorded(Home(tmp_path / "home"), sweep_of(tmp_path, SPACE), trials)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_load(home: Home, tmp_path: Path, elsewhere: bool) -> None:
    where = {"home": tmp_path / "none", "storage": str(home.journal)} if elsewhere else {"home": home.path}
    result = hpo.load("small", **where)  # type: ignore[arg-type]
    assert (result.name, result.path) == ("small", where["home"])
    assert list(result.trials["number"]) == [0, 1, 2] and result.trials["x"][0] == [1, 2]
    assert (
        result.sweep["metric"] == {"name": "score", "goal": "maximize", "at": "last"}
        and result.sweep["method"] == "tpe"
    )
    best = result.best
    assert best is not None and (best.number, best.value, best.seed) == (1, 0.75, 7)
    assert best.params == {"x": 3, "fixed": "a"} and best.certainty.others == 1
    assert isinstance(result.optuna, optuna.Study) and result.optuna.best_value == 0.75
    assert "small" in repr(result) and "3 trials" in repr(result)


def test_a_frame_is_the_callers_own(home: Home) -> None:
    result = hpo.load("small", home.path)
    frame = result.trials
    frame["number"] = 0
    assert list(result.trials["number"]) == [0, 1, 2]
    assert list(result.curves.columns) == ["number", "step", "seconds"] and result.curves.empty  # nothing was reported


def test_reload_sees_what_has_come(home: Home) -> None:
    result = hpo.load("small", home.path)
    study = optuna.load_study(study_name="small", storage=open_storage(home))
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING))
    assert (len(result.trials), len(result.reload().trials)) == (3, 4)


def test_no_study(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(hpo.UserError, match="did you mean 'small'"):
        hpo.load("smal", home.path)
    with pytest.raises(hpo.UserError, match="there is none yet"):
        hpo.load("small")
    assert not (tmp_path / "mlruns").exists()
    optuna.create_study(study_name="foreign", storage=open_storage(home))
    with pytest.raises(hpo.UserError, match="'foreign' was not made by hpo"):
        hpo.load("foreign", home.path)


def test_no_complete_trial(tmp_path: Path) -> None:
    trials = [Trial({"x": 3, "fixed": "a"}, Outcome("failed", error="ValueError: no"))]
    result = hpo.load("small", recorded(Home(tmp_path / "home"), sweep_of(tmp_path, SPACE), trials).path)
    assert result.best is None and list(result.trials["reason"]) == ["ValueError: no"]


def test_which_model(home: Home) -> None:
    result = hpo.load("small", home.path)
    with pytest.raises(hpo.UserError, match="leave trial out"):
        result.model(1, confirmed=True)
    with pytest.raises(hpo.UserError, match="the study 'small' is not confirmed"):
        result.model(confirmed=True)
    assert result.confirmation is None


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"on": "validation"}, "a model is made on train or train.validation, but got 'validation'"),
        ({"trial": "1"}, "trial must be a whole number, 0 or more, but got '1'"),
        ({"trial": True}, "trial must be a whole number, 0 or more, but got True"),
        ({"output": 5}, "output must be a path, but got 5"),
        ({"confirmed": "yes"}, "confirmed must be True or False, but got 'yes'"),
        ({"allow_different": 1}, "allow_different must be True or False, but got 1"),
    ],
)
def test_no_such_model(home: Home, keys: dict[str, Any], words: str) -> None:
    with pytest.raises(hpo.UserError, match=words):
        hpo.load("small", home.path).model(**keys)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"study": 5}, "study must be text, but got 5"),
        ({"home": 5}, "home must be a path, but got 5"),
        ({"home": b"home"}, "home must be a path"),
        ({"storage": 5}, "storage must be text, but got 5"),
    ],
)
def test_no_such_place(home: Home, keys: dict[str, Any], words: str) -> None:
    with pytest.raises(hpo.UserError, match=f"hpo.load: {words}"):
        hpo.load(**{"study": "small", "home": home.path, **keys})


def test_it_is_there_without_being_imported() -> None:
    script = "import sys, hpo; assert 'load' in dir(hpo) and not {'pandas', 'optuna'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
