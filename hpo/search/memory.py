"""The searcher's working copy of a study, as a storage of Optuna's that can forget trials.

Optuna's in-memory storage copies a trial at each write and keeps every trial for good. This one holds a single study
for a single thread, writes in place, and lets go of trials, so that what an ask costs stays bounded. A trial keeps its
number when others are forgotten: nothing that a sampler remembers of it becomes wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence
from copy import deepcopy as deep_copy
from datetime import datetime
from typing import TYPE_CHECKING, Any

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search.compat import RELATIVE_PARAMS

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_STUDY = 0  # the id of the only study


class Memory(BaseStorage):
    """Holds one study. A trial's id is its number; numbers have gaps where trials were forgotten."""

    def __init__(self) -> None:
        self._name = ""
        self._directions: list[StudyDirection] = []
        self._attrs: dict[str, Any] = {}
        self._trials: dict[int, FrozenTrial] = {}  # in the order of their numbers
        self._next = 0
        self._waiting: FrozenTrial | None = None  # the one that is asked for next, with some of its parameters given

    def forget(self, numbers: Collection[int]) -> None:
        """Let go of trials."""
        for number in numbers:
            del self._trials[number]

    def settle(self, number: int) -> None:
        """Take note that a running trial has all its parameters: what TPE and GP leave for other processes that ask
        before it has (and decode at each later ask) is of no use any more."""
        attrs = self._trials[number].system_attrs
        for key in [key for key in attrs if RELATIVE_PARAMS in key]:
            del attrs[key]

    # The study.

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        self._directions, self._name = list(directions), study_name or ""
        return _STUDY

    def delete_study(self, study_id: int) -> None:
        raise NotImplementedError("the working copy goes with its searcher")

    def get_study_id_from_name(self, study_name: str) -> int:
        return _STUDY

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._directions

    def get_all_studies(self) -> list[Any]:
        raise NotImplementedError("the working copy is no one's to list")

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        raise NotImplementedError("the working copy has no user attributes")

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._attrs[key] = value

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._attrs

    # Its trials.

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        number, self._next = self._next, self._next + 1
        trial = self._trials[number] = _twin(template_trial or create_trial(state=TrialState.RUNNING), number)
        if trial.state == TrialState.WAITING:
            self._waiting = trial
        return number

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        trial = self._trials[trial_id]
        trial.params[param_name] = distribution.to_external_repr(param_value_internal)
        trial.distributions[param_name] = distribution

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        trial = self._trials[trial_id]
        self.check_trial_is_updatable(trial_id, trial.state)
        trial.state = state
        if trial is self._waiting:
            self._waiting = None
        if values is not None:
            trial.values = values
        if state.is_finished():
            trial.datetime_complete = datetime.now()
        return True

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._trials[trial_id].intermediate_values[step] = intermediate_value

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._trials[trial_id].user_attrs[key] = value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._trials[trial_id].system_attrs[key] = value

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._trials[trial_id]

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        return self._trials[trial_number].number

    def get_trial_number_from_id(self, trial_id: int) -> int:
        return trial_id

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if states == (TrialState.WAITING,):
            return [self._waiting] if self._waiting else []  # each ask looks for them
        found = [trial for trial in self._trials.values() if states is None or trial.state in states]
        return deep_copy(found) if deepcopy else found


def _twin(trial: FrozenTrial, number: int) -> FrozenTrial:
    """Return a trial as samplers look at one, that can be written to without touching the original."""
    last = max(trial.intermediate_values.items(), default=None)
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=trial.state,
        value=None,
        values=trial.values,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=dict(trial.params),
        distributions=dict(trial.distributions),
        user_attrs={},
        system_attrs=dict(trial.system_attrs),
        intermediate_values={} if last is None else dict([last]),
    )
