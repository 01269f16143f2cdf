"""Tasks small enough to train by the thousand: 32 rows, 4 features, one hidden layer."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import nn

from hpo.events import Decision, Event, Reported, TrialSpec
from hpo.training.loop import train, train_run
from hpo.training.models import mlp
from hpo.training.run import start
from hpo.training.stack.cohort import Cohort, train_cohort
from hpo.training.task import Kind, Split, Splits, TorchTask

Told = TypeVar("Told")
Answer = TypeVar("Answer")

CPU = torch.device("cpu")
DEVICE = torch.device(os.environ.get("HPO_TEST_DEVICE", "cpu"))
"""Where `alone`, `together` and what compares them train: scripts/gpu-check says `cuda`."""
KINDS: tuple[Kind, ...] = ("binary", "multiclass", "regression")
CLASSES = {"binary": 1, "multiclass": 3, "regression": 1}

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5 if DEVICE.type == "cpu" else 2e-4}
"""How far a number of a trial in a cohort may be from the trial's alone, relative to max(1, |number|).

float64: rounding is 1e-16 a step, so this leaves room for a few hundred steps and for nothing that is wrong. float32:
rounding is 6e-8, and Adam-like optimizers divide small gradients by their own size, which hands their rounding on
enlarged; the furthest of all tests here is at 6e-6. On a GPU products are summed up in other orders."""


def task_of(kind: Kind, **attributes: Any) -> TorchTask:
    """Return a task of this kind whose model is the platform's perceptron."""

    def model(self: TorchTask, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return mlp(params, features, outputs)

    task: TorchTask = type("TinyTask", (TorchTask,), {"kind": kind, "model": model, **attributes})()
    return task


def splits_of(kind: Kind, rows: int = 32, measured: int = 20, shape: Sequence[int] = (4,)) -> Splits:
    """Return splits whose target follows from the features, so that there is something to learn.

    shape: of one row of x. Numbers are of PyTorch's default type.
    """
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(rows + measured, *shape, generator=generator, dtype=torch.float32).to(torch.get_default_dtype())
    score = x.flatten(1)[:, 0] - 0.5 * x.flatten(1)[:, 1]
    y = {
        "binary": (score > 0).to(x.dtype),
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
    for event in driven(training, lambda _: Decision.STOP if len(events) == stop_after else Decision.CONTINUE):
        events.append(event)
    return events


def driven(training: Generator[Told, Answer | None, None], decide: Callable[[Told], Answer]) -> Iterator[Told]:
    """Yield what a training yields, and send it what is decided on that once it has been looked at."""
    answer: Answer | None = None
    while True:
        try:
            told = training.send(answer)
        except StopIteration:
            return
        yield told
        answer = decide(told)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make `dtype` PyTorch's default type inside the block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


History = tuple[list[Any], dict[str, torch.Tensor]]  # a trial's events, and its model's state_dict at the end


def trials_of(params: Sequence[Mapping[str, Any]], epochs: int | Sequence[int] = 2) -> list[TrialSpec]:
    """Return a trial for each of `params`, numbered from 10, each with a seed of its own."""
    counts = [epochs] * len(params) if isinstance(epochs, int) else epochs
    return [TrialSpec(10 + i, each, 100 + i, counts[i]) for i, each in enumerate(params)]


def alone(task: TorchTask, splits: Splits, trial: TrialSpec, stop_at: int = 0) -> History:
    """Train one trial by the plain loop; told to stop at step `stop_at` (0: never)."""
    run = start(task, splits, trial, DEVICE)
    training, stops = train_run(run, clock=lambda: 0.0), {trial.number: stop_at}
    return list(driven(training, lambda event: _decision(event, stops))), run.model.state_dict()


def together(
    task: TorchTask,
    splits: Splits,
    trials: Sequence[TrialSpec],
    stops: Mapping[int, int] | None = None,
    replay: bool | None = None,
) -> dict[int, History]:
    """Train trials as one cohort. stops: {number: step at which the trial is told to stop}. replay: as Cohort's."""
    runs = [start(task, splits, trial, DEVICE) for trial in trials]
    models = {run.trial.number: run.model for run in runs}
    training = train_cohort(Cohort(runs, replay=replay), clock=lambda: 0.0)
    events: dict[int, list[Any]] = {trial.number: [] for trial in trials}
    for batch in driven(training, lambda batch: {event.number: _decision(event, stops or {}) for event in batch}):
        for event in batch:
            events[event.number].append(event)
    return {number: (found, models[number].state_dict()) for number, found in events.items()}


def _decision(event: Event, stops: Mapping[int, int]) -> Decision:
    stop = isinstance(event, Reported) and stops.get(event.number) == event.step
    return Decision.STOP if stop else Decision.CONTINUE


_RANKED = ("roc_auc", "average_precision")
_APART = 0.01  # by what these jump where two rows, whose outputs are within the tolerance, change places


def assert_same(found: History, expected: History, tolerance: float) -> None:
    """Assert that two histories of one trial have the same events, metrics and weights; tolerance 0: bit for bit."""
    events, weights = found
    assert [_outline(event) for event in events] == [_outline(event) for event in expected[0]]
    wrong = []
    for event, other in zip(events, expected[0], strict=True):
        if isinstance(event, Reported):
            for name, value in other.metrics.items():
                apart = _APART if tolerance and name.endswith(_RANKED) else 0.0
                if not abs(event.metrics[name] - value) <= apart + tolerance * max(1.0, abs(value)):
                    wrong.append((event.step, name, event.metrics[name], value))
    assert weights.keys() == expected[1].keys()
    for name, tensor in expected[1].items():
        assert (weights[name].shape, weights[name].dtype) == (tensor.shape, tensor.dtype)
        # A stack that ends in NaN must end in NaN where the trial alone does, so these count as equal.
        both_nan = weights[name].isnan() & tensor.isnan()
        near = (weights[name] - tensor).abs() <= tolerance * tensor.abs().clamp(min=1)
        if not (near | both_nan | (weights[name] == tensor)).all():
            wrong.append((0, name, weights[name], tensor))
    assert wrong == []


def _outline(event: Event) -> Any:
    """Return what must be the same for a trial alone and in a cohort: all but metrics' values and the info."""
    if isinstance(event, Reported):
        return replace(event, metrics=sorted(event.metrics))  # type: ignore[arg-type]
    return replace(event, info={})


def assert_equal_to_alone(
    task: TorchTask,
    splits: Splits,
    params: Sequence[Mapping[str, Any]],
    epochs: int | Sequence[int] = 2,
    stops: Mapping[int, int] | None = None,
    replay: bool | None = None,
) -> dict[int, History]:
    """Assert that each trial in a cohort gets the events, metrics and final weights that it gets alone.

    Up to TOLERANCE of PyTorch's default type, in which `splits` must be too. Returns what the cohort gave.
    """
    trials = trials_of(params, epochs)
    found = together(task, splits, trials, stops, replay)
    for trial in trials:
        expected = alone(task, splits, trial, (stops or {}).get(trial.number, 0))
        # After divergence there is nothing left to compare but that it was seen: NaN takes its own ways.
        kept = (expected[0], {}) if type(expected[0][-1]).__name__ == "Diverged" else expected
        assert_same(
            (found[trial.number][0], found[trial.number][1] if kept[1] else {}), kept, TOLERANCE[splits.train.x.dtype]
        )
    return found
