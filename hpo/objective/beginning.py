"""A trial before its first step: a run for each of its members."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from hpo.events import TrialSpec
from hpo.objective.seeds import seed_python_and_numpy
from hpo.training.device import pick_device
from hpo.training.members import Member
from hpo.training.run import Run, start
from hpo.training.task import Split, Splits, TorchTask
from hpo.training.vocabulary.targets import PreparedTargets, prepare_targets

Prepare = Callable[[Split, Mapping[str, Any]], PreparedTargets]
RowsOf = Callable[[TrialSpec, Member], Splits]


class Beginning:
    """Begins the runs of trials, on the device that trains."""

    def __init__(self, task: TorchTask, rows: RowsOf, members: int) -> None:
        """rows: the rows of one member of a trial, on the device. members: of each trial."""
        self._task = task
        self._rows = rows
        self.members = members

    def runs(self, trial: TrialSpec, prepare: Prepare = prepare_targets) -> list[Run]:
        """Return the runs of a trial, in the order of its members. Raises what the task raises."""
        return [begin() for begin in self.each(trial, prepare)]

    def each(self, trial: TrialSpec, prepare: Prepare = prepare_targets) -> list[Callable[[], Run]]:
        """Return for each member what begins its run, a fresh one each time."""
        members = [Member(index, self.members) for index in range(self.members)]
        return [partial(self._run, trial, member, prepare) for member in members]

    def _run(self, trial: TrialSpec, member: Member, prepare: Prepare) -> Run:
        seed_python_and_numpy(member.seed(trial.seed))
        return start(self._task, self._rows(trial, member), trial, pick_device(), prepare, member)
