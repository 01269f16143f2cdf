"""A written model gives what the live one gives: the same classes in the same order, values in the target's units."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import hpo
from hpo.events import TrialSpec
from hpo.model.loaded import LoadedModel
from hpo.model.program import load_program
from hpo.model.writing import write_model
from hpo.spec.faults import UserError
from hpo.training.data.splitting import split_indices
from hpo.training.evaluation import predict
from hpo.training.loop import train_run
from hpo.training.run import Run, start
from hpo.training.task import Kind, Splits
from hpo.training.vocabulary.targets import TARGET_TRANSFORMS


class _Task(hpo.TorchTask):
    def __init__(self, kind: Kind) -> None:
        self.kind = kind  # type: ignore[misc]

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return hpo.mlp(params, features, outputs)


def source(kind: Kind, rows: int = 120) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    x = rng.normal(3, 5, (rows, 4))
    raw = x[:, 0] - x[:, 1]
    y = {"binary": raw > 0, "multiclass": np.digitize(raw, [-4, 4]), "regression": np.exp(raw / 5) * 1000}[kind]
    return x, np.asarray(y, dtype=float if kind == "regression" else int)


def trained(splits: Splits, task: hpo.TorchTask, **params: Any) -> Run:
    run = start(task, splits, TrialSpec(0, {"hidden_layers": [8], **params}, 7, 6), torch.device("cpu"))
    for _ in train_run(run):
        pass
    return run


def written(folder: Path, run: Run, splits: Splits) -> LoadedModel:
    folder.mkdir()
    write_model(folder, run, splits, {"study": "s", "trial": 0})
    return hpo.load_model(folder)


def live(run: Run) -> Tensor:
    return run.data.units.answer(predict(run.task, run.model, run.validation.x, run.params))


def binary(folder: Path, task: hpo.TorchTask | None = None) -> tuple[LoadedModel, Any]:
    x, y = source("binary")
    splits = hpo.split_arrays(x, y, "binary")
    return written(folder, trained(splits, task or _Task("binary")), splits), x


@pytest.mark.parametrize("transform", TARGET_TRANSFORMS.names())
def test_a_regression_gives_values_in_own_units(tmp_path: Path, transform: str) -> None:
    x, y = source("regression")
    splits = hpo.split_arrays(x, y, "regression")
    activation = "softplus" if transform == "standardize" else "default"
    run = trained(splits, _Task("regression"), target_transform=transform, output_activation=activation)
    model = written(tmp_path / "m", run, splits)
    found = model.predict(x[split_indices(y, "regression")[1]])
    assert np.array_equal(found, live(run).numpy())
    assert model.config["target_transform"]["name"] == transform
    if transform != "none":
        assert found.mean() > 100  # the model itself works on numbers near 1
    with pytest.raises(UserError, match="no probabilities"):
        model.predict_proba(x)


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_classes_and_their_probabilities(tmp_path: Path, kind: Kind) -> None:
    x, y = source(kind)
    splits = hpo.split_arrays(x, y, kind)
    run = trained(splits, _Task(kind), dropout=0.3, batch_norm=True)
    model = written(tmp_path / "m", run, splits)
    rows = split_indices(y, kind)[1]
    found, shares = model.predict(x[rows]), model.predict_proba(x[rows])
    assert (found == y[rows]).mean() == run.reports[-1].metrics["val_accuracy"] > 0.5
    assert np.allclose(shares.sum(-1), 1, atol=1e-6)
    assert (shares.argmax(-1) == found).all()
    assert model.predict(x[rows][:1]).tolist() == found[:1].tolist()  # one row, and none
    assert model.predict(x[:0]).shape == (0,)
    weights = model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in run.model.state_dict().items())


@pytest.mark.parametrize(
    ("kind", "loss", "activation"), [("binary", "mse", "linear"), ("multiclass", "bce", "softmax")]
)
def test_what_an_output_activation_makes_is_the_answer(tmp_path: Path, kind: Kind, loss: str, activation: str) -> None:
    """Whatever that is: rows are called as the metrics have it, and probabilities are what was made, clamped."""
    x, y = source(kind)
    splits = hpo.split_arrays(x, y, kind)
    run = trained(splits, _Task(kind), loss=loss, output_activation=activation, learning_rate=0.01)
    model = written(tmp_path / "m", run, splits)
    rows = x[split_indices(y, kind)[1]]
    found, shares = model.predict(rows), model.predict_proba(rows)
    assert (found == y[split_indices(y, kind)[1]]).mean() == run.reports[-1].metrics["val_accuracy"] > 0.5
    raw = predict(run.task, run.model, run.validation.x, run.params)
    made = (raw.softmax(-1) if activation == "softmax" else raw).clamp(1e-7, 1 - 1e-7)
    expected = torch.stack([1 - made, made], -1) if kind == "binary" else made
    assert np.allclose(shares, expected.numpy(), atol=1e-2)
    assert model.config["all_params"]["output_activation"] == activation


@pytest.mark.parametrize("params", [{"threshold": 0.45}, {"threshold_rule": "best_f1"}])
def test_rows_are_called_by_the_trials_threshold(tmp_path: Path, params: dict[str, Any]) -> None:
    x, y = source("binary")
    splits = hpo.split_arrays(x, y, "binary")
    model = written(tmp_path / "m", trained(splits, _Task("binary"), **params), splits)
    rows, last = split_indices(y, "binary")[1], model.config["all_params"]
    found, shares = model.predict(x[rows]), model.predict_proba(x[rows])[:, 1]
    assert model.threshold == model.config["threshold"] == last.get("threshold", model.threshold) != 0.5
    assert (found == (shares > model.threshold)).all() and (found != (shares > 0.5)).any()
    del model.config["threshold"]  # as earlier releases wrote it
    assert (model.predict(x[rows]) == (shares > 0.5)).all()


def test_names_of_classes_and_frames(tmp_path: Path) -> None:
    """Of a CSV file; the classes come in the order of their codes, whatever the rows' order."""
    x, y = source("multiclass")
    frame = pd.DataFrame(x, columns=["a", "b", "c", "d"]).assign(y=[["zebra", "ape", "cow"][code] for code in y])
    file = tmp_path / "t.csv"
    frame.to_csv(file, index=False)
    splits = hpo.load_csv({"csv": str(file), "target": "y"}, "multiclass")
    run = trained(splits, _Task("multiclass"))
    model = written(tmp_path / "m", run, splits)
    assert model.classes == ["ape", "cow", "zebra"]
    rows = split_indices(np.searchsorted(model.classes, frame["y"]), "multiclass")[1]
    part = frame.iloc[rows].drop(columns="y")
    found = model.predict(part)
    assert list(found) == ["prediction", "probability_ape", "probability_cow", "probability_zebra"]
    assert list(found.index) == list(part.index)
    assert (found["prediction"] == frame["y"].iloc[rows]).mean() == run.reports[-1].metrics["val_accuracy"]
    assert list(model.predict_proba(part)) == model.classes
    with pytest.warns(UserWarning, match="the target column 'y' is there, and not looked at"):
        model.predict(frame)
    with pytest.raises(UserError, match="takes a pandas DataFrame with the columns a, b, c, d, but got ndarray"):
        model.predict(x)


def test_safetensors_where_they_are_installed(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    model, _ = binary(tmp_path / "m")
    assert model.config["weights"] == "weights.safetensors" and not (tmp_path / "m" / "weights.pt").exists()
    assert model.state_dict()["0.weight"].shape == (8, 4)


class _Pictures(_Task):
    def batch(self, x: Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> Tensor:
        if generator is not None:
            x = hpo.augment_pictures(x, generator, flip=True, crop=True)
        return hpo.normalise_cifar10(x)

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, outputs))


def test_pictures(tmp_path: Path) -> None:
    """Bytes go in as they lie in the files: what the task does to a batch is part of the program."""
    x = torch.randint(256, (60, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    parts = [hpo.Split(x[i::3], (torch.arange(20) + i) % 3) for i in range(3)]
    splits = Splits(*parts, outputs=3, classes=("x", "y", "z"))
    run = trained(splits, _Pictures("multiclass"))
    model = written(tmp_path / "m", run, splits)
    pictures = splits.validation.x.numpy()
    assert model.predict(pictures).tolist() == [splits.classes[code] for code in live(run).argmax(-1)]
    for bad, words in [
        (pictures[0], r"must have the shape \(N, 3, 32, 32\), but got \(3, 32, 32\)"),
        (pictures + 0.5, "of the type uint8, but some are beyond it"),
        (pictures.astype(int) + 200, "beyond it"),
        (pd.DataFrame({"a": [1]}), "which no table holds"),
    ]:
        with pytest.raises(UserError, match=words):
            model.predict(bad)


def test_rows_that_are_no_numbers(tmp_path: Path) -> None:
    model, x = binary(tmp_path / "m")
    gap = x.copy()
    gap[0, 0] = np.nan
    for bad, words in [
        (gap, "some that are missing or infinite"),
        (x.astype(str), "of the type <U"),
        (x[:, :3], r"must have the shape \(N, 4\), but got \(120, 3\)"),
        (pd.DataFrame(x[:, :3]), "takes 4 columns, but there are 3"),
        (pd.DataFrame(gap, columns=list("abcd")), "missing or none in a"),
    ]:
        with pytest.raises(UserError, match=words):
            model.predict(bad)
    with pytest.warns(UserWarning, match="the 4 columns are taken in their order"):
        found = model.predict(pd.DataFrame(x, columns=list("dcba")))
    assert (found["prediction"].to_numpy() == model.predict(x)).all()


class _Forks(nn.Module):
    """A model that looks at its numbers in Python, which no exported program can."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x if x.sum() > 0 else -x)
        return found.squeeze(-1)


class _Forking(_Task):
    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return _Forks()


def test_a_model_that_is_no_program_keeps_its_weights(tmp_path: Path) -> None:
    model, x = binary(tmp_path / "m", _Forking("binary"))
    assert model.config["program"] is None and "torch.export" in model.config["no_program"]
    assert not (tmp_path / "m" / "program.pt2").exists()
    with pytest.raises(UserError, match="has weights, but no program that runs by itself"):
        model.predict(x)
    _Forks().load_state_dict(model.state_dict())


class _Evil:
    def __reduce__(self) -> Any:
        return os._exit, (3,)


def test_a_program_that_could_run_code_is_refused(tmp_path: Path) -> None:
    file = binary(tmp_path / "m")[0].folder / "program.pt2"
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}

    def refused(words: str, name: str, content: bytes) -> None:
        other = tmp_path / "other.pt2"
        with zipfile.ZipFile(other, "w") as archive:
            for key, value in (entries | {f"program/{name}": content}).items():
                archive.writestr(key, value)
        with pytest.raises(UserError, match=words):
            load_program(other)

    weights = json.loads(entries["program/data/weights/model_weights_config.json"])
    next(iter(weights["config"].values()))["use_pickle"] = True
    refused("names pickles", "data/weights/model_weights_config.json", json.dumps(weights).encode())
    refused("which could run code", "data/aotinductor/model/x.so", b"")
    refused("can be loaded: UnpicklingError", "data/sample_inputs/model.pt", pickle.dumps(_Evil(), protocol=2))
    text = entries["program/models/model.json"].decode()
    begin = text.index("Symbol(")
    evil = text.replace(text[begin : text.index(")", begin) + 1], "__import__(chr(111)+chr(115))._exit(3)")
    refused("which could run code", "models/model.json", evil.encode())
    (tmp_path / "text.pt2").write_text("no archive")
    with pytest.raises(UserError, match="is no program that can be loaded"):
        load_program(tmp_path / "text.pt2")
