"""MLflow's database is damaged before or during a sweep, or half made by one that was killed: the sweep mends it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from waiting import wait_for

from .support import Place, assert_records_agree

pytestmark = pytest.mark.slow

NOT_SQLITE = b"this was a database once\n" * 400


def damage(path: Path, kind: str) -> None:
    whole = path.read_bytes()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if kind == "garbage":
        path.write_bytes(NOT_SQLITE)
    elif kind == "cut off":
        path.write_bytes(whole[: len(whole) // 3])
    elif kind == "empty":
        path.write_bytes(b"")
    else:  # every page but the first two
        path.write_bytes(whole[:8192] + os.urandom(len(whole) - 8192))


@pytest.mark.parametrize("kind", ["garbage", "cut off", "empty", "pages"])
def test_a_damaged_database_is_replaced_by_the_next_sweep(place: Place, kind: str):
    path = place.write("parabola")
    place.sweep(path)
    assert place.home.mlflow_database is not None
    damage(place.home.mlflow_database, kind)
    done = place.run("sweep", path, "-o", "budget.trials=9")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "was moved to" in done.stdout
    assert (place.home.path / "mlflow.db.broken-1").exists()
    assert_records_agree(place, all_ids=False)  # those that ended while there was no MLflow may lack it
    assert place.run("doctor", "small").returncode == 0


def test_a_database_that_is_damaged_in_mid_sweep_is_replaced(place: Place):
    path = place.write("slow", budget={"trials": 10})
    process = place.start("sweep", path)
    place.wait_for_trials(3, process)
    assert place.home.mlflow_database is not None
    with place.home.mlflow_database.open("rb+") as file:  # the same file: whoever has it open sees it
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        file.write(NOT_SQLITE * (size // len(NOT_SQLITE)))  # every page: some are read from elsewhere
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    assert "was moved to" in output
    assert_records_agree(place, all_ids=False)  # those that ended while there was no MLflow may lack it


def test_a_sweep_that_is_killed_in_its_first_seconds_leaves_nothing_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # the machine's first home: MLflow makes its database
    place = Place(tmp_path, fresh=True, cold=True)
    path = place.write("parabola", budget={"trials": 2})
    process = place.start("sweep", path)
    wait_for(lambda: list(place.home.path.glob("mlflow.db.new-*")), "a database that is being made", process=process)
    process.send_signal(signal.SIGSTOP)  # or it would begin another writer in place of the one that dies
    for child in psutil.Process(process.pid).children(recursive=True):
        child.send_signal(signal.SIGKILL)
    process.kill()
    process.communicate(timeout=60)
    if not list(place.home.path.glob("mlflow.db.new-*")):
        pytest.skip("it was finished before it was killed")
    place.sweep(path)
    assert not list(place.home.path.glob("mlflow.db.new-*"))
    assert_records_agree(place, all_ids=False)  # those that ended while there was no MLflow may lack it
