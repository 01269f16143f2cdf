"""A disk that fills up, and a home that becomes read-only, in the middle of a sweep."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.support import Place
from waiting import wait_for

from hpo.ledger.study.home import open_storage
from hpo.ledger.study.restored import find_study
from hpo.ledger.transfer import export_study

from .support import assert_whole, finish, started

pytestmark = pytest.mark.slow

TRIALS = 16


def command(*arguments: str | Path) -> None:
    """Run a command of the system; skip the test with its reason if it can't be."""
    try:
        done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, timeout=60)
    except OSError as error:
        pytest.skip(f"{arguments[0]}: {error}")
    if done.returncode:
        pytest.skip(f"{arguments[0]}: {done.stderr.strip()}")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Place]:
    """A place on a disk of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command("mount", "-t", "tmpfs", "-o", "size=8m", "hpo-test", folder)
    try:
        yield Place(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(path: Path) -> None:
    """Write a file until not one byte more fits on its disk."""
    for size in (1 << 16, 1 << 10, 1):
        try:
            with path.open("ab", buffering=0) as file:
                while True:
                    file.write(b"x" * size)
        except OSError as error:
            assert error.errno == errno.ENOSPC


def test_a_full_disk_ends_the_sweep_and_loses_nothing(small: Place):
    path = small.write("slow", budget={"trials": TRIALS})
    ballast = small.folder / "ballast"
    with started(small, "sweep", path) as process:
        wait_for(lambda: small.ended() >= 4, "four trials", process=process)
        fill(ballast)
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 1, output + errors
    assert "No space left on device" in errors
    assert "make space and run the same command again" in errors
    assert "Traceback" not in output + errors
    full = small.run("sweep", path)  # still full
    assert full.returncode in (1, 2), full.stdout + full.stderr
    assert "No space left on device" in full.stderr
    assert "Traceback" not in full.stdout + full.stderr
    ballast.unlink()
    finish(small, path)
    assert_whole(small, TRIALS)


def test_a_home_that_becomes_read_only(place: Place):
    if shutil.which("chattr") is None or os.geteuid() != 0:
        pytest.skip("needs root and chattr: the superuser writes to any other file")
    path = place.write("slow", budget={"trials": TRIALS})
    with started(place, "sweep", path) as process:
        wait_for(lambda: place.ended() >= 4, "four trials", process=process)
        command("chattr", "-R", "+i", place.home.path)
        try:
            output, errors = process.communicate(timeout=120)
            again = place.run("sweep", path)
        finally:
            subprocess.run(["chattr", "-R", "-i", str(place.home.path)], check=True)
    assert process.returncode == 1, output + errors
    assert "Traceback" not in output + errors
    assert "what is recorded is safe: mend that and run the same command again" in errors
    assert again.returncode == 2, again.stdout + again.stderr
    assert "can't be written" in again.stderr
    finish(place, path)
    assert_whole(place, TRIALS)


def test_what_does_not_fit_is_not_taken_over(small: Place, tmp_path: Path):
    """Neither files of its runs nor part of the study are left; what is there already stays."""
    here = Place(tmp_path / "here")
    here.sweep(here.write("parabola", budget={"trials": 2}))
    run_id = str(find_study(here.home, "small")[1].user_attrs["mlflow_run_id"])
    file = here.home.path / "artifacts" / run_id / "artifacts" / "report.html"
    file.write_bytes(os.urandom(9_000_000))
    exported = tmp_path / "study.tar.gz"
    export_study(here.home, "small", exported)
    assert not small.home.journal.exists()
    done = small.run("study", "import", str(exported))
    assert done.returncode == 2 and "is not taken over" in done.stderr and "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((small.home.path / "artifacts").iterdir()) and open_storage(small.home).get_all_studies() == []
    file.unlink()
    exported.unlink()
    export_study(here.home, "small", exported)
    fill(small.folder / "ballast")
    done = small.run("study", "import", str(exported))
    assert done.returncode == 2 and "No space left on device" in done.stderr and "Traceback" not in done.stderr
    (small.folder / "ballast").unlink()
    done = small.run("study", "import", str(exported))
    assert done.returncode == 0 and "agree (2 trials)" in done.stdout
