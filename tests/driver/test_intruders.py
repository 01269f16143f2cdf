"""What people do to a study and to its MLflow by other programs: to dashboards, a study is a thing to edit."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from e2e.support import Place, assert_records_agree

from hpo.ledger.study.home import open_storage

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_an_experiment_that_was_renamed_runs_that_were_deleted_and_trials_that_were_added(place: Place):
    path = place.write("parabola", engine={"workers": 0})
    place.sweep(path)
    client = place.client()
    parent, children = place.runs()
    client.rename_experiment(parent.info.experiment_id, "mine")
    client.delete_run(children[2].info.run_id)
    study = optuna.load_study(study_name="small", storage=open_storage(place.home))
    study.enqueue_trial({"x": 1.0})
    study.enqueue_trial({"y": 3})
    assert place.sweep(path, "--extend", "1")["trials"]["complete"] == 7
    doctor = place.run("doctor", "small")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert client.get_experiment_by_name("small") is None
    client.rename_experiment(parent.info.experiment_id, "small")  # where it is looked for here
    assert_records_agree(place)
    assert "somebody else added it" in place.trials()[6].user_attrs["error"]


def test_a_study_that_is_deleted_under_a_sweep_ends_it_with_a_message(place: Place):
    path = place.write("slow", engine={"workers": 1})
    process = place.start("sweep", path)
    place.wait_for_trials(1, process)
    optuna.delete_study(study_name="small", storage=open_storage(place.home))
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 2, output
    assert "somebody deleted the study 'small'; this sweep stops" in errors
    assert "Traceback" not in errors
