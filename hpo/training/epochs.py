"""The epochs of trials that train, one trial or several as a stack: train, measure, report, decide, end, keep.

    for events in train_epochs(trainee): ...

The order of events is decided here and nowhere else; what trains, and so the numbers, is a Trainee's (loop.py for one
trial, stack/cohort.py for several).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hpo.events import Decision, Diverged, Finished, Paused, Reported, Stopped
from hpo.training.leaving import leave_weights

if TYPE_CHECKING:
    from torch import Tensor

    from hpo.training.checkpoint import Keeper
    from hpo.training.run import Run

Measured = Sequence[Mapping[str, float] | None]
"""The metrics of one split for each run; None: a loss or an output was not finite."""
EpochEvent = Reported | Diverged | Stopped | Finished | Paused
EpochEvents = Generator[list[EpochEvent], Mapping[int, Decision] | None, None]


class Trainee(Protocol):
    """Runs that train together: one, or a stack of several."""

    @property
    def runs(self) -> Sequence[Run]:
        """Those that have not ended, in the order of their events."""
        ...

    @property
    def info(self) -> Mapping[str, Any]:
        """What the end of a run says about how it was trained."""
        ...

    def train_epoch(self) -> Measured:
        """Take one pass over the training split, for each run the epoch after those that it has completed.

        Returns the runs' `train_*` metrics.
        """
        ...

    def validate(self) -> Measured:
        """Return the runs' `val_*` metrics of the current weights."""
        ...

    def state_of(self, run: Run) -> Mapping[str, Any]:
        """Return what a checkpoint keeps of a run's training: the state_dict of its `model` and of its `optimizer`, as
        the plain loop has them."""
        ...

    def weights_of(self, run: Run) -> Mapping[str, Tensor]:
        """Return the state_dict of a run's model, as the plain loop has it."""
        ...

    def leave(self, numbers: Collection[int]) -> None:
        """Drop the runs of the trials with these numbers."""
        ...


def train_epochs(trainee: Trainee, clock: Callable[[], float] = time.time, keeper: Keeper | None = None) -> EpochEvents:
    """Train runs to the end of all their trials, each from the epoch up to which it is completed.

    Yields lists of events: after each epoch a Reported for each run that is well and a Diverged for each that is not;
    send a {number: Decision} after it. Then, where runs end, their Stopped, Finished and Paused events; nothing is
    received after these. The reports of epochs that were completed before come first, again, all runs' first epochs
    together: a Decision STOP holds there too.

    keeper: keeps checkpoints now and then. A Decision PAUSE ends a run that has much before it with Paused, once its
    checkpoint is written; without a keeper it is ignored.
    """
    for epoch in range(max((run.completed for run in trainee.runs), default=0)):
        decisions = (yield [run.reports[epoch] for run in trainee.runs if epoch < run.completed]) or {}
        stopped = [run.trial.number for run in trainee.runs if decisions.get(run.trial.number) is Decision.STOP]
        yield from _leave(trainee, [Stopped(number, trainee.info) for number in stopped])
    yield from _leave(trainee, _ended(trainee, {}))  # of no epochs at all
    while trainee.runs:
        events = _train_epoch(trainee, clock)
        decisions = (yield events) or {}
        diverged = {event.number for event in events if isinstance(event, Diverged)}
        ended = _ended(trainee, decisions, but=diverged)
        if keeper is not None:
            ended += _paused(trainee, decisions, keeper, but=diverged | _numbers(ended))
        yield from _leave(trainee, ended, diverged)


def _train_epoch(trainee: Trainee, clock: Callable[[], float]) -> list[EpochEvent]:
    trained = trainee.train_epoch()
    measured = trainee.validate() if any(metrics is not None for metrics in trained) else trained
    events: list[EpochEvent] = []
    for run, train_metrics, val_metrics in zip(trainee.runs, trained, measured, strict=True):
        if train_metrics is None or val_metrics is None:
            events.append(Diverged(run.trial.number, run.completed + 1, trainee.info))
        else:
            report = Reported(run.trial.number, run.completed + 1, {**train_metrics, **val_metrics}, clock())
            run.record(report)
            events.append(report)
    return events


def _ended(trainee: Trainee, decisions: Mapping[int, Decision], but: Collection[int] = ()) -> list[EpochEvent]:
    """Return the ends of the runs that are told to stop or have completed all their epochs."""
    ended: list[EpochEvent] = []
    for run in _without(trainee.runs, but):
        if decisions.get(run.trial.number) is Decision.STOP:
            ended.append(Stopped(run.trial.number, trainee.info))
        elif run.completed >= run.epochs:
            left = leave_weights(run, trainee.weights_of(run)) if run.trial.weights is not None else {}
            ended.append(Finished(run.trial.number, info={**trainee.info, **left}))
    return ended


def _paused(
    trainee: Trainee, decisions: Mapping[int, Decision], keeper: Keeper, but: Collection[int]
) -> list[EpochEvent]:
    """Keep checkpoints where they are due or wanted; return the ends of the runs that pause with one."""
    keeper.epoch_trained()
    going = [run for run in _without(trainee.runs, but) if run.trial.checkpoint]
    pausing = {
        run.trial.number
        for run in going
        if decisions.get(run.trial.number) is Decision.PAUSE and keeper.worth(run.epochs - run.completed)
    }
    due = keeper.due
    chosen = [run for run in going if due or run.trial.number in pausing]
    kept = [run.trial.number for run in chosen if keeper.save(run, trainee.state_of(run))]
    return [Paused(number, trainee.info) for number in kept if number in pausing]


def _leave(trainee: Trainee, ended: list[EpochEvent], diverged: Collection[int] = ()) -> EpochEvents:
    if ended:
        yield ended
    if gone := _numbers(ended) | set(diverged):
        trainee.leave(gone)


def _numbers(events: Iterable[EpochEvent]) -> set[int]:
    return {event.number for event in events}


def _without(runs: Iterable[Run], numbers: Collection[int]) -> list[Run]:
    return [run for run in runs if run.trial.number not in numbers]
