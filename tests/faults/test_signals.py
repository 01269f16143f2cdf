"""SIGTERM is Ctrl-C; what Ctrl-C does, and what it does twice, is in tests/e2e/test_continuing.py."""

from __future__ import annotations

import fcntl
import signal
from pathlib import Path

import pytest
from e2e.support import Place, read_until
from waiting import wait_for

from .support import assert_gone, assert_whole, everybody, finish, started

pytestmark = pytest.mark.slow


def test_sigterm_ends_a_sweep_as_ctrl_c_does(place: Place):
    path = place.write("slow", budget={"trials": 8})
    with started(place, "sweep", path) as process:
        wait_for(lambda: place.ended() >= 2, "two trials", process=process)
        everyone = everybody(process.pid)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, output + errors
    assert "Traceback" not in output + errors
    assert_gone(everyone)
    assert {trial.state.name for trial in place.trials()} == {"COMPLETE"}
    finish(place, path)
    assert_whole(place, 8)


def test_sigterm_ends_a_sweep_that_waits_for_a_lock(place: Place):
    path = place.write("slow", budget={"trials": 6})
    with started(place, "sweep", path) as process:
        wait_for(lambda: place.ended() >= 1, "a trial", process=process)
        with Path(f"{place.home.journal}.writer").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # by a process that hangs
            assert process.stdout is not None
            said = read_until(process, process.stdout, "waiting for the lock")
            everyone = everybody(process.pid)
            process.send_signal(signal.SIGTERM)
            output, errors = process.communicate(timeout=60)
    assert process.returncode == 1, said + output + errors
    assert "another process holds the lock" in errors and "Traceback" not in output + errors
    assert_gone(everyone)
    finish(place, path)
    assert_whole(place, 6)
