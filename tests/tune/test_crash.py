"""The process that runs Tune is killed: what is left is settled, and the search goes on, by either way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray
from e2e.support import Place, environment
from faults.support import everybody, kill
from waiting import wait_for
from warm import Warm

from tune.support import assert_sound, states, steps

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cluster")]

# As people write it: without `if __name__ == "__main__"`.
SCRIPT = """
import os
if "HPO_TESTS_WRITERS" in os.environ:
    import warm
    warm.use_given()
import json, sys, time
from pathlib import Path
import ray
from ray import tune
from hpo.tune import StudySearcher

class Slow(tune.Trainable):
    def setup(self, config):
        self.x = config["x"]
    def step(self):
        time.sleep(0.1)
        return {"score": self.x, "done": self.iteration + 1 == 15}
    def reset_config(self, config):
        self.x = config["x"]
        return True
    def save_checkpoint(self, folder):
        (Path(folder) / "state.json").write_text("{}")
    def load_checkpoint(self, folder):
        pass

how, address, folder, reuse = sys.argv[1:]
ray.init(address=address, log_to_driver=False, logging_level="ERROR")
if how == "restore":
    tuner = tune.Tuner.restore(f"{folder}/ray/experiment", Slow)
else:
    searcher = StudySearcher(
        name="small", metric={"name": "score", "goal": "maximize"}, method="random", budget={"trials": 4},
        baselines=[{"x": 0.5, "m": {"a": 1}}], home=f"{folder}/home",
    )
    tuner = tune.Tuner(
        Slow, param_space={"x": tune.uniform(0, 1), "m": tune.choice([{"a": True}, {"a": 1}])},
        # More at a time than can run: after a crash, Tune asks at once.
        tune_config=tune.TuneConfig(
            search_alg=searcher, num_samples=-1, max_concurrent_trials=3, reuse_actors=reuse == "True"
        ),
        run_config=tune.RunConfig(
            name="experiment", storage_path=f"{folder}/ray", verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1),
        ),
    )
tuner.fit()
"""


@pytest.mark.parametrize(("how", "reuse"), [("fit", False), ("restore", True)])
def test_a_killed_search_goes_on_to_its_exact_budget(place: Place, how: str, reuse: bool) -> None:
    """With Tune's default, an actor for each trial, and with actors that are used again."""
    script = place.folder / "script.py"
    script.write_text(SCRIPT)

    def command(how: str) -> list[str]:
        address = ray.get_runtime_context().gcs_address
        return [sys.executable, str(script), how, address, str(place.folder), str(reuse)]

    env = environment() | {"TUNE_GLOBAL_CHECKPOINT_S": "0.3", "PYTHONPATH": str(Path(__file__).parents[2])}
    env |= {"TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0"}
    process = subprocess.Popen(
        command("fit"), env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    try:
        reports = place.folder / "home" / "studies.journal"
        wait_for(reports.exists, "a study", process=process)
        wait_for(lambda: reports.read_bytes().count(b"intermediate_value") > 40, "reports", process=process)
    finally:
        kill(everybody(process.pid))
        process.communicate(timeout=30)
    left = [trial for trial in place.trials() if "outcome" not in trial.user_attrs]
    assert left

    # Nobody is killed in it: MLflow's writer may be a fork (tests/warm.py).
    env |= {"PYTHONPATH": f"{env['PYTHONPATH']}{os.pathsep}{Path(__file__).parents[1]}"}
    env |= {Warm.WRITERS.variable: Warm.WRITERS.serve()}
    done = subprocess.run(command(how), env=env, text=True, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(place) == {"COMPLETE": 4, "FAIL": len(left)}, done.stderr
    by_number = {trial.number: trial for trial in place.trials()}
    again = {trial.user_attrs["retry_of"]: trial for trial in by_number.values() if "retry_of" in trial.user_attrs}
    assert sorted(again) == [trial.number for trial in left]
    for trial in left:
        assert by_number[trial.number].user_attrs["interrupted"]
        assert (again[trial.number].params, again[trial.number].user_attrs["seed"]) == (
            trial.params, by_number[trial.number].user_attrs["seed"],
        )  # fmt: skip
    whole = [trial for trial in by_number.values() if trial.state.name == "COMPLETE"]
    assert [steps(trial) for trial in whole] == [list(range(1, 16))] * 4
    assert [trial.user_attrs["params"] for trial in whole if trial.params["x"] == 0.5] == [{"x": 0.5, "m": {"a": 1}}]
    assert_sound(place)
