"""A Torch task as an objective: trains the trials of an assignment one after the other, by the plain loop."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

from hpo.events import Assignment, Channel, Decision, Event, Failed, TrialSpec
from hpo.objective.function import one_line
from hpo.spec.contract import Contract
from hpo.spec.faults import Fault
from hpo.training.contract import contract_of
from hpo.training.device import pick_device
from hpo.training.evaluation import to_device
from hpo.training.loop import train
from hpo.training.task import Splits, TorchTask


class TorchObjective:
    """A Torch task bound to a sweep file's `data` section; implements `hpo.objective.base.Objective`."""

    def __init__(self, task: TorchTask, data: Mapping[str, Any]) -> None:
        self.task = task
        self.data = data
        self._contract = contract_of(task)
        self._splits: Splits | None = None

    @property
    def contract(self) -> Contract:
        return self._contract

    def check_data(self) -> list[Fault]:
        return self.task.check_data(self.data)

    def prepare(self) -> list[str]:
        """Load the splits, without the test split, to the device that will train. Loads once."""
        return list(self._loaded().notes)

    def run(self, assignment: Assignment, channel: Channel) -> None:
        """Train the trials in order. One that raises ends as Failed, and the others go on; what the channel raises
        passes, for then nobody listens."""
        splits = self._loaded()
        for trial in assignment.trials:
            self._run_trial(trial, splits, channel)

    def _run_trial(self, trial: TrialSpec, splits: Splits, channel: Channel) -> None:
        training = train(self.task, splits, trial, pick_device())
        decision: Decision | None = None
        while True:
            event: Event
            try:
                event = training.send(decision)
            except StopIteration:
                return
            except Exception as error:
                channel.exchange([failed(trial.number, error)])
                return
            decision = channel.exchange([event]).get(trial.number, Decision.CONTINUE)

    def _loaded(self) -> Splits:
        if self._splits is None:
            splits, device = self.task.splits(self.data).without_test(), pick_device()
            self._splits = Splits(
                train=to_device(splits.train, device),
                validation=to_device(splits.validation, device),
                test=splits.test,
                outputs=splits.outputs,
                notes=splits.notes,
            )
        return self._splits


def failed(number: int, error: Exception) -> Failed:
    """Return the event for a trial that raised: "Type: message" on one line, and the traceback."""
    return Failed(number, one_line(error), "".join(traceback.format_exception(error)))
