"""A stack's forward pass through torch.compile, for sweeps so long that compiling is soon paid back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function compiled; the function itself from the first failure on, which is told to the worker's log.

    Compiling takes tens of seconds, at the first call and for each new shape. On a machine without a C++ compiler, or
    where the compiler doesn't know what a model does, the stack trains as it would without.
    """
    torch.compiler.reset()  # what it knows of the stacks before this one would only be in the way
    quick = torch.compile(function, dynamic=False)
    failed = False

    def call(*arguments: Any) -> Any:
        nonlocal failed
        if failed:
            return function(*arguments)
        try:
            return quick(*arguments)
        except Exception as error:
            failed = True
            print(f"torch.compile failed, the stack goes on without: {type(error).__name__}: {error}", file=sys.stderr)
            return function(*arguments)

    return call
