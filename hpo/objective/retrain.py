"""A trial of the past trained again in this process, for what it leaves behind: its model."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from hpo.events import Beside, Decision, Event, Finished, ReferenceMeasured, Reported, TrialSpec
from hpo.objective.replay import members, train_beside
from hpo.objective.seeds import seed_python_and_numpy
from hpo.objective.surroundings import Surroundings
from hpo.objective.torch_task import TorchObjective
from hpo.training.device import pick_device, settle_process
from hpo.training.leaving import take_weights
from hpo.training.loop import train_run, validate
from hpo.training.run import Run, start
from hpo.training.stack.cohort import Cohort
from hpo.training.task import Split, Splits
from hpo.training.vocabulary.targets import remembering


@dataclass(frozen=True)
class Manner:
    """How a trial trained, besides what its TrialSpec says.

    beside: in which stack; None: alone. compile: by torch.compile. parts: in which its batches were split, for want of
    memory. threads: of its worker.
    """

    beside: Beside | None = None
    compile: bool = False
    parts: int = 1
    threads: int = 1


@dataclass(frozen=True)
class Retrained:
    """A trial after its last epoch.

    run: its `model` has the final weights. reports: the metrics of each epoch, from 1.
    end: None where it trained to its end; else what happened.
    """

    run: Run
    reports: Mapping[int, Mapping[str, float]]
    end: Event | None


@dataclass
class _Listener:
    """Implements hpo.events.Channel: it keeps what one trial says."""

    heard: list[Event] = field(default_factory=list)

    def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
        self.heard += events
        return {}

    def attach(self, number: int, name: str, path: str) -> None:
        raise NotImplementedError("a Torch task attaches nothing")

    def refer(self, measured: ReferenceMeasured) -> None:
        raise NotImplementedError("no references are measured here")


def retrain(objective: TorchObjective, splits: Splits, trial: TrialSpec, manner: Manner) -> Retrained:
    """Train a trial again, exactly as it was: the same bits on the same kind of machine and library versions.

    splits: the objective's (`objective.loaded`), or `on_both` of them.
    What the trial changes in this process is put back. Raises what training raises.
    """
    with _as_a_worker(manner.threads):
        listener = _Listener()
        if manner.beside is None:
            run = _alone(objective, splits, trial, manner.parts, listener)
        else:
            run = _in_stack(objective, splits, trial, manner.beside, manner.compile, listener)
    reports = {event.step: event.metrics for event in listener.heard if isinstance(event, Reported)}
    ends = [event for event in listener.heard if not isinstance(event, Reported)]
    return Retrained(run, reports, next((event for event in ends if not isinstance(event, Finished)), None))


def with_weights(objective: TorchObjective, splits: Splits, trial: TrialSpec, file: Path, threads: int) -> Retrained:
    """Return a trial with the weights that it left, measured on the validation rows.

    What making the model changes in this process is put back. Raises ValueError if they are another trial's; what the
    objective and torch.load raise passes.
    """
    with _as_a_worker(threads):
        seed_python_and_numpy(trial.seed)
        run = start(objective.task, splits, trial, pick_device())
        take_weights(run, file)
        return Retrained(run, {run.epochs: validate(run)}, None)


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
    return replace(splits, train=Split(torch.cat([train.x, more.x]), torch.cat([train.y, more.y])))


def _alone(objective: TorchObjective, splits: Splits, trial: TrialSpec, parts: int, listener: _Listener) -> Run:
    seed_python_and_numpy(trial.seed)
    run = start(objective.task, splits, trial, pick_device())
    run.parts = parts
    for event in train_run(run):
        listener.exchange([event])
    return run


def _in_stack(
    objective: TorchObjective, splits: Splits, trial: TrialSpec, beside: Beside, compile: bool, listener: _Listener
) -> Run:
    remember, runs = remembering(), []
    for member in members(trial, beside):
        seed_python_and_numpy(member.seed)
        runs.append(start(objective.task, splits, member, pick_device(), remember))
    train_beside(Cohort(runs, compile), trial.number, beside, listener)
    return runs[beside.place]
