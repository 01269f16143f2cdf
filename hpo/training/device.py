"""The one place that decides where training runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo.lazy import lazy_import

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_import("torch")


def pick_device() -> torch.device:
    """Return the first CUDA device that CUDA_VISIBLE_DEVICES leaves visible, or the CPU if there is none."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
