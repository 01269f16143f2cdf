"""The searcher's working copy of the study: Optuna's sampler over as many trials as it can afford to look at."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from hpo.search.distributions import recorded_param, searched_params, suggest
from hpo.search.keep import Bound, kept
from hpo.search.memory import Memory
from hpo.search.resuming import take_up
from hpo.spec.space import Parameter, Space
from hpo.spec.sweep import Target

_STUDY = 0


def was_stopped_by_rule(trial: FrozenTrial) -> bool:
    """Whether the stopping rule ended a trial of the study of record, and it has a value by the sweep's rule: it did
    not diverge, no limit cut it off, and no earlier release recorded it."""
    attributes = trial.user_attrs
    valued = attributes.get("outcome", {}).get("value") is not None
    return trial.state == TrialState.PRUNED and valued and not attributes.get("stopped_by")


class WorkingCopy:
    """Asks a sampler, and tells it how trials ended. Its numbers of trials are its own.

    Only the last step of a trial is kept, which is all that a sampler looks at.
    """

    def __init__(
        self,
        space: Space,
        metric: Target,
        sampler: BaseSampler,
        bound: Bound,
        seed: int,
        whole_when_stopped: bool = False,
    ) -> None:
        """whole_when_stopped: trials that the stopping rule ended, and that have a value by the sweep's rule, are
        complete to the sampler: they were not cut off for being worse than others."""
        self._space = space
        self._sampler = sampler
        self._bound = bound
        self._seed = seed
        self._whole_when_stopped = whole_when_stopped
        self._memory = Memory()
        self._study = optuna.create_study(
            storage=self._memory, study_name="working copy", direction=metric.goal, sampler=sampler,
            pruner=optuna.pruners.NopPruner(),
        )  # fmt: skip
        self._ended = 0  # of the trials in memory
        self._asking: dict[int, Trial] = {}  # running ones that ask for their parameters one by one

    def add(self, finished: Iterable[FrozenTrial]) -> None:
        """Take over trials of the study of record."""
        for trial in map(self._as_told, finished):
            number = self._memory.create_new_trial(_STUDY, trial)
            self._settle(number, trial.state)
        self._thin_out()
        take_up(self._sampler, self._study)

    def learn(self, ended: Iterable[FrozenTrial]) -> None:
        """Take over trials that another driver ended while this one works."""
        self._study.sampler = self._sampler
        for trial in map(self._as_told, ended):
            number = self._memory.create_new_trial(_STUDY, trial)
            # The copy's own trial: a sampler may note something with it, by its id.
            self._sampler.after_trial(self._study, self._memory.get_trial(number), trial.state, trial.values)
            self._settle(number, trial.state)
        self._thin_out()

    def ask(
        self, sampler: BaseSampler | None = None, given: Mapping[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Draw an active configuration, from the sampler or from another one; it may be a forbidden one. given: values
        of some parameters, for which the others are drawn."""
        self._study.sampler = sampler or self._sampler
        if values := searched_params(self._space, given or {})[0]:
            self._study.enqueue_trial(values)
        trial = self._study.ask()
        params = suggest(trial, self._space)
        self._memory.settle(trial.number)
        return trial.number, params

    def open(self) -> int:
        """Begin a trial that asks for its parameters one by one (`suggest`)."""
        self._study.sampler = self._sampler
        trial = self._study.ask()
        self._asking[trial.number] = trial
        return trial.number

    def suggest(self, number: int, parameter: Parameter) -> Any:
        """Draw a parameter of an open trial, as Optuna does: together with those that earlier trials asked for as well,
        or else by itself."""
        return suggest(self._asking[number], Space((parameter,)))[parameter.name]

    def give(self, number: int, parameter: Parameter, value: Any) -> None:
        """Let a parameter of an open trial have a given value."""
        self._memory.set_trial_param(number, parameter.name, *recorded_param(parameter, value))

    def fix(self, params: dict[str, Any]) -> int:
        """Begin a trial of a given configuration."""
        values, distributions = searched_params(self._space, params)
        template = create_trial(state=TrialState.RUNNING, params=values, distributions=distributions)
        return self._memory.create_new_trial(_STUDY, template)

    def reject(self, number: int) -> None:
        """Leave no trace of a trial."""
        self._asking.pop(number, None)
        self._memory.forget([number])

    def end(
        self,
        number: int,
        state: TrialState,
        value: float | None,
        last: tuple[int, float] | None,
        by_rule: bool = False,
    ) -> None:
        """Take in a trial's end. value: that it has in the study; last: the last step that it reported and the metric
        there. by_rule: the stopping rule ended it, and it has a value by the sweep's rule."""
        if by_rule and self._whole_when_stopped:
            state = TrialState.COMPLETE
        trial = self._memory.get_trial(number)
        if self._asking.pop(number, None) is not None:
            self._memory.settle(number)
        if last is not None:
            self._memory.set_trial_intermediate_value(number, *last)
        self._study.sampler = self._sampler
        # `study.tell` would copy the trial and check what is checked here by types
        values = [float(value)] if value is not None else None
        self._sampler.after_trial(self._study, trial, state, values)
        self._memory.set_trial_state_values(number, state, values)
        self._settle(number, state)
        self._thin_out()

    def _as_told(self, trial: FrozenTrial) -> FrozenTrial:
        """Return a trial of the study of record as the sampler is told of it."""
        if not (self._whole_when_stopped and was_stopped_by_rule(trial)):
            return trial
        told = copy.copy(trial)
        told.state = TrialState.COMPLETE
        return told

    def _settle(self, number: int, state: TrialState) -> None:
        if state in self._bound.states:
            self._ended += 1
        else:
            self._memory.forget([number])

    def _thin_out(self) -> None:
        """Forget what is too much. Not at each trial: a sampler's fit is steadier while its trials stay the same."""
        if self._ended < self._bound.crowded or self._bound.most is None:
            return
        ended = self._study.get_trials(deepcopy=False, states=self._bound.states)
        keep = kept(ended, self._bound.most, self._study.direction == StudyDirection.MAXIMIZE, self._seed)
        self._memory.forget([trial.number for trial in ended if trial.number not in keep])
        self._ended = len(keep)
