"""A sweep from its file to both records, as a user runs it."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import socket
import time
from collections import Counter
from pathlib import Path

import pytest

from e2e.support import Place, assert_records_agree

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, dict]:
    """The sweep that ships, cut short."""
    place = Place(tmp_path_factory.mktemp("binary"), fresh=True)
    return place, place.sweep(ROOT / "search_spaces/binary.yaml", "-o", "budget.trials=14")


def test_binary_sweep_beats_its_baseline(binary):
    place, result = binary
    assert set(result) == {"study", "trials", "best", "seconds", "trials_per_second", "home"}
    assert result["trials"]["complete"] + result["trials"]["pruned"] == 14
    assert result["home"] == str(place.home.path.resolve())
    trials = place.trials("binary")
    assert trials[0].state.name == "COMPLETE"
    assert trials[0].params["optimizer"] == "adam"
    assert result["best"]["value"] == max(t.value for t in trials if t.state.name == "COMPLETE")
    assert result["best"]["value"] >= trials[0].value


def test_binary_records_agree(binary):
    place, _ = binary
    assert_records_agree(place, "binary")


def test_every_epoch_of_every_metric_is_recorded(binary):
    place, _ = binary
    complete = [trial for trial in place.trials("binary") if trial.state.name == "COMPLETE"]
    for trial in complete:
        assert sorted(trial.intermediate_values) == list(range(1, 21))
        assert trial.value == trial.intermediate_values[20]
        metrics = trial.user_attrs["history"]["metrics"]
        assert {"train_loss", "val_loss", "train_accuracy", "val_roc_auc", "val_f1"} <= set(metrics)
        assert {"seed", "epochs", "seconds", "mlflow_run_id"} <= set(trial.user_attrs)


def test_mlflow_run_says_what_a_reader_needs(binary):
    place, result = binary
    parent, children = place.runs("binary")
    best = children[result["best"]["number"]]
    series = place.trials("binary")[result["best"]["number"]].intermediate_values.values()
    assert best.data.metrics["best_val_accuracy"] == max(series)
    assert best.data.metrics["last_val_accuracy"] == result["best"]["value"]
    assert best.data.metrics["value"] == result["best"]["value"]
    assert best.data.metrics["duration_seconds"] > 0
    assert best.data.tags["hpo.state"] == "complete"
    assert best.data.params["optimizer"] == result["best"]["params"]["optimizer"]
    assert best.info.run_name == f"binary {result['best']['number']:04d}"
    assert parent.data.metrics["trials_complete"] == result["trials"]["complete"]
    assert parent.data.metrics["best_so_far_val_accuracy"] == result["best"]["value"]
    assert parent.data.tags["version.torch"]
    artifacts = {artifact.path for artifact in place.client().list_artifacts(parent.info.run_id)}
    assert {"sweep.yaml", "resolved.yaml", "versions.json"} <= artifacts


def test_inactive_parameters_are_in_no_record(binary):
    place, _ = binary
    _, children = place.runs("binary")
    for trial in place.trials("binary"):
        active = trial.params["optimizer"] in ("sgd", "rmsprop")
        assert ("momentum" in trial.params) is active
        assert ("momentum" in children[trial.number].data.params) is active


def test_best_writes_a_file_that_gives_the_same_value(binary, tmp_path: Path):
    place, result = binary
    shown = place.run("best", "binary", "--format", "yaml")
    file = tmp_path / "best.yaml"
    file.write_text(shown.stdout)
    again = Place(tmp_path).sweep(file)
    assert again["best"]["value"] == result["best"]["value"]
    assert again["trials"] == {"complete": 1, "pruned": 0, "failed": 0}


def test_list_and_text_forms(binary):
    place, result = binary
    listed = place.run("list").stdout.splitlines()
    assert listed[1].split()[:2] == ["binary", "val_accuracy"]
    assert f"(trial {result['best']['number']}, seed" in place.run("best", "binary").stdout


def test_mlflow_is_rebuilt_from_the_study(binary, tmp_path: Path):
    original, _ = binary
    shutil.copytree(original.home.path, tmp_path / "home")
    for name in ("mlflow.db", "mlflow.db-wal", "mlflow.db-shm"):
        (tmp_path / "home" / name).unlink(missing_ok=True)
    place = Place(tmp_path)
    place.sweep(ROOT / "search_spaces/binary.yaml", "-o", "budget.trials=14")
    _, children = place.runs("binary")
    trials = place.trials("binary")
    assert sorted(children) == [trial.number for trial in trials]
    for trial in trials:
        metrics = trial.user_attrs["history"]["metrics"]
        assert children[trial.number].data.metrics["val_loss"] == metrics["val_loss"][-1]


def test_same_seed_on_one_worker_gives_the_same_trials(tmp_path: Path):
    def trials(name: str) -> list:
        (tmp_path / name).mkdir()
        place = Place(tmp_path / name)
        place.sweep(ROOT / "search_spaces/binary.yaml", "-o", "budget.trials=12", "--workers", "1")
        return [
            (
                t.state,
                t.value,
                t.params,
                t.intermediate_values,
                t.user_attrs["history"]["metrics"],
                t.user_attrs["seed"],
            )
            for t in place.trials("binary")
        ]

    first, second = trials("first"), trials("second")
    assert first == second
    assert len({state for state, *_ in first}) == 2  # some were pruned, and the same ones


def test_regression_ships(tmp_path: Path):
    place = Place(tmp_path)
    result = place.sweep(ROOT / "search_spaces/regression.yaml", "-o", "budget.trials=4")
    assert result["trials"]["complete"] + result["trials"]["pruned"] == 4
    assert_records_agree(place, "regression")


def test_a_killed_sweep_goes_on_to_its_exact_budget(place: Place):
    path = place.write("slow", budget={"trials": 10})
    process = place.start("sweep", path)
    place.wait_for_trials(3)
    process.kill()
    process.communicate()
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
    place.wait_for_trials(1)
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
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MLflow can't be written for now, the sweep goes on" in done.stderr
    assert "have not reached MLflow; they are safe in the study" in done.stderr
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


def test_a_pruner_is_asked_although_reports_step_over_its_rungs(place: Place):
    path = place.write("sparse", budget={"trials": 20, "epochs": 20}, early_terminate={"type": "asha"})
    assert place.sweep(path)["trials"]["pruned"] > 0


def test_best_keeps_types_and_paths(place: Place, tmp_path: Path):
    values = {"a": {"values": ["1e5", "5E3"]}, "b": {"value": "1e-3"}, "x": {"min": 0.0, "max": 1.0}}
    place.sweep(place.write("typed", parameters=values))
    (tmp_path / "elsewhere").mkdir()
    other = Place(tmp_path / "elsewhere")
    file = other.folder / "best.yaml"
    file.write_text(place.run("best", "small", "--format", "yaml").stdout)
    best = place.run("best", "small", "--format", "json")
    assert other.sweep(file)["best"]["value"] == json.loads(best.stdout)["value"]


def test_a_study_goes_on_from_another_folder(place: Place):
    (place.folder / "table.csv").write_text("a,b\n1,2\n")
    path = place.write("parabola", data={"csv": "table.csv"})
    place.sweep(path)
    (place.folder / "below").mkdir()
    moved = Place(place.folder / "below", fresh=True)
    done = moved.run("sweep", path, "--extend", "1", home=place.home.path)
    assert done.returncode == 0, done.stderr


def test_a_second_driver_on_a_shared_storage_is_refused(place: Place, tmp_path: Path):
    path = place.write("slow", budget={"trials": 30})
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    first = place.start("sweep", path, "--storage", url)
    time.sleep(9)
    second = place.run("sweep", path, "--storage", url, home=tmp_path / "another")
    assert second.returncode == 2, second.stderr
    assert f"is being run by process {first.pid}" in second.stderr
    output, errors = first.communicate(timeout=120)
    assert first.returncode == 0, output + errors
    assert "30 complete" in output


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


def test_a_terminal_that_knows_ascii_only(place: Place):
    path = place.write("parabola", parameters={"x": {"min": 0.0, "max": 1.0}, "m": {"values": ["é", "ü"]}})
    done = place.run("sweep", path, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert "\\xe9" in done.stdout or "\\xfc" in done.stdout


def test_what_an_objective_prints_in_this_process(place: Place):
    path = place.write("prints", engine={"workers": 0})
    quiet = place.run("sweep", path, "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert len(place.run("sweep", path, "--json", "--extend", "1").stdout.splitlines()) == 1


def test_extend_adds_exactly_n(place: Place):
    path = place.write("parabola")
    assert place.sweep(path)["trials"]["complete"] == 6
    assert place.sweep(path)["trials"]["complete"] == 6  # its budget is spent
    assert place.sweep(path, "--extend", "3")["trials"]["complete"] == 9
    params = [trial.params["x"] for trial in place.trials()]
    assert len(set(params)) == 9  # the draws go on, they don't begin again


@pytest.mark.parametrize(("interrupts", "states"), [(1, {"COMPLETE"}), (2, {"COMPLETE", "FAIL"})])
def test_ctrl_c_leaves_a_study_that_goes_on(place: Place, interrupts: int, states: set[str]):
    path = place.write("slow", budget={"trials": 8})
    process = place.start("sweep", path)
    place.wait_for_trials(2)
    process.send_signal(signal.SIGINT)
    if interrupts == 2:
        os.read(process.stdout.fileno(), 1)  # its first line: the signals come one after the other
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, output + errors
    assert "continue  hpo sweep" in output
    assert {trial.state.name for trial in place.trials()} == states
    assert len(place.trials()) < 8
    assert_records_agree(place)
    assert place.sweep(path)["trials"]["complete"] == 8
    assert_records_agree(place)


def test_a_dead_workers_trial_is_run_again(place: Place):
    path = place.write("dies_once", data={"marker": str(place.folder / "marker")})
    result = place.sweep(path)
    assert result["trials"] == {"complete": 6, "pruned": 0, "failed": 0}
    assert place.trials()[1].user_attrs["attempts"] == 2
    assert_records_agree(place)


def test_a_trial_that_always_kills_its_worker_fails(place: Place):
    result = place.sweep(place.write("always_dies"))
    assert result["trials"] == {"complete": 6, "pruned": 0, "failed": 1}
    trial = place.trials()[1]
    assert trial.state.name == "FAIL"
    assert trial.user_attrs["error"] == "WorkerDied: exit code 7"
    assert_records_agree(place)


def test_failed_and_diverged_trials_are_recorded_and_the_sweep_goes_on(place: Place):
    result = place.sweep(place.write("mixed", engine={"workers": 1}))
    assert result["trials"] == {"complete": 5, "pruned": 1, "failed": 1}
    trials = place.trials()
    assert trials[1].user_attrs["error"] == "ValueError: one bad trial"
    assert "ValueError: one bad trial" in trials[1].user_attrs["traceback"]
    assert trials[2].state.name == "PRUNED"
    assert trials[2].user_attrs["diverged"] == 2
    _, children = place.runs()
    assert children[1].info.status == "FAILED"
    assert children[1].data.tags["hpo.error"] == "ValueError: one bad trial"
    assert children[2].data.tags["diverged"] == "epoch 2"
    assert all(math.isfinite(v) and abs(v) < 1e300 for run in children.values() for v in run.data.metrics.values())
    assert_records_agree(place)


def test_the_same_error_in_the_first_trials_stops_the_sweep(place: Place):
    done = place.run("sweep", place.write("raises", budget={"trials": 100}), "--json")
    assert done.returncode == 1
    assert "the first 5 trials all failed with the same error" in done.stderr
    assert "RuntimeError: no luck with" in done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["best"] is None
    assert result["trials"]["failed"] <= 6
    assert_records_agree(place)


def test_a_study_with_another_space_is_refused_and_left_alone(place: Place):
    path = place.write("parabola")
    place.sweep(path)
    before = place.home.journal.read_bytes()
    other = place.write("parabola", parameters={"x": {"min": -5.0, "max": 9.0}, "y": {"values": [1, 2]}})
    done = place.run("sweep", other)
    assert done.returncode == 2
    assert "parameters.x.high: the study has 5.0, the file has 9.0" in done.stderr
    assert "parameters.y" in done.stderr
    assert "-o name=" in done.stderr
    assert "Traceback" not in done.stderr
    assert place.home.journal.read_bytes() == before


def test_target_and_time_end_a_sweep_early(place: Place):
    path = place.write("parabola", metric={"name": "score", "goal": "maximize", "target": -1000.0})
    assert 1 <= place.sweep(path)["trials"]["complete"] <= 2
    timed = place.write("slow", name="timed", budget={"trials": 1000, "seconds": 4})
    result = place.sweep(timed)
    assert 1 <= result["trials"]["complete"] < 100
    cut = [trial for trial in place.trials("timed") if trial.user_attrs.get("stopped_by")]
    assert all(trial.state.name == "PRUNED" for trial in cut)
    assert_records_agree(place, "timed")


def test_an_objective_that_cannot_run_leaves_no_study(place: Place):
    path = place.write("broken")
    (place.folder / "my_objectives.py").write_text(
        "import hpo\n"
        "class Broken(hpo.TorchTask):\n"
        "    kind = 'binary'\n"
        "    def splits(self, data): raise hpo.UserError('the data set is on the moon')\n"
        "broken = Broken\n"
    )
    done = place.run("sweep", path, "-o", "metric.name=val_accuracy", "-o", "parameters={learning_rate: {value: 0.1}}")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "the data set is on the moon" in done.stderr
    assert "Traceback" not in done.stderr
    assert not place.home.journal.exists() or b"small" not in place.home.journal.read_bytes()


def test_in_this_process_with_a_database_as_storage(place: Place):
    path = place.write("parabola", engine={"workers": 0})
    url = f"sqlite:///{place.folder / 'studies.db'}"
    assert place.sweep(path, "--storage", url)["trials"]["complete"] == 6
    assert place.sweep(path, "--storage", url, "--extend", "1")["trials"]["complete"] == 7


def test_a_program_is_swept(place: Place):
    (place.folder / "train.py").write_text(
        "import json, os, sys\n"
        "x = float(sys.argv[1].split('=')[1])\n"
        "print('hello from', os.environ['HPO_TRIAL'])\n"
        "for epoch in range(1, 4):\n"
        "    print(json.dumps({'epoch': epoch, 'score': -x * x - 1 / epoch}))\n"
    )
    path = place.write("parabola")
    keys = ["-o", "objective=null", "-o", "program=train.py"]
    assert place.sweep(path, *keys)["trials"]["complete"] == 6
    _, children = place.runs()
    artifacts = {artifact.path for artifact in place.client().list_artifacts(children[0].info.run_id)}
    assert artifacts == {"output.log"}
    assert_records_agree(place)


def test_quiet_prints_nothing_and_plain_lines_when_piped(place: Place):
    path = place.write("parabola")
    quiet = place.run("sweep", path, "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    loud = place.run("sweep", path, "--extend", "2")
    assert "\x1b" not in loud.stdout
    assert "best score" in loud.stdout
    assert loud.stderr == ""
