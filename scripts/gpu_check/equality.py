"""The tests of tests/training that compare cohorts with single training, over the registries, on the device."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from gpu_check.common import Notes, Options

ROOT = Path(__file__).resolve().parents[2]
FILES = ("test_cohort_equality.py", "test_cohort_replay.py")
LIMIT = 84


def run(options: Options, notes: Notes) -> None:
    """Run the tests; note how many passed, and what the others said."""
    spread = ["-n", str(max(1, min(12, len(os.sched_getaffinity(0)))))] if _has_xdist() else []
    chosen = ["-k", "different_hyperparameters or mixtures or replay"] if options.quick else []
    command = [
        # Without conftest.py, which needs the whole platform; other versions have other warnings.
        sys.executable, "-m", "pytest", "--noconftest", "-q", "-p", "no:cacheprovider", "-o", "filterwarnings=default",
        "--tb=short", "-x" if options.quick else "--maxfail=60", *spread, *chosen,
        *[str(ROOT / "tests/training/stack" / name) for name in FILES],
    ]  # fmt: skip
    environment = {**os.environ, "HPO_TEST_DEVICE": options.device_name, "OMP_NUM_THREADS": "1"}
    if options.device_name == "cuda":
        environment["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT)
        output = done.stdout + done.stderr
    except subprocess.TimeoutExpired as error:
        output = f"stopped after {LIMIT} s\n" + (error.stdout or b"").decode(errors="replace")
    notes.note("output", output[-60000:])
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|skipped|errors?)", output)}
    notes.row("Cohorts against single training", {"tests": sum(counts.values()), **counts})
    if counts.get("failed") or counts.get("error") or counts.get("errors") or not counts.get("passed"):
        print(output[-6000:])
        raise SystemExit("not all of the tests passed")


def _has_xdist() -> bool:
    return bool(list(metadata.distributions(name="pytest-xdist")))
