"""Tasks that read some of their hyperparameters, and a look at which they do not read."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

import hpo
from hpo.events import Unread
from hpo.objective.unread import unread_of
from hpo.spec.named import Named
from hpo.spec.space import Categorical, Parameter, Range, Space

DROPOUT = Parameter("dropout", Range(0.0, 0.5))
UNITS = Parameter("hidden_units", Categorical((8, 16)))
DEPTH = Parameter("hidden_layers", Categorical((1, 2, 3)))
LR = Parameter("learning_rate", Range(1e-4, 1e-1, log=True))
WIDE = Parameter("hidden_units", Range(1, 1000, integer=True))  # more than can be tried
SILENT = f"{Path(__file__).with_name('silent_code.py')}:Mine"


class Task(hpo.TorchTask):
    kind = "binary"

    def splits(self, data: Mapping[str, Any]) -> hpo.Splits:
        x = torch.linspace(-1, 1, 80).reshape(20, 4)
        split = hpo.Split(x, (x[:, 0] > 0).float())
        return hpo.Splits(split, split, split)


class Net(nn.Module):
    """Keeps what it is given, and reads it when it is called."""

    def __init__(self, params: Any, features: int) -> None:
        super().__init__()
        self.params = params
        self.layer = nn.Linear(features, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(self.layer(x), self.params["dropout"], self.training).squeeze(1)


class Anything(nn.Module):
    def __init__(self, features: int, hidden_units: int = 8, **others: Any) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, hidden_units), nn.Linear(hidden_units, 1), nn.Flatten(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def plain(features: int, units: int = 8, dropout: float | None = None) -> nn.Module:
    last = [] if dropout is None else [nn.Dropout(dropout)]
    return nn.Sequential(nn.Linear(features, units), nn.ReLU(), *last, nn.Linear(units, 1), nn.Flatten(0))


def look(make: Callable[..., Any], *parameters: Parameter, named: str | None = SILENT, **own: Any) -> Unread | None:
    """Return what a task with this model does not read. named: its code; None: nobody can look at it. own: what else
    its class has."""
    forbid, base = own.pop("forbid", ()), own.pop("base", Task)
    body = {"model": lambda self, params, features, outputs: make(params, features[0]), **own}
    task = type("Mine", (base,), body)()
    space = Space(parameters, forbid)
    found = Named(named, None, (), {}, "val_accuracy", tuple(space.names()), Path(), space=space)
    return unread_of(task, task.splits({}), found)


def write(folder: Path, code: str) -> str:
    (folder / "mine.py").write_text(textwrap.dedent(code))
    return f"{folder / 'mine.py'}:Mine"
