"""A trial of the past trained again in this process, for what it leaves behind: its model."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from hpo.events import (
    Answer,
    AskedParameter,
    Beside,
    Decision,
    Event,
    Finished,
    ReferenceMeasured,
    Reported,
    Stopped,
    TrialSpec,
)
from hpo.objective.beginning import Beginning
from hpo.objective.replay import members, train_beside
from hpo.objective.stacking import stack_of
from hpo.objective.surroundings import Surroundings
from hpo.training.device import settle_process
from hpo.training.leaving import take_weights
from hpo.training.loop import Events, train_members, validate
from hpo.training.run import Run
from hpo.training.task import Split, Splits
from hpo.training.vocabulary.targets import remembering


@dataclass(frozen=True)
class Manner:
    """How a trial trained, besides what its TrialSpec says.

    beside: in which stack; None: alone. stacked: its own members as a stack. compile: by torch.compile. parts: in which
    its batches were split, for want of memory. threads: of its worker.
    """

    beside: Beside | None = None
    stacked: bool = False
    compile: bool = False
    parts: int = 1
    threads: int = 1


@dataclass(frozen=True)
class Retrained:
    """A trial after the last epoch that was asked for.

    run: its first member; its `model` has the weights of then. reports: the metrics of each epoch, from 1.
    end: None where it trained as far; else what happened.
    """

    run: Run
    reports: Mapping[int, Mapping[str, float]]
    end: Event | None


@dataclass
class _Listener:
    """Implements hpo.events.Channel: it keeps what one trial says, and stops it after an epoch. until: which; None: it
    trains to its end."""

    until: int | None = None
    heard: list[Event] = field(default_factory=list)

    def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
        self.heard += events
        if self.until is None:
            return {}
        return {it.number: Decision.STOP for it in events if isinstance(it, Reported) and it.step >= self.until}

    def ask(self, asked: AskedParameter) -> Answer:
        raise NotImplementedError("a Torch task asks for nothing")

    def attach(self, number: int, name: str, path: str) -> None:
        raise NotImplementedError("a Torch task attaches nothing")

    def refer(self, measured: ReferenceMeasured) -> None:
        raise NotImplementedError("no references are measured here")


def retrain(beginning: Beginning, trial: TrialSpec, manner: Manner, until: int | None = None) -> Retrained:
    """Train a trial again, exactly as it was: the same bits on the same kind of machine and library versions.

    beginning: the objective's, or another one's that trains on `on_both`. until: the epoch whose model is wanted; None:
    the last.
    What the trial changes in this process is put back. Raises what training raises.
    """
    with _as_a_worker(manner.threads):
        listener = _Listener(until)
        if manner.beside is None and not manner.stacked:
            run = _alone(beginning, trial, manner.parts, listener)
        else:
            run = _in_stack(beginning, trial, manner.beside or Beside(0, ()), manner.compile, listener)
    reports = {event.step: event.metrics for event in listener.heard if isinstance(event, Reported)}
    meant = (Reported, Finished) if until is None else (Reported, Finished, Stopped)
    return Retrained(run, reports, next((event for event in listener.heard if not isinstance(event, meant)), None))


def with_weights(beginning: Beginning, trial: TrialSpec, file: Path, threads: int) -> Retrained:
    """Return a trial with the weights that its first member left, measured on that one's validation rows.

    reports: of the last epoch, by the metrics' plain names.
    What making the model changes in this process is put back. Raises ValueError if they are another trial's; what the
    objective and torch.load raise passes.
    """
    with _as_a_worker(threads):
        run = beginning.each(trial)[0]()
        take_weights(run, file)
        return Retrained(run, {run.epochs: validate(run, choose=False)}, None)


@contextmanager
def _as_a_worker(threads: int) -> Iterator[None]:
    """Train inside the block as a worker does; put back what that changes in this process."""
    surroundings, before = Surroundings(), torch.get_num_threads()
    settle_process(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        for text in surroundings.put_back().values():
            print(text, file=sys.stderr)


def on_both(splits: Splits) -> Splits:
    """Return splits whose training rows are those of training and of validation. What was fitted for the features stays
    as it is. The validation rows are there still, since training measures on them; they mean nothing any more."""
    train, more = splits.train, splits.validation
    weight = None
    if train.weight is not None or more.weight is not None:  # a task may weight the rows that it trains on only
        each = [torch.ones_like(part.y, dtype=torch.float32) if part.weight is None else part.weight
                for part in (train, more)]  # fmt: skip
        weight = torch.cat(each)
    return replace(splits, train=Split(torch.cat([train.x, more.x]), torch.cat([train.y, more.y]), weight))


def _alone(beginning: Beginning, trial: TrialSpec, parts: int, listener: _Listener) -> Run:
    runs = beginning.runs(trial)
    for run in runs:
        run.in_parts(parts)
    training = train_members(runs)
    decision: Decision | None = None
    while (event := _next(training, decision)) is not None:
        decision = listener.exchange([event]).get(trial.number)
    return runs[0]


def _next(training: Events, decision: Decision | None) -> Event | None:
    try:
        return training.send(decision)
    except StopIteration:
        return None


def _in_stack(beginning: Beginning, trial: TrialSpec, beside: Beside, compile: bool, listener: _Listener) -> Run:
    remember = remembering()
    trials = [beginning.runs(member, remember) for member in members(trial, beside)]
    train_beside(stack_of(trials, compile), trial.number, beside, listener)
    return trials[beside.place][0]
