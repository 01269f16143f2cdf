"""A model as ONNX gives what the model itself gives, for any number of rows; what can't be written is said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hpo
from hpo.model.folder import ONNX
from hpo.model.onnx_file import NO_WRITERS, can_write
from model.test_loaded import _Task, binary, live, source, trained, written


def test_without_the_packages_the_description_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpo.model.writing.can_write", lambda: False)
    model, _ = binary(tmp_path / "m")
    assert (model.config["onnx"], model.config["no_onnx"]) == (None, NO_WRITERS)
    assert not (tmp_path / "m" / ONNX).exists()


@pytest.mark.skipif(not can_write(), reason="hpo-sweep[onnx] is not installed")
def test_it_gives_the_models_own_outputs(tmp_path: Path) -> None:
    """A regression in the target's own units, its transform included."""
    runtime = pytest.importorskip("onnxruntime")
    x, y = source("regression")
    splits = hpo.split_arrays(x, y, "regression")
    run = trained(splits, _Task("regression"), target_transform="log1p", batch_norm=True)
    model = written(tmp_path / "m", run, splits)
    assert model.config["onnx"] == ONNX
    session = runtime.InferenceSession(str(tmp_path / "m" / ONNX), providers=["CPUExecutionProvider"])
    for rows in (run.validation.x, run.validation.x[:1]):
        (found,) = session.run(None, {"rows": rows.numpy()})
        assert np.allclose(found, live(run).numpy()[: len(rows)], rtol=1e-5)


@pytest.mark.skipif(not can_write(), reason="hpo-sweep[onnx] is not installed")
def test_a_model_that_onnx_can_not_have_is_written_without(tmp_path: Path) -> None:
    class Looks(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            return self.model(x) if float(x.sum()) > 0 else self.model(-x)  # type: ignore[no-any-return]

    class Odd(_Task):
        def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
            return Looks(super().model(params, features, outputs))

    model, _ = binary(tmp_path / "m", Odd("binary"))
    assert model.config["onnx"] is None and model.config["no_onnx"].startswith("torch.onnx: ")
    assert {path.name for path in (tmp_path / "m").iterdir()} == {"model.json", model.config["weights"]}
