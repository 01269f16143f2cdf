"""Any Python function as an objective: it gets a Trial, reports as it likes, and returns the metric."""

from __future__ import annotations

import contextlib
import copy
import math
import operator
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

from hpo.events import (
    USER_ATTRS,
    Assignment,
    Channel,
    Decision,
    Diverged,
    Event,
    Failed,
    Finished,
    Reported,
    Stopped,
    TrialSpec,
)
from hpo.objective.base import Pruned
from hpo.objective.failures import RAISED, ending_of, is_pruning
from hpo.objective.libraries import libraries_of
from hpo.objective.optuna_trial import OptunaTrial, value_and_step
from hpo.objective.returned import beside, value_of
from hpo.objective.seeds import seed_everything as seed_everything
from hpo.objective.steps import StepScale
from hpo.objective.suggestions import AskedParams
from hpo.objective.surroundings import Surroundings
from hpo.objective.tracked import TrackedParams
from hpo.objective.trial_folder import TrialFolder
from hpo.objective.values import as_number
from hpo.spec.contract import Contract
from hpo.spec.faults import Fault
from hpo.spec.names import MOST_STEPS, clash_fault, clashes, name_fault

if TYPE_CHECKING:
    from hpo.spec.named import Named


class DivergedTrial(Pruned):
    """Raised by `trial.report` when the sweep's metric is not finite: the trial ends and is marked diverged."""

    def __init__(self, step: int) -> None:
        super().__init__(f"the metric is not finite at step {step}")
        self.step = step


class Trial(OptunaTrial):
    """What an objective function gets. It has the methods of `optuna.Trial`, too (optuna_trial.py).

    params: the active hyperparameters; without `parameters` in the sweep file, those that were asked for so far.
    seed: this trial's own; Python's, NumPy's and PyTorch's global generators are seeded with it beforehand.
    number: the trial's number in the study.
    epochs: `budget.epochs`, None if the file has none.
    data: the sweep file's `data` section, a copy of this trial's own.
    """

    def __init__(
        self,
        spec: TrialSpec,
        channel: Channel,
        metric: str,
        data: Mapping[str, Any],
        by_run: bool = False,
        goal: str = "",
    ) -> None:
        kind = AskedParams if by_run else TrackedParams
        self.params = kind(copy.deepcopy(dict(spec.params)))
        self.steps = StepScale(metric)
        super().__init__(spec.number, self.params, channel, self.steps, by_run, goal)
        self.seed = spec.seed
        self.number = spec.number
        self.epochs = spec.epochs
        self.data = copy.deepcopy(dict(data))
        self._channel = channel
        self._folder = TrialFolder(spec.number, spec.files)
        self._metric = metric
        self.last_step = 0  # that was recorded
        self._last: float | None = None  # report of the metric
        self.seen: set[str] = set()  # names of metrics reported so far
        self.diverged: int | None = None  # the last step, if the metric was not finite there
        self.told = False  # to stop
        self._optunas: set[int] = set()  # steps that were reported as in Optuna

    @overload
    def report(self, step: int, metrics: Mapping[str, Any] | None = None, /, **named: Any) -> None: ...

    @overload
    def report(self, value: float, step: int, /) -> None: ...

    def report(self, /, *positional: Any, **named: Any) -> None:
        """Record metrics at a step (an epoch, say): `trial.report(epoch, val_accuracy=0.9)`.

        Or as in Optuna, the sweep's metric: `trial.report(0.9, epoch)`. `trial.should_prune()` says then whether the
        trial should stop; code that never asks for it is stopped by its next report.

        What is reported for one step in several calls is one step's; of a metric that comes twice for a step the last
        value counts; steps that go back (folds that count from 0 again) are recorded behind those before, so that the
        last report is the last that came.

        Values are numbers, or one-element arrays and tensors (hpo/objective/values.py). Raises hpo.Pruned when the
        trial should stop; let it pass. Raises TypeError or ValueError for what is no report, names that MLflow could
        not keep (`a//b`) or tell apart (`acc@1` and `acc_1`) among it.
        """
        if (optunas := value_and_step(positional, named)) is not None:
            self._report_as_optuna(*optunas)
            return
        if not 1 <= len(positional) <= 2:
            raise TypeError("report takes a step and metrics: trial.report(epoch, val_accuracy=0.9)")
        step, metrics = (*positional, None)[:2]
        decision = self._record(step, {**(metrics or {}), **named})
        if self.diverged is not None:
            raise DivergedTrial(self.diverged)
        if decision is Decision.STOP:
            raise Pruned(f"trial {self.number} stops at step {self.last_step}")

    def _report_as_optuna(self, value: Any, step: Any) -> None:
        if self.overrun:
            raise Pruned(f"trial {self.number} stops at step {self.last_step}")
        if isinstance(value, str):  # which Optuna reads
            with contextlib.suppress(ValueError):
                value = float(value)
        if isinstance(step, float) and step.is_integer():
            step = int(step)
        if step in self._optunas:
            told = "of a step that is reported twice as in Optuna, the first value counts, as there"
            self.steps.notes.setdefault("report twice", told)
            return
        self._optunas.add(step)
        decision = self._record(step, {self._metric: value})
        self.answered(prune=decision is Decision.STOP or self.diverged is not None)

    def _record(self, step: Any, metrics: Mapping[Any, Any]) -> Decision:
        """Record metrics at a step; return whether the trial goes on."""
        try:
            whole = -1 if isinstance(step, bool) else operator.index(step)  # NumPy's integers count
        except TypeError:
            whole = -1
        if whole < 0:
            raise ValueError(f"step must be a whole number >= 0, but got {step!r}")
        if whole >= MOST_STEPS:
            raise ValueError(f"step must be below 2**63, but got {step!r}")
        numbers = {name: as_number(name, value) for name, value in _named(metrics).items()}
        if not numbers:
            raise ValueError("report names at least one metric: trial.report(epoch, val_accuracy=0.9)")
        step = self.last_step = self.steps.place({"step": whole}, numbers)
        self.seen.update(numbers)
        finite = {name: number for name, number in numbers.items() if math.isfinite(number)}
        self._last = finite.get(self._metric, self._last)
        decision = Decision.CONTINUE
        if finite:
            event = Reported(self.number, step, finite, time.time())
            decision = self._channel.exchange([event]).get(self.number, Decision.CONTINUE)
        self.diverged = step if self._metric in numbers and self._metric not in finite else None
        self.told = self.told or decision is Decision.STOP
        return decision

    def add(self, metrics: Mapping[str, float]) -> None:
        """Record metrics that came when all was over, at the last step."""
        if metrics:
            self._channel.exchange([Reported(self.number, self.last_step, metrics, time.time())])

    @property
    def folder(self) -> Path:
        """A folder of this trial alone, for its files: empty when the trial begins, also when it is run again, and gone
        when it has ended. What is in it becomes artefacts of the trial's MLflow run, as the sweep file's `keep.files`
        says: of the best trial only, by default. The working directory stays what it is."""
        return self._folder.path

    def hand_over_files(self, end: Event) -> None:
        """Give the driver what is in the folder, as far as it is wanted of a trial that ends so."""
        if lost := self._folder.hand_over(end, self._channel, self._last):
            self.steps.notes["files"] = lost

    def remove_folder(self) -> None:
        """Remove the trial's folder, if there is one."""
        self._folder.remove()

    def facts(self) -> dict[str, Any]:
        """Return what the trial's records have besides its metrics."""
        notes, attributes = self.steps.notes, self.user_attrs
        return ({"notes": notes} if notes else {}) | ({USER_ATTRS: attributes} if attributes else {})


def _named(metrics: Mapping[Any, Any]) -> Mapping[str, Any]:
    """Return the metrics. Raises TypeError or ValueError if their names can't be recorded."""
    for name in metrics:
        if not isinstance(name, str):
            raise TypeError(f"a metric's name must be text, but got {name!r}")
        if fault := name_fault(name):
            raise ValueError(f"no metric can be reported so: {fault}")
    for name, earlier in clashes(metrics).items():
        raise ValueError(f"no metrics can be reported so: {clash_fault(name, earlier)}")
    return metrics


class FunctionObjective:
    """Runs a function once a trial, in the worker's own process."""

    contract: Contract | None = None
    as_text = None
    flags: Mapping[str, str] = MappingProxyType({})
    folds = 1
    is_table = False

    @property
    def libraries(self) -> tuple[str, ...]:
        return libraries_of(self.function)

    def __init__(
        self,
        function: Callable[[Trial], Any],
        metric: str,
        data: Mapping[str, Any],
        by_run: bool = False,
        goal: str = "",
    ) -> None:
        """by_run: the sweep file has no `parameters`, and the function asks for them. goal: of the metric."""
        self.function = function
        self._metric = metric
        self._data = data
        self._by_run = by_run
        self._goal = goal
        self._surroundings: Surroundings | None = None

    def check_data(self) -> list[Fault]:
        return []

    def prepare(self) -> list[str]:
        self._surroundings = Surroundings()
        return []

    def unread(self, named: Named) -> None:
        return None  # what a function reads shows when it has run (`Finished.info`)

    def run(self, assignment: Assignment, channel: Channel) -> None:
        for spec in assignment.trials:
            channel.exchange([self._run_one(spec, channel)])

    def _run_one(self, spec: TrialSpec, channel: Channel) -> Finished | Stopped | Diverged | Failed:
        seed_everything(spec.seed)
        surroundings = self._surroundings = self._surroundings or Surroundings()
        trial = Trial(spec, channel, self._metric, self._data, self._by_run, self._goal)
        try:
            try:
                ending = self._ending(spec, trial)
            finally:
                trial.steps.notes |= surroundings.put_back()
            trial.hand_over_files(ending)
        finally:
            trial.remove_folder()
        return replace(ending, info={**ending.info, **trial.facts()})

    def _ending(self, spec: TrialSpec, trial: Trial) -> Finished | Stopped | Diverged | Failed:
        try:
            result = self.function(trial)
            value = value_of(result, self._metric, trial.seen, trial.asks_as_optuna)
        except DivergedTrial as diverged:
            return Diverged(spec.number, diverged.step)
        except RAISED as error:
            if trial.diverged is not None and is_pruning(error):
                return Diverged(spec.number, trial.diverged)
            return Stopped(spec.number) if trial.told and is_pruning(error) else ending_of(spec.number, error)
        unread = sorted(set(spec.params) - trial.params.read - {"seed"})
        if value is not None and not math.isfinite(value):
            return Diverged(spec.number, trial.last_step)
        trial.add(beside(result, self._metric, trial.seen, trial.steps.notes))
        return Finished(spec.number, value, {"unread": unread} if unread else {})
