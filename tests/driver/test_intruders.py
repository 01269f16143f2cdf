"""What people do to a study and to its MLflow by other programs: to dashboards, a study is a thing to edit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from e2e.support import Place, assert_records_agree
from mlflow import MlflowClient
from waiting import wait_for

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


def delete_study(place: Place) -> None:
    optuna.delete_study(study_name="small", storage=open_storage(place.home))


def delete_journal(place: Place) -> None:
    place.home.journal.unlink()


@pytest.mark.parametrize(
    ("delete", "code", "said"),
    [
        (delete_study, 2, "somebody deleted the study 'small'; this sweep stops"),
        (delete_journal, 1, "somebody deleted, replaced or cut the journal"),
    ],
)
def test_records_that_are_deleted_under_a_sweep_end_it_with_a_message(
    place: Place, delete: Callable[[Place], None], code: int, said: str
):
    path = place.write("slow", engine={"workers": 2})
    process = place.start("sweep", path)
    place.wait_for_trials(1, process)
    runs = MlflowClient(place.home.tracking_uri)
    (experiment,) = runs.search_experiments(filter_string="name = 'small'")
    running = "attributes.status = 'RUNNING' and tags.`hpo.kind` = 'trial'"
    wait_for(lambda: runs.search_runs([experiment.experiment_id], running), "a run that runs", process=process)
    delete(place)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == code, output
    assert said in errors
    assert "Traceback" not in errors
    parent, children = place.runs()
    assert "RUNNING" not in {run.info.status for run in children.values()}
    assert parent.info.status == "FAILED"
    for run in (parent, *(run for run in children.values() if run.info.status == "FAILED")):
        assert said in run.data.tags["hpo.error"]
