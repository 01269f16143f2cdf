"""Numbers on their way from the host to the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpo.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")


def upload(values: Sequence[float], device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Return a few numbers as a tensor on the device, without waiting for what the device is doing.

    `torch.tensor(values, device=...)` and `new_tensor` wait on a GPU until all work before them is done.
    """
    return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)
