"""Runs the parts one after the other, each in a process of its own; writes one JSON file and prints the tables.

python -m gpu_check [--quick] [--device cpu] [--only PART] [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gpu_check.common import Notes, Options, table

PARTS = {  # seconds that each may take
    "facts": 20,
    "equality": 90,
    "speed": 110,
    "workers": 90,
    "pictures": 80,
    "memory": 70,
}


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="scripts/gpu-check", description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script itself")
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it works, not how fast it is")
    parser.add_argument("--only", action="append", choices=PARTS, help="one part; may be given several times")
    parser.add_argument("--json", type=Path, default=Path("gpu-check.json"), help="where the figures go")
    parser.add_argument("--inside", help=argparse.SUPPRESS)  # one part, in this process
    given = parser.parse_args()
    if given.inside:
        options = Options(given.device, given.quick)
        importlib.import_module(f"gpu_check.{given.inside}").run(options, Notes(given.json))
        return 0
    results: dict[str, Any] = {}
    for part in given.only or PARTS:
        results[part] = outcome = run_apart(part, given)
        given.json.write_text(json.dumps(results, indent=1))
        print(f"--- {part}: {outcome['ended']} after {outcome['seconds']:.0f} s")
        for title, rows in outcome["notes"].get("tables", {}).items():
            print(table(title, rows), flush=True)
    bad = [part for part, outcome in results.items() if outcome["ended"] != "well"]
    print(f"figures: {given.json}" + (f"; not well: {', '.join(bad)}" if bad else ""))
    return 1 if bad else 0


def run_apart(part: str, given: argparse.Namespace) -> dict[str, Any]:
    """Run a part in a process of its own; return how it ended, and what it noted up to there."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "notes.json")
        command = [sys.executable, "-m", "gpu_check", "--inside", part, "--device", given.device, "--json", str(notes)]
        process = subprocess.Popen([*command, *(["--quick"] if given.quick else [])], start_new_session=True)
        try:
            code = process.wait(PARTS[part])
            ended = "well" if code == 0 else f"exit code {code}"
        except subprocess.TimeoutExpired:
            ended = f"stopped at its limit of {PARTS[part]} s"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        noted = json.loads(notes.read_text()) if notes.exists() else {}
    return {"ended": ended, "seconds": time.monotonic() - began, "notes": noted}


if __name__ == "__main__":
    sys.exit(main())
