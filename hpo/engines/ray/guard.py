"""Clears up after a Ray cluster that was started for a sweep: `python guard.py FOLDER`.

It waits for the end of its standard input, which comes with the driver's end, however that came about. Then it kills
what is left of the cluster (Ray's own agents outlive a killed driver by minutes) and removes the folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

_GRACE = 3.0  # seconds until what is left is killed


def clear(folder: Path, driver: int) -> None:
    """Kill the processes that have files of the folder open, but for the driver, and remove the folder."""
    deadline = time.monotonic() + _GRACE
    while (left := _writers(folder) - {driver}) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue
    for _ in range(20):  # they may write as they die
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def _writers(folder: Path) -> set[int]:
    """Return the processes that have a file of the folder open."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(_is_below(folder, descriptor) for descriptor in (process / "fd").iterdir()):
                found.add(int(process.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def _is_below(folder: Path, descriptor: Path) -> bool:
    try:
        return descriptor.readlink().is_relative_to(folder)
    except OSError:
        return False


if __name__ == "__main__":
    driver = os.getppid()
    sys.stdin.read()
    clear(Path(sys.argv[1]), driver)
