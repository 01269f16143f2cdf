"""The rows that trials train on and are measured on, on the device that trains: split once for all of them, in folds,
or anew for each. Of the test rows only the features are ever here, for a confirmation."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, cast

from hpo.events import TrialSpec
from hpo.spec.contract import RESAMPLED
from hpo.spec.faults import Fault
from hpo.training.cuts import Cut, Fold, Reshuffle
from hpo.training.data.options import fill_options
from hpo.training.data.splitting import SPLIT_OPTIONS
from hpo.training.device import pick_device
from hpo.training.evaluation import to_device
from hpo.training.given_rows import checked_splits
from hpo.training.members import Member
from hpo.training.seeding import derive_seed
from hpo.training.task import Splits, TorchTask

if TYPE_CHECKING:
    from torch import Tensor

_KEYS = ("resample", "folds")


class CutsRows(Protocol):
    """A task whose data can be cut otherwise than once for all trials."""

    def splits(self, data: Mapping[str, Any], cut: Cut | None = None) -> Splits: ...


class TaskRows:
    """The rows of a task's data, as its `data` section has them split."""

    def __init__(self, task: TorchTask, data: Mapping[str, Any]) -> None:
        self._task = task
        self._data = data
        self._how = data.get("resample") if takes_cut(task) else None
        folds = fill_options(data, SPLIT_OPTIONS)["folds"]
        sound = not SPLIT_OPTIONS["folds"].objection(folds)  # else check_rows says what is wrong
        self.folds = int(folds) if self._how == "kfold" and sound else 1
        self._known: dict[Cut | None, Splits] = {}
        self._sound = False  # what the task gives was looked at
        self._test_x: Tensor | None = None

    @property
    def reshuffled(self) -> bool:
        """Whether each trial has a split of its own."""
        return self._how == "reshuffle"

    def loaded(self) -> Splits:
        """Return the split of all trials; the first fold, where there are folds."""
        return self._cut(Fold(0, self.folds) if self.folds > 1 else None)

    def each(self) -> list[Splits]:
        """Return all folds; the one split where there are none."""
        return (
            [self._cut(Fold(index, self.folds)) for index in range(self.folds)] if self.folds > 1 else [self.loaded()]
        )

    def of(self, trial: TrialSpec, member: Member) -> Splits:
        """Return the rows of one member of a trial: its fold, or a split by its seed."""
        if self.reshuffled:
            return self._load(Reshuffle(derive_seed(member.seed(trial.seed), "rows")))
        return self._cut(Fold(member.index % self.folds, self.folds)) if self.folds > 1 else self.loaded()

    @property
    def measured(self) -> int | None:
        """How many rows a trial's `val_*` metrics are taken over: those of the folds that are loaded, as all are
        once a trial has trained on them; None while nothing is."""
        return sum(len(splits.validation) for splits in self._known.values()) or None

    def test_x(self) -> Tensor:
        """Return the features of the test rows; their targets are loaded with them, and dropped at once."""
        if self._test_x is None:
            self._test_x = given_splits(self._task, self._data).test.x.to(pick_device())
        return self._test_x

    def _cut(self, cut: Cut | None) -> Splits:
        if cut not in self._known:
            self._known[cut] = self._load(cut)
        return self._known[cut]

    def _load(self, cut: Cut | None) -> Splits:
        # Splits by chance are of the same rows: to look through them for each trial would take its time.
        found, device = given_splits(self._task, self._data, cut, not (self._sound and self.reshuffled)), pick_device()
        self._sound = True
        train, validation = to_device(found.train, device), to_device(found.validation, device)
        return replace(found.without_test(), train=train, validation=validation)


def given_splits(task: TorchTask, data: Mapping[str, Any], cut: Cut | None = None, thorough: bool = True) -> Splits:
    """Return the splits that a task gives. thorough: look at all numbers, not at shapes and types only.

    Raises UserError if they are none to train on, and what the task raises.
    """
    own = copy.deepcopy(dict(data))
    found = task.splits(own) if cut is None else cast(CutsRows, task).splits(own, cut=cut)
    return checked_splits(found, task.kind, type(task).__name__, thorough)


def takes_cut(task: TorchTask) -> bool:
    """Whether a task's data can be resampled: its `splits` takes a `cut`."""
    return "cut" in inspect.signature(task.splits).parameters


def check_rows(task: TorchTask, data: Mapping[str, Any]) -> list[Fault]:
    """Return what is wrong with a sweep file's `data` section. Paths are relative to it."""
    if data.get("resample") not in RESAMPLED or takes_cut(task):
        return task.check_data(copy.deepcopy(dict(data)))
    message = f"{type(task).__name__}.splits takes no 'cut', so its rows can't be resampled ({data['resample']})"
    remedy = "write `def splits(self, data, cut=None)` and cut by it, as hpo.split_arrays does; `repeats` needs none"
    rest = {key: value for key, value in data.items() if key not in _KEYS}
    return [Fault(message, ("resample",), remedy=remedy), *task.check_data(copy.deepcopy(rest))]
