"""What tests of the mirror share."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
from e2e.support import Place
from mlflow.tracking._tracking_service import utils

from hpo.ledger.study.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Place(tmp_path).home


@pytest.fixture(autouse=True)
def _no_folders_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow remembers by its id where a run's files are, and runs of several tests have the same ids."""
    monkeypatch.setattr(utils, "_artifact_repos_cache", OrderedDict())
