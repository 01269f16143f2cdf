"""What workers of a run of tests share (tests/shared.py) is made once, and ends with the run."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import shared
from faults.support import assert_gone

KILLED = """
import json, os, shared, signal
shared.begin()
waits = "import select, sys; select.select([int(sys.argv[2])], [], [])"
addresses = [shared.server("waiting", ["-c", waits]) for _ in range(2)]
print(json.dumps([addresses, (shared.folder() / "waiting.pid").read_text()]), flush=True)
input()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_server_is_one_for_all_and_ends_with_a_run_that_is_killed() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", KILLED], cwd=Path(__file__).parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert run.stdin is not None and run.stdout is not None
    (first, second), pid = json.loads(run.stdout.readline())
    server = psutil.Process(int(pid))
    assert first == second and server.is_running()
    run.communicate(b"\n", timeout=60)
    assert run.returncode == -signal.SIGKILL
    assert_gone([server])
    shutil.rmtree(Path(first).parent)


def test_what_is_made_is_made_once() -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        path.write_text("whole")

    found = [shared.once("a-test-of-its-own", make) for _ in range(2)]
    assert found[0] == found[1] and found[0].read_text() == "whole" and len(made) == 1
    assert made[0] != found[0]  # nobody sees it half
    found[0].unlink()
