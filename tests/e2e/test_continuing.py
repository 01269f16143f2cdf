"""A study that goes on: after kills, interrupts, torn files, from elsewhere, by somebody else."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections import Counter
from pathlib import Path

import pytest
from faults.support import family
from waiting import wait_for

from e2e.support import Place, assert_records_agree, read_until

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def test_a_killed_sweep_goes_on_to_its_exact_budget(place: Place):
    path = place.write("held", budget={"trials": 10}, data={"go": str(place.folder / "go")})
    place.kill_in_mid_trial(path)
    left = Counter(trial.state.name for trial in place.trials())
    assert left["RUNNING"] >= 1
    done = place.run("sweep", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "going on with study 'small'" in done.stdout
    states = Counter(trial.state.name for trial in place.trials())
    assert states["COMPLETE"] + states["PRUNED"] == 10
    assert states["RUNNING"] == 0
    retried = {trial.user_attrs["retry_of"]: trial for trial in place.trials() if "retry_of" in trial.user_attrs}
    interrupted = [trial for trial in place.trials() if trial.user_attrs.get("interrupted")]
    assert {trial.number for trial in interrupted} == set(retried)
    for trial in interrupted:
        assert retried[trial.number].params == trial.params
        assert retried[trial.number].user_attrs["seed"] == trial.user_attrs["seed"]
    assert_records_agree(place)  # run ids included


def test_a_second_driver_is_told_who_runs_the_study(place: Place):
    path = place.write("slow", budget={"trials": 12})
    first = place.start("sweep", path)
    place.wait_for_trials(1, first)
    second = place.run("sweep", path)
    assert second.returncode == 2
    assert f"the study 'small' is being run by process {first.pid} on " in second.stderr
    first.communicate(timeout=120)
    assert first.returncode == 0
    assert len(place.trials()) == 12


def test_a_dead_mlflow_server_holds_up_nothing_and_is_made_good_later(place: Place):
    path = place.write("parabola")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"  # bound, but nobody listens
        done = place.run("sweep", path, "--json", env={"MLFLOW_TRACKING_URI": address})
    assert done.returncode == 3, done.stdout + done.stderr
    assert "MLflow can't be written for now, the sweep goes on" in done.stderr
    assert "have not reached MLflow; they are safe in the study" in done.stderr
    assert "have not reached MLflow" in done.stderr.splitlines()[-1]
    assert json.loads(done.stdout)["trials"]["complete"] == 6
    again = place.run("sweep", path)
    assert "MLflow brought level with the study: 6 trials written" in again.stdout
    _, children = place.runs()
    assert sorted(children) == list(range(6))
    assert {run.info.status for run in children.values()} == {"FINISHED"}


def test_a_torn_journal_is_mended(place: Place):
    path = place.write("parabola")
    place.sweep(path)
    journal = place.home.journal
    journal.write_bytes(journal.read_bytes()[:-30])  # a full disk, a power cut
    assert place.run("list").returncode == 0
    assert place.sweep(path, "--extend", "2")["trials"]["complete"] == 8
    assert place.run("list").returncode == 0
    assert_records_agree(place)


def test_a_new_study_of_an_old_name_has_its_own_runs(place: Place):
    path = place.write("parabola")
    place.sweep(path)
    place.home.journal.unlink()
    place.sweep(path)
    client = place.client()
    experiment = client.get_experiment_by_name("small")
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if run.data.tags["hpo.kind"] == "sweep"]
    assert len(parents) == 2
    families = Counter(run.data.tags.get("mlflow.parentRunId") for run in runs)
    assert [families[parent.info.run_id] for parent in parents] == [6, 6]


def test_a_study_goes_on_from_another_folder(place: Place):
    (place.folder / "table.csv").write_text("a,b\n1,2\n")
    path = place.write("parabola", data={"csv": "table.csv"})
    place.sweep(path)
    (place.folder / "below").mkdir()
    moved = Place(place.folder / "below", fresh=True)
    done = moved.run("sweep", path, "--extend", "1", home=place.home.path)
    assert done.returncode == 0, done.stderr


def test_a_second_driver_on_a_shared_storage_is_refused(place: Place, tmp_path: Path):
    path = place.write("slow", budget={"trials": 16})
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    first = place.start("sweep", path, "--storage", url)
    # Its first trial has ended: the study is there, and it runs it. (On a busy machine another line comes first.)
    assert next(line for line in first.stdout if line.startswith("[1/16]"))
    second = place.run("sweep", path, "--storage", url, home=tmp_path / "another")
    assert second.returncode == 2, second.stderr
    assert f"is being run by process {first.pid}" in second.stderr
    output, errors = first.communicate(timeout=120)
    assert first.returncode == 0, output + errors
    assert "16 complete" in output


def test_a_target_that_was_reached_and_time_that_is_spent_start_nothing(place: Place):
    path = place.write("parabola", metric={"name": "score", "goal": "maximize", "target": -1000.0})
    before = place.sweep(path)["trials"]
    again = place.run("sweep", path)
    assert "had reached its target" in again.stdout
    assert len(place.trials()) == sum(before.values())
    timed = place.write("slow", name="timed", budget={"trials": 1000, "seconds": 3})
    place.sweep(timed)
    count = len(place.trials("timed"))
    place.run("sweep", timed)
    assert len(place.trials("timed")) == count


def test_extend_counts_a_trial_whose_state_was_not_yet_written(place: Place):
    path = place.write("parabola", budget={"trials": 2})
    place.sweep(path)
    journal = place.home.journal
    lines = journal.read_text().splitlines(keepends=True)
    last_state = max(i for i, line in enumerate(lines) if '"op_code":6' in line)
    journal.write_text("".join(lines[:last_state]))  # as if the driver had died just before
    assert [trial.state.name for trial in place.trials()].count("RUNNING") == 1
    assert place.sweep(path, "--extend", "1")["trials"]["complete"] == 3
    assert_records_agree(place)


def test_extend_adds_exactly_n(place: Place):
    path = place.write("parabola")
    assert place.sweep(path)["trials"]["complete"] == 6
    assert place.sweep(path)["trials"]["complete"] == 6  # its budget is spent
    assert place.sweep(path, "--extend", "3")["trials"]["complete"] == 9
    parent, _ = place.runs()
    resolved = place.client().download_artifacts(parent.info.run_id, "resolved.yaml", str(place.folder))
    assert "trials: 9" in Path(resolved).read_text()  # what the records say was run
    params = [trial.params["x"] for trial in place.trials()]
    assert len(set(params)) == 9  # the draws go on, they don't begin again


def reporting(place: Place) -> bool:
    """Whether a trial is running that has reported."""
    return any(trial.state.name == "RUNNING" and trial.intermediate_values for trial in place.trials())


@pytest.mark.parametrize(("interrupts", "states"), [(1, {"COMPLETE"}), (2, {"COMPLETE", "FAIL"})])
def test_ctrl_c_leaves_a_study_that_goes_on(place: Place, interrupts: int, states: set[str]):
    path = place.write("slow", budget={"trials": 8})
    process = place.start("sweep", path)
    place.wait_for_trials(2, process)
    # Between two trials there is nothing to wait for, nor to be interrupted again.
    wait_for(lambda: reporting(place), "a trial that reports", process=process)
    process.send_signal(signal.SIGINT)
    if interrupts == 2:
        read_until(process, process.stdout, "again to stop at once")
        process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, output + errors
    assert re.search(r"^continue  .*\bhpo sweep ", output, re.MULTILINE)
    assert {trial.state.name for trial in place.trials()} == states
    assert len(place.trials()) < 8
    assert_records_agree(place)
    assert place.sweep(path)["trials"]["complete"] == 8
    assert_records_agree(place)


def test_a_study_with_another_space_is_refused_and_left_alone(place: Place):
    path = place.write("parabola")
    place.sweep(path)
    before = place.home.journal.read_bytes()
    other = place.write("parabola", parameters={"x": {"min": -5.0, "max": 9.0}, "y": {"values": [1, 2]}})
    done = place.run("sweep", other)
    assert done.returncode == 2
    assert "parameters.x.max: the study has 5.0, the file has 9.0" in done.stderr
    assert "parameters.y" in done.stderr
    assert "-o name=" in done.stderr
    assert "Traceback" not in done.stderr
    assert place.home.journal.read_bytes() == before


def test_ctrl_c_before_the_first_trial_leaves_no_study(place: Place):
    place.cold = True
    path = place.write("slow")
    process = place.start("sweep", path)
    wait_for(lambda: family(process.pid)["server"], "workers that are to start", process=process)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, output + errors
    assert "Traceback" not in errors
