"""What this machine has to train on, found without importing Torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))


def cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """Return the identifiers of the GPUs that may be used, as CUDA_VISIBLE_DEVICES names them; [] if there are none."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        listed = [device.strip() for device in os.environ["CUDA_VISIBLE_DEVICES"].split(",")]
        return [device for device in listed if device and device != "-1"]
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        answer = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []  # a driver without a device: nothing to train on
    count = sum(line.startswith("GPU ") for line in answer.stdout.splitlines())
    return [str(index) for index in range(count)]


def oom_kills() -> int:
    """Return how many processes the system has killed for want of memory: in this container, or else at all; 0 where
    it doesn't say. A worker that dies while it grows died of that, as far as anybody can tell."""
    for path in _COUNTERS:
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        found = [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
        if found:
            return found[0]
    return 0
