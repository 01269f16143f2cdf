"""What this machine has to train on, found without importing Torch."""

from __future__ import annotations

import os
import shutil
import subprocess


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
