"""A home in which all agree."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from e2e.support import Place

from hpo.ledger.mirror.moved import correct_locations, old_locations
from hpo.ledger.study.home import Home

from .support import load, run_sweep


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("made")
    return run_sweep(Place(folder).home, load(folder))


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    """A copy of a home in which all agree."""
    shutil.copytree(made.path, tmp_path / "home")
    home = Home(tmp_path / "home")
    correct_locations(home, old_locations(home))
    return home
