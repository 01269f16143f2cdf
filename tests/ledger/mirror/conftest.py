"""What tests of the mirror share."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.support import Place

from hpo.ledger.study.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Place(tmp_path).home
