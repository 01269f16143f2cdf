"""What whole commands cost: the time from start to exit, and the CPU time of all of their processes."""

from __future__ import annotations

import ctypes
import os
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.common import CheckFailed, run_all

SUBREAPER = 36  # prctl's PR_SET_CHILD_SUBREAPER
PATIENCE = 10.0  # seconds that processes may outlive the command that started them


@dataclass(frozen=True)
class Cost:
    """Of commands that ran side by side.

    printed: what each printed on standard output.
    seconds: until the last one ended.
    cpu: user and system seconds of them and of all processes that they started, at any depth.
    """

    printed: list[str]
    seconds: float
    cpu: float


def cost_of(
    commands: Sequence[Sequence[str | Path]], folder: Path, timeout: float, env: Mapping[str, str] | None = None
) -> Cost:
    """Run commands side by side in a folder (see run_all); return what they cost.

    The kernel adds a process's time to its parent's when the parent waits for it. One whose parent is gone becomes this
    process's child, and is waited for here, so no grandchild is left out. This process must have no other children.

    Raises CheckFailed if a command fails, or leaves a process that does not end.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(SUBREAPER, 1, 0, 0, 0):
        raise CheckFailed(f"CPU time can't be counted here: {os.strerror(ctypes.get_errno())}")
    before = _of_children()
    printed, seconds = run_all(commands, folder, timeout, env)
    _wait_for_the_rest()
    return Cost(printed, seconds, _of_children() - before)


def _of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _wait_for_the_rest() -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            if time.monotonic() > deadline:
                left = [" ".join(process.cmdline()) for process in psutil.Process().children()]
                raise CheckFailed(f"the command has ended, but not {left}")
            time.sleep(0.02)
