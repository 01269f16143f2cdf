"""Torch's optimizers without its compiler, which they would load with their first step: half of what a process takes to
begin training."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from hpo.lazy import lazy_import

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_import("torch")

# Those that torch.optim hides from torch.compile, by wrappers that import torch._dynamo when they are called.
_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


@cache
def eager(optimizer: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Return a subclass of an optimizer of torch.optim that does the same, but can't be part of compiled code.

    Its methods are those of the class without their wrappers (`functools.wraps` leaves them as `__wrapped__`). That of
    `step` sees to gradients, too, which the optimizer's own work has none of (`differentiable=False`). A release of
    Torch that wraps otherwise may load the compiler again, and nothing else: tests/training/vocabulary/test_eager.py.
    """
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in _WRAPPED}
    step = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), {**methods, "step": step})
