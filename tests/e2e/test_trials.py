"""What becomes of trials: failures, deaths, pruning, budgets; and what is printed of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from e2e.support import Place, assert_records_agree

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


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


def test_choices_that_look_the_same_are_different_everywhere(place: Place, tmp_path: Path):
    """In the objective, the study, MLflow, the best configuration as a sweep file, and when the grid goes on."""
    values = [True, "true", 1, "1", None, "null", [2], "[2]", {"a": 1}, '{"a": 1}', {"a": True}, "yes"]
    keys = {"parameters": {"v": {"values": values}}, "method": "grid", "engine": {"workers": 0}}
    path = place.write("which", **keys, budget={"trials": 5}, data={"best": json.dumps("true")})
    place.sweep(path)
    place.sweep(path, "-o", "budget.trials=20")
    trials, (_, runs) = place.trials(), place.runs()
    assert [trial.user_attrs["params"]["v"] for trial in trials] == values
    assert [trial.value for trial in trials] == [float(value == "true") for value in values]
    assert [runs[trial.number].data.params["v"] for trial in trials] == [json.dumps(value) for value in values]
    assert len({trial.params["v"] for trial in trials}) == len(values)
    assert_records_agree(place)
    (tmp_path / "elsewhere").mkdir()
    other = Place(tmp_path / "elsewhere")
    (other.folder / "best.yaml").write_text(place.run("best", "small", "--format", "yaml").stdout)
    assert other.sweep(other.folder / "best.yaml", "--workers", "0")["best"]["value"] == 1.0
    assert "v  'true'" in place.run("best", "small").stdout


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
    place.torch = True
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
