"""The sweeps that ship, from their files to both records, as a user runs them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from e2e.support import Place, assert_records_agree

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, dict]:
    """The sweep that ships, cut short."""
    place = Place(tmp_path_factory.mktemp("binary"), fresh=True, torch=True)
    return place, place.sweep(ROOT / "search_spaces/binary.yaml", "-o", "budget.trials=14", "--no-confirm")


def test_binary_sweep_beats_its_baseline(binary):
    place, result = binary
    said = {"study", "trials", "best", "diagnoses", "references", "confirmation"}
    keys = said | {"seconds", "trials_per_second", "home"}
    assert set(result) == keys and result["confirmation"] is None
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
    assert best.data.metrics["hpo/best_val_accuracy"] == max(series)
    assert best.data.metrics["hpo/last_val_accuracy"] == result["best"]["value"]
    assert best.data.metrics["hpo/value"] == result["best"]["value"]
    assert best.data.metrics["hpo/duration_seconds"] > 0
    assert best.data.tags["hpo.state"] == "complete"
    assert best.data.params["optimizer"] == result["best"]["params"]["optimizer"]
    assert best.info.run_name == f"binary {result['best']['number']:04d}"
    assert parent.data.metrics["hpo/trials_complete"] == result["trials"]["complete"]
    assert parent.data.metrics["hpo/best_so_far_val_accuracy"] == result["best"]["value"]
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
    again = Place(tmp_path, torch=True).sweep(file)
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
    place = Place(tmp_path, torch=True)
    place.sweep(ROOT / "search_spaces/binary.yaml", "-o", "budget.trials=14", "--no-confirm")
    _, children = place.runs("binary")
    trials = place.trials("binary")
    assert sorted(children) == [trial.number for trial in trials]
    for trial in trials:
        metrics = trial.user_attrs["history"]["metrics"]
        assert children[trial.number].data.metrics["val_loss"] == metrics["val_loss"][-1]


def test_same_seed_on_one_worker_gives_the_same_trials(tmp_path: Path):
    def trials(name: str) -> list:
        (tmp_path / name).mkdir()
        place = Place(tmp_path / name, torch=True)
        place.sweep(ROOT / "search_spaces/binary.yaml", "-o", "budget.trials=12", "--workers", "1", "--no-confirm")
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
    place = Place(tmp_path, torch=True)
    result = place.sweep(ROOT / "search_spaces/regression.yaml", "-o", "budget.trials=4", "-o", "confirm.seeds=2")
    assert result["trials"]["complete"] + result["trials"]["pruned"] == 4
    assert_records_agree(place, "regression")
    confirmation = result["confirmation"]
    assert confirmation["metric"] == "test_rmse" and confirmation["seeds"] == 2
    assert 0 < confirmation["winner"]["test"] <= confirmation["baseline"]["test"] + 1
    assert_records_agree(place, "regression.confirm")


def test_cifar10_ships(tmp_path: Path):
    folder = tmp_path / "data" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        rows = [bytes([row % 10]) + os.urandom(3072) for row in range(60)]
        (folder / f"{name}.bin").write_bytes(b"".join(rows))  # the layout of the official binary version
    place = Place(tmp_path, torch=True)
    options = ["--no-confirm", "-o", "budget.trials=2", "-o", "parameters.epochs.value=2", "-o", "data.limit=1"]
    result = place.sweep(ROOT / "search_spaces/cifar10.yaml", *options, "-o", f"data.root={folder.parent}")
    assert result["trials"]["complete"] + result["trials"]["pruned"] == 2
    assert_records_agree(place, "cifar10")
