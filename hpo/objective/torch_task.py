"""A Torch task as an objective: trains the trials of an assignment, as one stack where that is faster.

The members of a trial (hpo/training/members.py) are in the same stack as far as they can, and in lock-step always.
"""

from __future__ import annotations

import copy
import sys
import traceback
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hpo.events import Assignment, Beside, Channel, Decision, FailureKind, Reported, Returned, TrialSpec, Unread
from hpo.objective.alone import forget, train_alone
from hpo.objective.beginning import Beginning
from hpo.objective.failures import RAISED, ending_of, kind_of
from hpo.objective.libraries import libraries_of
from hpo.objective.noting import Noting
from hpo.objective.outputs import LeavingOutputs
from hpo.objective.references import measure_references
from hpo.objective.rows import TaskRows, check_rows
from hpo.objective.stacking import NO_TWO_ALIKE, stack_of, structure_of_trial, to_probe, why
from hpo.objective.surroundings import Surroundings
from hpo.objective.unread import unread_of
from hpo.spec.contract import Contract
from hpo.spec.faults import Fault
from hpo.training.checkpoint import Keeper, resumed
from hpo.training.contract import contract_of
from hpo.training.data.table_task import TableTask
from hpo.training.device import pick_device, warm_up
from hpo.training.epochs import Trainee, train_epochs
from hpo.training.given_rows import checked_kind, shared_rows
from hpo.training.run import Run
from hpo.training.task import TorchTask
from hpo.training.vocabulary.targets import remembering

if TYPE_CHECKING:
    from hpo.spec.named import Named


class TorchObjective:
    """A Torch task bound to a sweep file's `data` section; implements `hpo.objective.base.Objective`."""

    as_text = None
    flags: Mapping[str, str] = MappingProxyType({})

    def __init__(self, task: TorchTask, data: Mapping[str, Any], repeats: int = 1) -> None:
        """repeats: seeds that each trial is trained with. Raises SpecError if the data can't tell what task it sets."""
        self.task = task = task.for_data(copy.deepcopy(dict(data)))
        self.data = data
        checked_kind(getattr(task, "kind", None), type(task).__name__)
        self._contract = replace(
            contract_of(task), kind_said=task.kind_said, kind_found=task.kind if task.kind_said else ""
        )
        self.rows = TaskRows(task, data)
        self.beginning = Beginning(task, self.rows.of, repeats * self.rows.folds)
        # Runs in a stack that pay and fit here, by structure, as measured. (What follows for the whole sweep, by shape,
        # is the planner's to know: it is told by Returned.)
        self._measured: dict[Hashable, int] = {}
        self._surroundings: Surroundings | None = None
        self._leaving: LeavingOutputs | None = None  # while an assignment asks for outputs

    @property
    def contract(self) -> Contract:
        return self._contract

    @property
    def libraries(self) -> tuple[str, ...]:
        return (*self.task.libraries(self.data), *libraries_of(self.task))

    @property
    def folds(self) -> int:
        return self.rows.folds

    @property
    def is_table(self) -> bool:
        return isinstance(self.task, TableTask)

    def check_data(self) -> list[Fault]:
        return check_rows(self.task, self.data)

    def prepare(self) -> list[str]:
        """Load the splits, without the test split, to the device that will train, and what of Torch comes late."""
        warm_up()
        first = self.rows.each()[0]
        notes = [*first.notes, *filter(None, [shared_rows(first)])]
        if self.rows.reshuffled:
            notes.append("each trial has a split of its own, by its seed: the same test rows, other validation rows")
        self._surroundings = Surroundings()
        return notes

    def unread(self, named: Named) -> Unread | None:
        """Return which of its hyperparameters the task does not read. What it changes in its process is put back."""
        surroundings = self._surroundings = self._surroundings or Surroundings()
        try:
            return unread_of(self.task, self.rows.each()[0], named)
        finally:
            surroundings.put_back()

    def run(self, assignment: Assignment, channel: Channel) -> None:
        """Train several runs as one stack, one run by the plain loop, each trial from its checkpoint if it has one. A
        trial that raises ends as Failed, and the others go on; those that would hold up a stack come back as Returned.
        What the channel raises passes, for then nobody listens. What the trials have changed in their process is put
        back at the end."""
        surroundings = self._surroundings = self._surroundings or Surroundings()
        noting = Noting(channel, self._facts)
        self._leaving = LeavingOutputs(noting, self.rows.test_x) if assignment.outputs else None
        try:
            self._train(assignment, self._leaving or noting)
        finally:
            self._leaving = None
            for text in surroundings.put_back().values():
                print(text, file=sys.stderr)  # the worker's log

    def _facts(self) -> dict[str, Any]:
        """Return what a trial's end says of what its `val_*` metrics are taken over: rows, and members if several."""
        members = {"members": self.beginning.members} if self.beginning.members > 1 else {}
        rows = self.rows.measured
        return {**({"validation_rows": rows} if rows is not None else {}), **members}

    def _train(self, assignment: Assignment, channel: Channel) -> None:
        if assignment.references is not None:
            measure_references(self.task, self.rows.each(), assignment.references, channel)
            return
        if assignment.beside is not None:
            self._train_beside(assignment.trials[0], assignment.beside, assignment.compile, channel)
            return
        if len(assignment.trials) == 1 and (self.beginning.members == 1 or not assignment.stack):
            self._train_alone(assignment.trials[0], channel, assignment.checkpoint_seconds)
            return
        groups: dict[Hashable, list[list[Run]]] = {}
        remember = remembering()
        for trial in assignment.trials:
            try:
                runs = resumed(partial(self.beginning.runs, trial, remember))
                structure = structure_of_trial(runs)
            except RAISED as error:
                channel.exchange([ending_of(trial.number, error)])
                continue
            groups.setdefault(structure, []).append(runs)
        if len(groups) > 1 and all(len(trials) == 1 for trials in groups.values()):
            # Classes made inside a function, say: no two trials would ever share a structure.
            _, *others = groups
            channel.exchange([Returned(groups.pop(each)[0][0].trial.number, 1, NO_TWO_ALIKE) for each in others])
        for structure, trials in groups.items():
            self._train_group(structure, trials, assignment, channel)

    def _train_group(
        self, structure: Hashable, trials: list[list[Run]], assignment: Assignment, channel: Channel
    ) -> None:
        """Train trials of one structure: as many as fit into a stack; the others are returned."""
        from hpo.training.stack.slot import CannotStack

        seconds, members = assignment.checkpoint_seconds, self.beginning.members
        if len(trials) * members == 1:
            self._train_alone(trials[0][0].trial, channel, seconds)
            return
        most, reason, stack = 1, "", None
        try:
            most = self._limit(structure, trials, assignment.measured)
            if min(most // members, len(trials)) * members > 1:
                stack = stack_of(trials[: most // members], assignment.compile)
        except (CannotStack, RuntimeError) as error:  # RuntimeError: Torch's own words for what it can't vectorise
            most, reason = 1, why(error)
        except RAISED:  # of one of the trials, most likely: alone, each fails for itself
            traceback.print_exc()
            for first, *_ in trials:
                self._train_alone(first.trial, channel, seconds)
            return
        self._measured[structure] = most
        at_most = max(1, most // members)
        channel.exchange([Returned(first.trial.number, at_most, reason) for first, *_ in trials[at_most:]])
        del trials[at_most:]  # and the memory that they take
        specs = [first.trial for first, *_ in trials]
        if stack is not None:
            trials.clear()
            specs = self._train_stack(structure, stack, channel, seconds)
            del stack
        for trial in specs:
            self._train_alone(trial, channel, seconds)

    def _limit(self, structure: Hashable, trials: Sequence[Sequence[Run]], measured: bool) -> int:
        """Return how many runs of a structure train as one stack; 1: none do."""
        from hpo.training.stack.probe import probe

        if structure not in self._measured:
            begin = [self.beginning.each(first.trial) for first, *_ in trials]
            gain = probe(to_probe(trials, begin), pick_device())
            self._measured[structure] = gain.most if gain.pays or not measured else 1
        return self._measured[structure]

    def _train_stack(
        self, structure: Hashable, stack: Trainee, channel: Channel, checkpoint_seconds: float
    ) -> list[TrialSpec]:
        """Train a stack. Should it break, its trials are to go on alone (they are returned), from their checkpoints or
        their start: then only the one at fault fails; should it find too little memory, they come back, to train in
        smaller ones. What a probe's few steps don't show (a short batch, how the models measure) shows in the first
        epoch: then as there."""
        from hpo.training.stack.slot import CannotStack

        specs = {run.trial.number: run.trial for run in stack.runs}
        completed = {run.trial.number: run.completed for run in stack.runs}
        if self._leaving is not None:
            for run in stack.runs:
                if run.member.index == 0:  # whose model is the trial's
                    self._leaving.trains(run, stack)
        training = train_epochs(stack, keeper=Keeper(checkpoint_seconds))
        decisions: Mapping[int, Decision] | None = None
        while True:
            try:
                events = training.send(decisions)
            except StopIteration:
                return []
            except RAISED as error:
                traceback.print_exc()  # to the worker's log
                if kind_of(error) is FailureKind.OUT_OF_MEMORY:
                    return self._make_room(structure, specs, channel)
                in_first_epoch = all(run.completed == completed[run.trial.number] for run in stack.runs)
                if in_first_epoch and isinstance(error, CannotStack | RuntimeError):
                    self._measured[structure] = 1
                    first, *others = sorted(specs)
                    channel.exchange([Returned(number, 1, why(error)) for number in others])
                    return [specs[first]]
                return list(specs.values())
            for event in events:
                if not isinstance(event, Reported):
                    del specs[event.number]
            decisions = channel.exchange(events)

    def _make_room(self, structure: Hashable, specs: Mapping[int, TrialSpec], channel: Channel) -> list[TrialSpec]:
        """Have a stack's trials come back, to train in smaller ones; return a stack's only one: it trains alone."""
        forget()
        if len(specs) == 1:
            self._measured[structure] = 1
            return list(specs.values())
        channel.exchange([Returned(number, max(1, len(specs) // 2)) for number in specs])
        return []

    def _train_beside(self, trial: TrialSpec, beside: Beside, compile: bool, channel: Channel) -> None:
        from hpo.objective.replay import members, train_beside

        remember = remembering()
        try:
            trials = [self.beginning.runs(member, remember) for member in members(trial, beside)]
            train_beside(stack_of(trials, compile), trial.number, beside, channel)
        except RAISED as error:  # alone it would get other numbers
            channel.exchange([ending_of(trial.number, error)])

    def _train_alone(self, trial: TrialSpec, channel: Channel, checkpoint_seconds: float) -> None:
        def begin() -> list[Run]:
            runs = self.beginning.runs(trial)
            if self._leaving is not None:
                self._leaving.trains(runs[0])
            return runs

        train_alone(begin, trial, channel, checkpoint_seconds)
