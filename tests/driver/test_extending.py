"""What becomes of a budget from command to command, and what `hpo doctor` says of it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from e2e.support import Place, assert_records_agree, environment, read_until

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def assert_silent(place: Place) -> None:
    done = place.run("doctor", "small")
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_extension_is_finished_by_whichever_command_comes_next(place: Place):
    path = place.write("slow", budget={"trials": 2})
    place.sweep(path)
    process = place.start("sweep", path, "--extend", "4")
    place.wait_for_trials(3, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    again = place.run("sweep", path, "--extend", "4", "-o", "engine.workers=1", "--json")
    assert "the study was extended by 4 trials before" in again.stderr, again.stderr
    assert '"complete": 6' in again.stdout
    plain = place.run("sweep", path)
    assert "6 of 6 trials are done" in plain.stdout
    assert_silent(place)
    lowered = place.write("slow", budget={"trials": 1})
    assert place.sweep(lowered)["trials"]["complete"] == 6
    assert_silent(place)
    assert_records_agree(place)


def test_the_command_to_continue_has_what_the_first_was_given(place: Place):
    path = place.write("slow", budget={"trials": 5})
    storage = place.folder / "a journal"
    process = place.start("sweep", path, "-o", "seed=3", "--workers", "1", "--storage", storage)
    output = read_until(process, process.stdout, "trial 0")
    process.send_signal(signal.SIGINT)
    output += process.communicate(timeout=60)[0]
    assert process.returncode == 130, output
    (line,) = [line for line in output.splitlines() if line.startswith("continue ")]
    home = place.home.path
    assert line.endswith(f" sweep {path} -o seed=3 -o engine.workers=1 --home {home} --storage '{storage}'")


def test_an_objective_that_changes_the_folder_of_the_drivers_process_does_no_harm(place: Place):
    path = place.write("none", objective="moves.py:objective", engine={"workers": 0}, budget={"trials": 3})
    (place.folder / "moves.py").write_text(
        "import os\n\ndef objective(trial):\n    os.chdir('/')\n    trial.report(1, score=1.0)\n    return 1.0\n"
    )
    import subprocess

    command = [sys.executable, "-m", "hpo", "sweep", str(path), "--home", "home", "--storage", "j.log"]
    done = subprocess.run(command, cwd=place.folder, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (place.folder / "j.log").exists()
