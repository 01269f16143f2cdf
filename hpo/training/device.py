"""The one place that decides where training runs, and what there is to run on."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.lazy import lazy_import

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_import("torch")

_MOST_ON_CPU = 2**30  # bytes of a stack: beyond, main memory is slower than what stacking gains
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's mallopt(3)
_CGROUP = Path("/sys/fs/cgroup/memory.max")  # of a container


def pick_device() -> torch.device:
    """Return the first CUDA device that CUDA_VISIBLE_DEVICES leaves visible, or the CPU if there is none."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def free_memory(device: torch.device) -> int:
    """Return how many bytes a stack may take on the device: half of a GPU's free memory; of the machine's an eighth,
    since other workers are there as well, and at most 1 GiB."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) // 2
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        total = min(total, int(_CGROUP.read_text()))
    return min(total // 8, _MOST_ON_CPU)


def settle_process(threads: int = 1) -> None:
    """Make this process train well on its share of the cores: as many threads, and memory that is kept once it was had.

    A small model trains slower with two threads, and a worker has one core unless the user gives it more. glibc gives
    large blocks back to the system at once; each step of a stack would then pay for zeroed pages anew.
    """
    torch.set_num_threads(threads)
    with contextlib.suppress(OSError, AttributeError):  # another C library: it does as it likes
        libc = ctypes.CDLL("libc.so.6")
        for setting, value in ((_M_TRIM_THRESHOLD, 2**30), (_M_MMAP_THRESHOLD, 2**25), (_M_TOP_PAD, 2**24)):
            libc.mallopt(setting, value)


def warm_up() -> None:
    """Load what Torch itself loads with the first backward pass, which no trial should pay for."""
    torch.zeros(1, requires_grad=True).sum().backward()  # type: ignore[no-untyped-call]
