"""A Torch task as an objective: trains the trials of an assignment, as one stack where that is faster."""

from __future__ import annotations

import copy
import sys
import traceback
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hpo.events import Assignment, Beside, Channel, Decision, FailureKind, Reported, Returned, TrialSpec
from hpo.objective.alone import forget, train_alone
from hpo.objective.failures import RAISED, ending_of, kind_of, one_line
from hpo.objective.libraries import libraries_of
from hpo.objective.noting import Noting
from hpo.objective.outputs import LeavingOutputs
from hpo.objective.references import measure_references
from hpo.objective.seeds import seed_python_and_numpy
from hpo.objective.surroundings import Surroundings
from hpo.spec.contract import Contract
from hpo.spec.faults import Fault
from hpo.training.checkpoint import Keeper, resumed
from hpo.training.contract import contract_of
from hpo.training.data.table_task import TableTask
from hpo.training.device import pick_device, warm_up
from hpo.training.evaluation import to_device
from hpo.training.run import Run, start
from hpo.training.task import Splits, TorchTask
from hpo.training.vocabulary.targets import remembering

if TYPE_CHECKING:
    from torch import Tensor

    from hpo.training.stack.cohort import Cohort


class TorchObjective:
    """A Torch task bound to a sweep file's `data` section; implements `hpo.objective.base.Objective`."""

    as_text = None

    def __init__(self, task: TorchTask, data: Mapping[str, Any]) -> None:
        self.task = task
        self.data = data
        self._contract = contract_of(task)
        self._splits: Splits | None = None
        # Members of a stack that pay and fit here, by structure, as measured. (What follows for the whole sweep, by
        # shape, is the planner's to know: it is told by Returned.)
        self._measured: dict[Hashable, int] = {}
        self._surroundings: Surroundings | None = None
        self._test_rows: Tensor | None = None
        self._leaving: LeavingOutputs | None = None  # while an assignment asks for outputs

    @property
    def contract(self) -> Contract:
        return self._contract

    @property
    def libraries(self) -> tuple[str, ...]:
        return (*self.task.libraries(self.data), *libraries_of(self.task))

    @property
    def is_table(self) -> bool:
        return isinstance(self.task, TableTask)

    def check_data(self) -> list[Fault]:
        return self.task.check_data(copy.deepcopy(self.data))

    def prepare(self) -> list[str]:
        """Load the splits, without the test split, to the device that will train, and what of Torch comes late."""
        warm_up()
        notes = list(self.loaded().notes)
        self._surroundings = Surroundings()
        return notes

    def run(self, assignment: Assignment, channel: Channel) -> None:
        """Train several trials as one stack, one trial by the plain loop, each from its checkpoint if it has one. A
        trial that raises ends as Failed, and the others go on; those that would hold up a stack come back as Returned.
        What the channel raises passes, for then nobody listens. What the trials have changed in their process is put
        back at the end."""
        surroundings = self._surroundings = self._surroundings or Surroundings()
        noting = Noting(channel, self._facts)
        self._leaving = LeavingOutputs(noting, self._test_x) if assignment.outputs else None
        try:
            self._train(assignment, self._leaving or noting)
        finally:
            self._leaving = None
            for text in surroundings.put_back().values():
                print(text, file=sys.stderr)  # the worker's log

    def _facts(self) -> dict[str, Any]:
        """Return what a trial's end says of the data: how many rows its `val_*` metrics are taken over."""
        return {"validation_rows": len(self._splits.validation)} if self._splits is not None else {}

    def _train(self, assignment: Assignment, channel: Channel) -> None:
        if assignment.references is not None:
            measure_references(self.task, self.loaded(), assignment.references, channel)
            return
        if assignment.beside is not None:
            self._train_beside(assignment.trials[0], assignment.beside, assignment.compile, channel)
            return
        if len(assignment.trials) == 1:
            self._train_alone(assignment.trials[0], channel, assignment.checkpoint_seconds)
            return
        groups: dict[Hashable, list[Run]] = {}
        remember = remembering()
        for trial in assignment.trials:
            try:
                seed_python_and_numpy(trial.seed)
                run = resumed(partial(start, self.task, self.loaded(), trial, pick_device(), remember))
                structure = _structure(run)
            except RAISED as error:
                channel.exchange([ending_of(trial.number, error)])
                continue
            groups.setdefault(structure, []).append(run)
        if len(groups) > 1 and all(len(runs) == 1 for runs in groups.values()):
            # Classes made inside a function, say: no two trials would ever share a structure.
            (first, *others), reason = (runs[0] for runs in groups.values()), "each has a model of another structure"
            channel.exchange([Returned(run.trial.number, 1, reason) for run in others])
            self._train_alone(first.trial, channel, assignment.checkpoint_seconds)
            return
        for structure, runs in groups.items():
            self._train_group(structure, runs, assignment, channel)

    def _train_group(self, structure: Hashable, runs: list[Run], assignment: Assignment, channel: Channel) -> None:
        """Train runs of one structure: as many as fit into a stack; the others are returned."""
        from hpo.training.stack.slot import CannotStack

        most, reason, cohort = 1, "", None
        checkpoint_seconds = assignment.checkpoint_seconds
        try:
            most = self._limit(structure, runs, assignment.measured)
            cohort = self._stack(runs[:most], assignment.compile) if min(most, len(runs)) > 1 else None
        except (CannotStack, RuntimeError) as error:  # RuntimeError: Torch's own words for what it can't vectorise
            most, reason = 1, _why(error)
        except RAISED:  # of one of the trials, most likely: alone, each fails for itself
            traceback.print_exc()
            for run in runs:
                self._train_alone(run.trial, channel, checkpoint_seconds)
            return
        self._measured[structure] = most
        channel.exchange([Returned(run.trial.number, most, reason) for run in runs[most:]])
        del runs[most:]  # and the memory that they take
        if cohort is None:
            self._train_alone(runs[0].trial, channel, checkpoint_seconds)
        else:
            self._train_cohort(structure, cohort, channel, checkpoint_seconds)

    def _limit(self, structure: Hashable, runs: Sequence[Run], measured: bool) -> int:
        from hpo.training.stack.probe import probe

        if structure not in self._measured:
            gain = probe(self.task, self.loaded(), [run.trial for run in runs], pick_device())
            self._measured[structure] = gain.most if gain.pays or not measured else 1
        return self._measured[structure]

    def _stack(self, runs: Sequence[Run], compile: bool) -> Cohort:
        from hpo.training.stack.cohort import Cohort

        return Cohort(runs, compile)

    def _train_cohort(self, structure: Hashable, cohort: Cohort, channel: Channel, checkpoint_seconds: float) -> None:
        """Train a stack. Should it break, its trials go on alone, from their checkpoints or their start: then only the
        one at fault fails; should it find too little memory, they come back, to train in smaller ones. What a probe's
        few steps don't show (a short batch, how the models measure) shows in the first epoch: then as there."""
        from hpo.training.stack.cohort import train_cohort
        from hpo.training.stack.slot import CannotStack

        specs = {run.trial.number: run.trial for run in cohort.runs}
        completed = {run.trial.number: run.completed for run in cohort.runs}
        if self._leaving is not None:
            for run in cohort.runs:
                self._leaving.trains(run, cohort)
        training = train_cohort(cohort, keeper=Keeper(checkpoint_seconds))
        decisions: Mapping[int, Decision] | None = None
        while True:
            try:
                events = training.send(decisions)
            except StopIteration:
                return
            except RAISED as error:
                traceback.print_exc()  # to the worker's log
                if kind_of(error) is FailureKind.OUT_OF_MEMORY:
                    forget()
                    channel.exchange([Returned(number, max(1, len(specs) // 2)) for number in specs])
                    return
                in_first_epoch = all(run.completed == completed[run.trial.number] for run in cohort.runs)
                if in_first_epoch and isinstance(error, CannotStack | RuntimeError):
                    self._measured[structure] = 1
                    first, *others = sorted(specs)
                    channel.exchange([Returned(number, 1, _why(error)) for number in others])
                    specs = {first: specs[first]}
                break
            for event in events:
                if not isinstance(event, Reported):
                    del specs[event.number]
            decisions = channel.exchange(events)
        for trial in specs.values():
            self._train_alone(trial, channel, checkpoint_seconds)

    def _train_beside(self, trial: TrialSpec, beside: Beside, compile: bool, channel: Channel) -> None:
        from hpo.objective.replay import members, train_beside

        remember = remembering()
        try:
            runs = []
            for member in members(trial, beside):
                seed_python_and_numpy(member.seed)
                runs.append(start(self.task, self.loaded(), member, pick_device(), remember))
            train_beside(self._stack(runs, compile), trial.number, beside, channel)
        except RAISED as error:  # alone it would get other numbers
            channel.exchange([ending_of(trial.number, error)])

    def _train_alone(self, trial: TrialSpec, channel: Channel, checkpoint_seconds: float) -> None:
        def begin() -> Run:
            seed_python_and_numpy(trial.seed)  # each time: it may start over, with smaller batches
            run = start(self.task, self.loaded(), trial, pick_device())
            if self._leaving is not None:
                self._leaving.trains(run)
            return run

        train_alone(begin, trial, channel, checkpoint_seconds)

    def _test_x(self) -> Tensor:
        """Return the features of the test rows; their targets are loaded with them, and dropped at once."""
        if self._test_rows is None:
            self._test_rows = self.task.splits(copy.deepcopy(self.data)).test.x.to(pick_device())
        return self._test_rows

    def loaded(self) -> Splits:
        """Return the splits on the device that trains; the test split is empty."""
        if self._splits is None:
            splits, device = self.task.splits(copy.deepcopy(self.data)).without_test(), pick_device()
            train, validation = to_device(splits.train, device), to_device(splits.validation, device)
            self._splits = replace(splits, train=train, validation=validation)
        return self._splits


def _structure(run: Run) -> Hashable:
    """Return what runs must share to be tried as one stack; a model that no stack can hold has a key of its own."""
    from hpo.training.stack.model import structure_of
    from hpo.training.stack.slot import CannotStack

    try:
        return run.batch_size, structure_of(run.model)
    except CannotStack as error:
        return run.batch_size, str(error)


def _why(error: Exception) -> str:
    """Return why there can be no stack: CannotStack's message, or Torch's with its type."""
    from hpo.training.stack.slot import CannotStack

    return str(error) if isinstance(error, CannotStack) else one_line(error)
