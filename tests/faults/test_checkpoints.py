"""Long Torch trials whose driver or worker is killed, or that are interrupted, go on from their checkpoints."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e.support import Place
from waiting import wait_for

from .support import assert_gone, assert_whole, everybody, family, finish, kill, started

pytestmark = pytest.mark.slow

EPOCHS = 44


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Where drivers and workers start as users' do. MLflow's writers are killed in tests/faults/test_kills.py."""
    return Place(tmp_path, cold=True, warm_writers=True)


TASK = """
import os, sys, time
from pathlib import Path
import hpo

def is_probe():
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name != "probe":
        frame = frame.f_back
    return frame is not None

class Slow(hpo.TorchTask):
    '''One batch an epoch, which takes a while; each is counted in a file. (Not those of a worker that measures what a
    stack gains.)'''
    kind = "binary"

    def splits(self, data):
        import numpy as np
        rng = np.random.default_rng(0)
        x = rng.normal(size=(120, 4)).astype("float32")
        return hpo.split_arrays(x, (x[:, 0] + x[:, 1] > 0).astype(int), self.kind)

    def model(self, params, features, outputs):
        return hpo.mlp(params, features, outputs)

    def batch(self, x, params, generator):
        if generator is not None and not is_probe():
            with Path(f"trained-{params['optimizer']}").open("a") as file:
                file.write("x")
            time.sleep(float(os.environ.get("HPO_TEST_SLEEP", "0.25")))
        return x.float()

slow = Slow
"""


ALONE = {"workers": 2, "cohort": "off"}
COHORT = {"workers": 1, "cohort": 4}
OPTIMIZERS = ("adam", "sgd", "lion", "nadam")  # of a cohort


def write(place: Place, optimizers: Sequence[str] = ("adam", "sgd"), engine: Mapping[str, Any] = ALONE) -> Path:
    (place.folder / "slow.py").write_text(TASK)
    return place.write(
        "none",
        objective="slow.py:slow",
        metric={"name": "val_accuracy"},
        method="grid",
        budget={"epochs": EPOCHS},
        engine=dict(engine),
        checkpoint_seconds=1,
        parameters={
            "optimizer": {"values": list(optimizers)},
            "batch_size": {"value": 128},
            "dropout": {"value": 0.2},
            "hidden_layers": {"value": [8]},
            "learning_rate": {"value": 0.01},
        },
    )


def metrics(place: Place) -> dict[str, dict[str, list[float]]]:
    """Return the completed trials' metrics of every epoch, by optimizer."""
    trials = [trial for trial in place.trials() if trial.state.name == "COMPLETE"]
    return {trial.params["optimizer"]: trial.user_attrs["history"]["metrics"] for trial in trials}


def trained(place: Place) -> Counter[str]:
    """Return how many epochs were trained in all, by optimizer."""
    found = place.folder.glob("trained-*")
    return Counter({path.name.removeprefix("trained-"): path.stat().st_size for path in found})


def kept(place: Place) -> dict[str, float]:
    """Return when each checkpoint was last written."""
    return {path.name: path.stat().st_mtime for path in place.home.checkpoints.rglob("*.pt")}


def newer(place: Place, than: dict[str, float]) -> bool:
    """Whether each of these checkpoints has been written again since."""
    return all(kept(place).get(name, 0) > moment for name, moment in than.items())


def test_trials_go_on_from_their_checkpoints(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(place)
    with started(place, "sweep", path) as process:
        wait_for(lambda: len(kept(place)) == 2, "a checkpoint of each trial", process=process)
        wait_for(lambda: min(trained(place).values()) >= 16, "so much that to start over would show", process=process)
        everyone = everybody(process.pid)
        kill(everyone[:1])
        assert_gone(everyone)
    first, first_kept = trained(place), kept(place)
    assert all(count < EPOCHS for count in first.values()), "the driver was killed too late"

    with started(place, "sweep", path) as process:
        # Both go on, and one worker is killed when each has a newer checkpoint.
        wait_for(lambda: newer(place, first_kept), "a newer checkpoint of each", process=process)
        (victim, _) = family(process.pid)["worker"]
        kill([victim])
        wait_for(lambda: _worker_is_new(process.pid, victim.pid), "another worker", process=process)
        before = trained(place)
        wait_for(lambda: all(count > before[name] for name, count in trained(place).items()), "epochs", process=process)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, output + errors
    assert "Traceback" not in output + errors
    assert kept(place), "neither trial was near its end"
    attempts = [trial.user_attrs.get("attempts", 1) for trial in place.trials()]
    assert sorted(attempts)[-2:] == [1, 2]

    place.torch = True  # it goes on to its end
    monkeypatch.setenv("HPO_TEST_SLEEP", "0.02")
    assert "Traceback" not in finish(place, path)
    assert_whole(place, 2)
    for name, count in trained(place).items():
        # Each of three interruptions costs at most what was trained since the checkpoint: four epochs a second.
        assert count <= EPOCHS + 3 * 5, (name, count)

    (tmp_path / "whole").mkdir()
    whole = Place(tmp_path / "whole", torch=True)
    monkeypatch.setenv("HPO_TEST_SLEEP", "0")
    finish(whole, write(whole))
    assert trained(whole) == {"adam": EPOCHS, "sgd": EPOCHS}
    assert metrics(place) == metrics(whole)  # bit for bit


@pytest.fixture(scope="module")
def whole_cohort(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[float]]]:
    """The metrics of a cohort that nothing interrupted."""
    whole = Place(tmp_path_factory.mktemp("whole"), torch=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPO_TEST_SLEEP", "0")
        finish(whole, write(whole, OPTIMIZERS, COHORT))
    assert trained(whole) == dict.fromkeys(OPTIMIZERS, EPOCHS)
    return metrics(whole)


@pytest.mark.parametrize("engine", [COHORT, {"type": "ray", "address": "local", **COHORT}], ids=["local", "ray"])
def test_the_members_of_a_cohort_go_on_from_their_checkpoints(
    place: Place,
    whole_cohort: dict[str, dict[str, list[float]]],
    monkeypatch: pytest.MonkeyPatch,
    engine: dict[str, Any],
):
    """Their worker is killed; they go on in smaller cohorts, which Ctrl-C pauses; then in one again."""
    monkeypatch.setenv("HPO_TEST_SLEEP", "0.15")  # for each member: 0.6 s an epoch of all
    path = write(place, OPTIMIZERS, engine)
    with started(place, "sweep", path) as process:
        wait_for(lambda: len(kept(place)) == 4, "a checkpoint of each trial", process=process)
        wait_for(lambda: min(trained(place).values()) >= 10, "so much that to start over would show", process=process)
        (victim,) = _workers(process.pid)
        kill([victim])
        before = trained(place)
        wait_for(lambda: _workers(process.pid) not in ([], [victim]), "another worker", process=process)
        wait_for(lambda: sum(trained(place).values()) >= sum(before.values()) + 8, "epochs", process=process)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, output + errors
    assert "Traceback" not in output + errors
    assert len(kept(place)) == 4, "they were too near their ends"
    assert [trial.user_attrs["attempts"] for trial in place.trials()] == [2] * 4

    place.torch = True  # it goes on to its end
    monkeypatch.setenv("HPO_TEST_SLEEP", "0.02")
    assert "Traceback" not in finish(place, path)
    assert_whole(place, 4)
    ended = [trial for trial in place.trials() if trial.state.name == "COMPLETE"]
    assert all(trial.user_attrs["info"]["cohort"] >= 2 for trial in ended)
    for name, count in trained(place).items():
        # The kill costs what was trained since the checkpoint, a second or so; the pause costs nothing.
        assert count <= EPOCHS + 4, (name, count)

    found = metrics(place)
    assert found.keys() == whole_cohort.keys() == set(OPTIMIZERS)
    for optimizer, of_trial in whole_cohort.items():
        for name, values in of_trial.items():  # a stack of another size rounds otherwise
            assert found[optimizer][name] == pytest.approx(values, rel=1e-4, abs=1e-5), (optimizer, name)


def _workers(driver: int) -> list[psutil.Process]:
    """Return the worker processes of a driver, also those below Ray's."""
    return [process for process in everybody(driver) if _output_of(process).startswith("worker-0.log")]


def _output_of(process: psutil.Process) -> str:
    with suppress(OSError):
        return Path(f"/proc/{process.pid}/fd/1").readlink().name
    return ""


def _worker_is_new(driver: int, old: int) -> bool:
    workers = family(driver)["worker"]
    return len(workers) == 2 and old not in [worker.pid for worker in workers]
