"""The epochs of trials that train, one trial or several as a stack: train, measure, report, decide, end, keep.

    for events in train_epochs(trainee): ...

The order of events is decided here and nowhere else; what trains, and so the numbers, is a Trainee's (loop.py for runs
one by one, stack/cohort.py for a stack, together.py for several of these).

A trial is all the runs with its number, its members. It has one event where each of them has trained an epoch, and it
ends with all of them. It diverges as soon as one does: a mean over the others would call a configuration good that
fails with some seeds or on some rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hpo.events import DIVERGED_HEALTH, Decision, Diverged, Finished, Paused, Reported, Stopped
from hpo.training.health import unseen
from hpo.training.leaving import hold_best, leave_weights
from hpo.training.members import averaged, averaged_health

if TYPE_CHECKING:
    from hpo.training.checkpoint import Keeper
    from hpo.training.run import Run

Measured = Sequence[Mapping[str, float] | None]
"""The metrics of one split for each run; None: a loss or an output was not finite."""
EpochEvent = Reported | Diverged | Stopped | Finished | Paused
EpochEvents = Generator[list[EpochEvent], Mapping[int, Decision] | None, None]


class Trainee(Protocol):
    """Runs that train together: one, or several. All members of a trial are in one trainee, and equally old."""

    @property
    def runs(self) -> Sequence[Run]:
        """Those that have not ended; their trials' events come in this order."""
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
        """Return the runs' `val_*` metrics of the current weights; of a run that chooses its threshold on them also
        the `train_*` metrics of the epoch, now at that threshold."""
        ...

    def examined(self) -> Sequence[Mapping[str, float]]:
        """Return the runs' figures of health (hpo.diagnosis.figures) of the epoch that was trained and validated last,
        {} where it was not measured. Measuring them changes no number of the training."""
        ...

    def state_of(self, run: Run) -> Mapping[str, Any]:
        """Return what a checkpoint keeps of a run's training: the state_dict of its `model` and of its `optimizer`, as
        the plain loop has them."""
        ...

    def settle(self, run: Run) -> None:
        """Give a run's model the weights that it has by now."""
        ...

    def leave(self, numbers: Collection[int]) -> None:
        """Drop the runs of the trials with these numbers."""
        ...


def train_epochs(trainee: Trainee, clock: Callable[[], float] = time.time, keeper: Keeper | None = None) -> EpochEvents:
    """Train runs to the end of all their trials, each from the epoch up to which it is completed.

    Yields lists of events: after each epoch a Reported for each trial that is well and a Diverged for each that is not;
    send a {number: Decision} after it. Then, where trials end, their Stopped, Finished and Paused events; nothing is
    received after these. The reports of epochs that were completed before come first, again, all trials' first epochs
    together: a Decision STOP holds there too.

    keeper: keeps checkpoints now and then. A Decision PAUSE ends a trial that has much before it with Paused, once its
    checkpoint is written; without a keeper it is ignored.
    """
    for epoch in range(max((run.completed for run in trainee.runs), default=0)):
        decisions = (yield [first.reports[epoch] for first in _firsts(trainee) if epoch < first.completed]) or {}
        stopped = [
            number
            for number, (first, *_) in _trials(trainee).items()
            if decisions.get(number) is Decision.STOP and epoch + 1 < first.epochs
        ]
        yield from _leave(trainee, [Stopped(number, trainee.info) for number in stopped])  # its weights are later ones
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
    found: dict[Run, Mapping[str, float] | None] = {}
    for run, train_metrics, val_metrics in zip(trainee.runs, trained, measured, strict=True):
        found[run] = None
        if train_metrics is not None and val_metrics is not None:
            found[run] = {**train_metrics, **val_metrics}
    examined = dict(zip(trainee.runs, trainee.examined(), strict=True))
    events: list[EpochEvent] = []
    for number, runs in _trials(trainee).items():
        health = averaged_health([examined[run] for run in runs])
        own = [metrics for metrics in map(found.__getitem__, runs) if metrics is not None]
        if len(own) < len(runs):
            lost = [run.member.index + 1 for run in runs if found[run] is None]
            info: dict[str, Any] = {"diverged_members": lost} if len(runs) > 1 else {}
            info |= {DIVERGED_HEALTH: health} if health else {}
            events.append(Diverged(number, runs[0].completed + 1, {**trainee.info, **info}))
            continue
        report = Reported(number, runs[0].completed + 1, averaged(own) | health, clock())
        for run in runs:
            run.record(report)
        if runs[0].trial.best_step is not None:
            hold_best(runs[0], trainee.settle)
        events.append(report)
    return events


def _ended(trainee: Trainee, decisions: Mapping[int, Decision], but: Collection[int] = ()) -> list[EpochEvent]:
    """Return the ends of the trials that are told to stop or have completed all their epochs."""
    ended: list[EpochEvent] = []
    for number, (first, *_) in _trials(trainee, but).items():
        if first.completed >= first.epochs:  # told to stop or not
            ended.append(Finished(number, info={**trainee.info, **_left(trainee, first)}))
        elif decisions.get(number) is Decision.STOP:
            ended.append(Stopped(number, {**trainee.info, **_weights_left(trainee, first)}))
    return ended


def _left(trainee: Trainee, first: Run) -> dict[str, Any]:
    """Have a trial leave what it is to; return what its end says of that, and of what was not measured. Its model is
    its first member's."""
    said = _weights_left(trainee, first)
    notes = unseen(first) | said.get("notes", {})
    return {**said, "notes": notes} if notes else said


def _weights_left(trainee: Trainee, first: Run) -> dict[str, Any]:
    if first.trial.weights is None:
        return {}
    trainee.settle(first)
    return leave_weights(first)


def _paused(
    trainee: Trainee, decisions: Mapping[int, Decision], keeper: Keeper, but: Collection[int]
) -> list[EpochEvent]:
    """Keep checkpoints where they are due or wanted; return the ends of the trials that pause with one."""
    keeper.epoch_trained()
    going = {number: runs for number, runs in _trials(trainee, but).items() if runs[0].trial.checkpoint}
    pausing = {
        number
        for number, (first, *_) in going.items()
        if decisions.get(number) is Decision.PAUSE and keeper.worth(first.epochs - first.completed)
    }
    due = keeper.due
    chosen = {number: runs for number, runs in going.items() if due or number in pausing}
    kept = [number for number, runs in chosen.items() if keeper.save(runs, [trainee.state_of(run) for run in runs])]
    return [Paused(number, trainee.info) for number in kept if number in pausing]


def _leave(trainee: Trainee, ended: list[EpochEvent], diverged: Collection[int] = ()) -> EpochEvents:
    if ended:
        yield ended
    if gone := _numbers(ended) | set(diverged):
        trainee.leave(gone)


def _numbers(events: Iterable[EpochEvent]) -> set[int]:
    return {event.number for event in events}


def _trials(trainee: Trainee, but: Collection[int] = ()) -> dict[int, list[Run]]:
    """Return each trial's runs, by its number, members in their order. but: trials that are left out."""
    found: dict[int, list[Run]] = {}
    for run in trainee.runs:
        if run.trial.number not in but:
            found.setdefault(run.trial.number, []).append(run)
    return {number: sorted(runs, key=lambda run: run.member.index) for number, runs in found.items()}


def _firsts(trainee: Trainee) -> list[Run]:
    """Return the first member of each trial: what trials report is in each of its members."""
    return [runs[0] for runs in _trials(trainee).values()]
