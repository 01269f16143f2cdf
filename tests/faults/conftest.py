"""Fixtures of the fault-injection suite. HPO_LONG=1 makes it long: many more kills, much more output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.support import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Where all processes start as users' do: they are killed while they do, and belong to their driver."""
    return Place(tmp_path, cold=True)


@pytest.fixture(scope="module")
def injected(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """Counts what was done in all sweeps; told when they are over."""
    counts: Counter[str] = Counter()
    yield counts
    told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{request.module.__name__}: {told}")
