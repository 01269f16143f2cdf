"""Temporary folders that killed workers leave are removed by the next one; those that are in use are not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from hpo.objective.program_leftovers import sweep_up
from hpo.objective.program_output import OutputLog
from hpo.output import PROGRAM_LOG

WORKER = """
import os, signal, tempfile
from hpo.objective.program_output import OutputLog
tempfile.tempdir = {folder!r}
log, kept = OutputLog(1, 100), OutputLog(2, 100)
kept.write("stdout", b"a word")
kept.close()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_workers_folder_is_removed_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tmp_path /= "own"
    tmp_path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", WORKER.format(folder=str(tmp_path))], check=False)
    assert done.returncode == -signal.SIGKILL
    mine = OutputLog(3, 100)
    assert len(list(tmp_path.iterdir())) == 3
    sweep_up()
    waiting = next(path for path in tmp_path.iterdir() if path != mine.path.parent)
    assert sorted(tmp_path.iterdir()) == sorted([mine.path.parent, waiting])
    assert (waiting / PROGRAM_LOG).read_bytes() == b"a word\n"  # MLflow has not taken it yet
    old = time.time() - 30 * 24 * 3600
    os.utime(waiting, (old, old))
    sweep_up()
    assert list(tmp_path.iterdir()) == [mine.path.parent]
    mine.discard()
    assert not list(tmp_path.iterdir())
