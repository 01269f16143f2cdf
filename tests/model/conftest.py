"""What tests of models share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_onnx(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write no ONNX, which takes more than a second a model; its own tests do (test_onnx_file.py)."""
    if request.module.__name__.rpartition(".")[2] != "test_onnx_file":
        monkeypatch.setattr("hpo.model.writing.can_write", lambda: False)
