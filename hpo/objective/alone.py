"""One Torch trial by the plain loop: with checkpoints, and with its batches split where they need too much memory."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from hpo.events import Channel, Decision, Event, Failed, FailureKind, Finished, Stopped, TrialSpec
from hpo.lazy import lazy_import
from hpo.objective.failures import RAISED, failed, is_pruning
from hpo.training.checkpoint import Keeper, resumed
from hpo.training.loop import Events, train_members
from hpo.training.run import Run

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_import("torch")

PARTS = 2  # into which a batch is split that is too large for the memory


class _CannotSplit(Exception):
    """The model looks at a batch as a whole."""


def train_alone(begin: Callable[[], list[Run]], trial: TrialSpec, channel: Channel, checkpoint_seconds: float) -> None:
    """Train one trial by the plain loop, all its members, from its checkpoint if it has one; hand each event to the
    channel, one final event among them.

    A trial that finds too little memory starts over, with each batch in two parts, unless its model normalizes over
    the batch. What the channel raises passes.

    begin: returns the runs of the trial's members before their first step.
    """
    failure = _attempt(begin, trial, channel, checkpoint_seconds, parts=1)
    if failure is not None and failure.kind is FailureKind.OUT_OF_MEMORY:
        forget()
        again = _attempt(begin, trial, channel, checkpoint_seconds, PARTS)
        if again is None:
            return
        failure = replace(failure, error=f"{failure.error}; {again.error}")
    if failure is not None:
        channel.exchange([failure])


def forget() -> None:
    """Give back the memory of what was tried."""
    gc.collect()  # a traceback's frames held tensors
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _attempt(
    begin: Callable[[], list[Run]], trial: TrialSpec, channel: Channel, checkpoint_seconds: float, parts: int
) -> Failed | None:
    """Train a trial; tell every event but a failure, which is returned."""
    training = _training(begin, Keeper(checkpoint_seconds), parts)
    decision: Decision | None = None
    while True:
        event: Event
        try:
            event = training.send(decision)
        except StopIteration:
            return None
        except RAISED as error:
            if not is_pruning(error):
                return _failure(trial, error, parts)
            event = Stopped(trial.number, by_itself=True)  # one that is told to stop raises nothing
        if isinstance(event, Finished) and parts > 1:
            event = replace(event, info={**event.info, "batch_parts": parts})
        decision = channel.exchange([event]).get(trial.number, Decision.CONTINUE)


def _training(begin: Callable[[], list[Run]], keeper: Keeper, parts: int) -> Events:
    def begin_in_parts() -> list[Run]:
        runs = begin()
        for run in runs:
            if parts > 1 and run.batching.skip_single:
                raise _CannotSplit("its batch can't be split: the model has batch norm")
            run.in_parts(parts)
        return runs

    yield from train_members(resumed(begin_in_parts), keeper=keeper)


def _failure(trial: TrialSpec, error: BaseException, parts: int) -> Failed:
    event = failed(trial.number, error)
    if isinstance(error, _CannotSplit):
        return replace(event, error=str(error))
    if event.kind is FailureKind.OUT_OF_MEMORY:
        size = trial.params.get("batch_size", "the default")
        what = f"batch_size {size}" + (f" in {parts} parts" if parts > 1 else "")
        return replace(event, error=f"{event.error} ({what})")
    return event
