"""Sweeps that train their trials as stacks: the same results, the same records, the same promises."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

import hpo
from e2e.support import Place, assert_records_agree

pytestmark = pytest.mark.slow

TASKS = """
import os, signal
from pathlib import Path
import hpo


class Table(hpo.TorchTask):
    kind = "binary"

    def splits(self, data):
        import numpy as np
        rng = np.random.default_rng(0)
        x = rng.normal(size=(120, 4)).astype("float32")
        return hpo.split_arrays(x, (x[:, 0] + x[:, 1] > 0).astype(int), self.kind)

    def model(self, params, features, outputs):
        return hpo.mlp(params, features, outputs)


class Counting(Table):
    '''Its batches are looked at by Python, so that a stack can't be told from its members' calls.'''

    def batch(self, x, params, generator):
        if generator is not None and params["learning_rate"] == 0.02:
            marker = Path(os.environ["HPO_TEST_MARKER"])
            if len(marker.read_text()) < 1:
                marker.write_text("x")
                os.kill(os.getpid(), signal.SIGKILL)
        return x.float()


class Branching(Table):
    def model(self, params, features, outputs):
        import torch

        class Sign(torch.nn.Module):
            def forward(self, x):
                return x if x.sum() > 0 else 2 * x

        return torch.nn.Sequential(hpo.mlp(params, features, outputs), Sign())


table, counting, branching = Table, Counting, Branching
"""
SPACE = {
    "optimizer": {"values": ["sgd", "adam", "rmsprop"]},
    "learning_rate": {"distribution": "log_uniform_values", "min": 1e-3, "max": 1e-1},
    "activation": {"values": ["relu", "tanh"]},
    "loss": {"values": ["bce", "focal"]},
    "hidden_layers": {"values": [[8], [8, 4]]},
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, torch=True)


def write(place: Place, task: str = "table", **keys: Any) -> Path:
    (place.folder / "tasks.py").write_text(textwrap.dedent(TASKS))
    given = {
        "objective": f"tasks.py:{task}",
        "metric": {"name": "val_accuracy"},
        "budget": {"trials": 24, "epochs": 3},
        "engine": {"workers": 1, "cohort": 12},
        "parameters": SPACE,
    }
    return place.write("none", **(given | keys))


def test_cohorts_give_what_trials_give_alone(place: Place, tmp_path: Path):
    (tmp_path / "alone").mkdir()
    other = Place(tmp_path / "alone", torch=True)
    assert place.sweep(write(place))["trials"] == {"complete": 24, "pruned": 0, "failed": 0}
    other.sweep(write(other, engine={"workers": 1, "cohort": "off"}))
    alone = {repr(trial.user_attrs["params"]): trial for trial in other.trials()}
    sizes = set()
    for trial in place.trials():
        twin = alone[repr(trial.user_attrs["params"])]
        assert trial.user_attrs["epochs"] == twin.user_attrs["epochs"] == 3
        sizes.add(trial.user_attrs["info"].get("cohort", 1))
        if trial.user_attrs["seed"] == twin.user_attrs["seed"]:
            metrics = trial.user_attrs["history"]["metrics"]
            for name, values in twin.user_attrs["history"]["metrics"].items():
                assert metrics[name] == pytest.approx(values, abs=1e-4)
    assert max(sizes) > 4
    for found in (place, other):  # the number of rows that were measured is known of trials in stacks and of others
        result = hpo.load("small", found.home.path)
        assert result.best is not None and result.best.certainty.validation_rows == 24
        assert list(result.trials["run_id"]) == [run.info.run_id for _, run in sorted(found.runs()[1].items())]
        assert set(result.trials["cohort"]) == ({1} if found is other else sizes)
    assert_records_agree(place)


def test_a_seed_proposes_and_trains_the_same_again(place: Place, tmp_path: Path):
    (tmp_path / "again").mkdir()
    again = Place(tmp_path / "again", torch=True)
    for each in (place, again):
        each.sweep(write(each, method="tpe", early_terminate={"type": "asha", "min_iter": 1, "eta": 2}))
    first, second = place.trials(), again.trials()
    assert [trial.params for trial in first] == [trial.params for trial in second]
    assert [trial.intermediate_values for trial in first] == [trial.intermediate_values for trial in second]
    assert {trial.state.name for trial in first} == {"COMPLETE", "PRUNED"}
    assert_records_agree(place)


def test_baselines_are_the_first_trials(place: Place):
    baseline = {"optimizer": "adam", "learning_rate": 0.01, "activation": "relu", "loss": "bce", "hidden_layers": [8]}
    place.sweep(write(place, baselines=[baseline]))
    assert place.trials()[0].user_attrs["params"]["learning_rate"] == 0.01


def test_a_dead_worker_costs_its_cohort_nothing(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    marker = tmp_path / "marker"
    marker.write_text("")
    monkeypatch.setenv("HPO_TEST_MARKER", str(marker))
    space = SPACE | {"learning_rate": {"values": [0.01, 0.02]}, "hidden_layers": {"value": [8]}}
    result = place.sweep(write(place, "counting", parameters=space))
    assert result["trials"] == {"complete": 24, "pruned": 0, "failed": 0}
    assert marker.read_text() == "x"
    assert max(trial.user_attrs.get("attempts", 1) for trial in place.trials()) == 2
    assert_records_agree(place)


def test_what_no_stack_holds_trains_one_by_one_and_is_told_of_once(place: Place):
    path = write(place, "branching", parameters=SPACE | {"hidden_layers": {"value": [8]}})
    done = place.run("sweep", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("train one by one") == 1
    assert all(trial.user_attrs["info"].get("cohort", 1) == 1 for trial in place.trials())
    assert_records_agree(place)


def test_a_grid_is_used_up_exactly(place: Place):
    space = {"optimizer": {"values": ["sgd", "adam"]}, "activation": {"values": ["relu", "tanh", "elu"]}}
    result = place.sweep(write(place, method="grid", parameters=space, budget={"epochs": 2}))
    assert result["trials"]["complete"] == 6
    assert len({repr(trial.params) for trial in place.trials()}) == 6


def test_a_cohort_needs_a_torch_task(place: Place):
    done = place.run("check", place.write("parabola", engine={"cohort": 8}))
    assert done.returncode == 2
    assert "needs a Torch task" in done.stderr and "cohort: auto" in done.stderr


def test_the_plan_is_shown(place: Place):
    done = place.run("check", write(place, engine={"workers": 2}))
    assert "hidden_layers: 2 shapes" in done.stdout
    assert "every trial trains alone" in place.run("check", write(place, engine={"cohort": "off"})).stdout
