"""Tasks small enough to train by the thousand: 32 rows, 4 features, one hidden layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hpo.events import Decision, TrialSpec
from hpo.training.loop import train
from hpo.training.models import mlp
from hpo.training.task import Kind, Split, Splits, TorchTask

CPU = torch.device("cpu")
KINDS: tuple[Kind, ...] = ("binary", "multiclass", "regression")
CLASSES = {"binary": 1, "multiclass": 3, "regression": 1}


def task_of(kind: Kind, **attributes: Any) -> TorchTask:
    """Return a task of this kind whose model is the platform's perceptron."""

    def model(self: TorchTask, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return mlp(params, features, outputs)

    task: TorchTask = type("TinyTask", (TorchTask,), {"kind": kind, "model": model, **attributes})()
    return task


def splits_of(kind: Kind, rows: int = 32, measured: int = 20) -> Splits:
    """Return splits whose target follows from the features, so that there is something to learn."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(rows + measured, 4, generator=generator)
    score = x[:, 0] - 0.5 * x[:, 1]
    y = {
        "binary": (score > 0).float(),
        "multiclass": (score > -0.5).long() + (score > 0.5),
        "regression": 2 * score + 1,
    }
    train_split, rest = Split(x[:rows], y[kind][:rows]), Split(x[rows:], y[kind][rows:])
    return Splits(train_split, rest, Split(x[:0], y[kind][:0]), outputs=CLASSES[kind])


def events_of(
    task: TorchTask, splits: Splits, params: Mapping[str, Any], seed: int = 1, epochs: int = 2, stop_after: int = 0
) -> list[Any]:
    """Return all events of one trial at clock 0, told to stop after `stop_after` reports (0: never)."""
    training = train(task, splits, TrialSpec(7, params, seed, epochs), CPU, clock=lambda: 0.0)
    events: list[Any] = []
    decision = None
    while True:
        try:
            events.append(training.send(decision))
        except StopIteration:
            return events
        decision = Decision.STOP if len(events) == stop_after else Decision.CONTINUE
