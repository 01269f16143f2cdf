"""The card, the processor and the versions."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import torch

from gpu_check.common import Notes, Options, seconds


def run(options: Options, notes: Notes) -> None:
    """Note what the figures depend on besides the code."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    names = ("numpy", "scikit-learn", "pytest", "triton")
    facts = {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: metadata.version(name) for name in names if list(metadata.distributions(name=name))},
        "cpu": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
    }
    if options.device_name == "cuda":
        card = torch.cuda.get_device_properties(0)
        free, total = torch.cuda.mem_get_info()
        x = torch.empty(2**28, device=options.device)
        y = torch.empty_like(x)
        times = [seconds(options, lambda: y.copy_(x)) for _ in range(5)]
        facts |= {
            "card": card.name,
            "multiprocessors": card.multi_processor_count,
            "memory_gb": round(total / 2**30, 1),
            "free_gb": round(free / 2**30, 1),
            "cuda": torch.version.cuda,
            "copy_tb_s": round(2 * x.nbytes / min(times) / 1e12, 2),
        }
    notes.note("facts", facts)
    notes.row("This machine", {name: value for name, value in facts.items() if name not in ("cpu",)})
