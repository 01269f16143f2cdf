"""A stand-in for CUDA graphs on a CPU: what a function told Torch is taken down, and done again without Python.

As with a graph, a replay works on the very tensors that were there when it was recorded: what Python would have done
otherwise in a later step, or put elsewhere in memory, shows as wrong numbers. (That nothing is read back from the
device in a step, which a graph can't have either, is what test_cohort_device.py shows.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Tape(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, _tensors(out)))
        return out


def _tensors(values: Any) -> list[Tensor]:
    return [each for each in tree_leaves(values) if isinstance(each, Tensor)]


def recorder(state: Callable[[], Sequence[Tensor]]) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Return what records a function. state: returns the tensors that it changes; recording leaves them alone."""

    def record(function: Callable[[], None]) -> Callable[[], None]:
        before = [each.clone() for each in state()]
        try:
            with _Tape() as tape:
                function()
        finally:
            for each, old in zip(state(), before, strict=True):
                each.copy_(old)

        @torch.no_grad()
        def replay() -> None:
            for func, args, kwargs, made in tape.calls:
                for mine, fresh in zip(made, _tensors(func(*args, **kwargs)), strict=True):
                    if mine.data_ptr() != fresh.data_ptr():
                        mine.copy_(fresh)

        return replay

    return record
