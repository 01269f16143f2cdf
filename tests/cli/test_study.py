"""`hpo study show` and `hpo study rm`, as people call them."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from e2e.support import Place
from ledger.doctor.support import load, run_sweep

from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.restored import find_study

from .support import Hpo


@pytest.mark.slow
def test_show_and_remove(hpo: Hpo, tmp_path: Path) -> None:
    home = run_sweep(Place(tmp_path).home, load(tmp_path))
    at = ("--home", str(home.path))
    shown = hpo("study", "show", "small", *at)
    assert shown.code == 0
    assert "thing, maximize score" in shown.out and "5 trials; 5 done" in shown.out
    found = json.loads(hpo("study", "show", "small", *at, "--json").out)
    assert found["trials"] == {"complete": 4, "pruned": 1, "failed": 1, "interrupted": 1, "running": 0}
    assert found["used"]["trials"] == 5 and found["run_by"] == []
    assert found["mlflow"]["run_id"] == find_study(home, "small")[1].user_attrs["mlflow_run_id"]
    asked = hpo("study", "rm", "small", *at)
    assert asked.code == 2 and "--yes" in asked.err and "8 runs in MLflow, for good" in asked.out
    assert find_study(home, "small")
    done = hpo("study", "rm", "small", "--yes", *at)
    assert done.code == 0 and done.out.endswith("study 'small' was removed\n")
    for command in ("show", "rm"):
        again = hpo("study", command, "small", *at)
        assert again.code == 2 and "there is no study 'small'" in again.err


def test_what_hpo_did_not_make_is_refused(hpo: Hpo, tmp_path: Path) -> None:
    optuna.create_study(study_name="mine", storage=open_storage(Home(tmp_path)))
    for command in (("show", "mine"), ("rm", "mine", "--yes")):
        refused = hpo("study", *command, "--home", str(tmp_path))
        assert refused.code == 2 and "'mine' was not made by hpo" in refused.err
    assert open_storage(Home(tmp_path)).get_all_studies()
