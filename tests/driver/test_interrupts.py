"""Signals that come before the driver counts them."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.support import Place


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_while_the_sweep_file_is_read_is_an_interrupt(tmp_path: Path, name: str):
    place = Place(tmp_path, fresh=True)
    path = place.write("none", objective="early.py:objective")
    lines = ["import os, signal", f"os.kill(os.getpid(), signal.{name})", "def objective(trial):", "    return 1.0"]
    (place.folder / "early.py").write_text("\n".join(lines) + "\n")
    done = place.run("sweep", path)
    assert (done.returncode, done.stderr.strip()) == (130, "hpo: interrupted")
    assert not place.home.journal.exists()
