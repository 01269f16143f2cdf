"""Fixtures of the fault-injection suite. HPO_LONG=1 makes it long: many more kills, much more output."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.support import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Where all processes start as users' do: they are killed while they do, and belong to their driver."""
    return Place(tmp_path, cold=True)
