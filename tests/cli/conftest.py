from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .support import Hpo, Outcome, run_hpo


@pytest.fixture
def hpo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Hpo:
    """`hpo("check", "binary")`, in an empty working directory; what it changes of the process is put back."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def hpo(*arguments: str) -> Outcome:
        return run_hpo(arguments, monkeypatch, capsys)

    return hpo
