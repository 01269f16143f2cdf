"""Each name that Torch keeps for itself and health uses is there, and is what it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpo.training import compat


def backend(graph: Any, _example: Any) -> Any:
    return graph.forward


@torch.compile(backend=backend)
def squashed(x: Tensor) -> Tensor:
    return torch.sigmoid(x)


class OfItsClass(nn.Module):
    @torch.compile(backend=backend)
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x)


class ByName(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return squashed(x)


class Helped(nn.Module):
    def __init__(self, helper: Any) -> None:
        super().__init__()
        self.helper = helper


def in_place() -> nn.Module:
    module = nn.Linear(2, 2)
    module.compile(backend=backend)
    return module


def test_this_release_is_one_that_was_read() -> None:
    release = tuple(int(part) for part in torch.__version__.split(".")[:2])
    assert release in compat.TESTED, f"read Torch {release}, mend hpo/training/compat.py, and add it to TESTED"


@pytest.mark.parametrize(
    ("module", "part", "whole"),
    [
        (torch.compile(nn.Linear(2, 2), backend=backend), "compiled OptimizedModule", True),
        (in_place(), "compiled Linear", True),
        (OfItsClass(), "compiled OfItsClass", True),
        (Helped(squashed), "compiled function helper", False),
        (ByName(), "compiled function squashed", False),
        (Helped(torch.compiler.disable(torch.relu)), "", False),
        (Helped(torch.relu), "", False),
        (nn.Linear(2, 2), "", False),
    ],
)
def test_what_is_compiled_is_found(module: nn.Module, part: str, whole: bool) -> None:
    assert (compat.compiled_part(module), compat.is_compiled(module)) == (part, whole)
