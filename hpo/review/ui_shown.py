"""A storage as the Optuna dashboard is to show it: without what the platform keeps for itself in attributes.

For reading only. What the dashboard writes (a note, another name for a study, which it carries out as a copy) must have
the storage itself, or what is hidden here would be lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

from hpo.ledger.study.compat import FrozenStudy, study_id_of
from hpo.ledger.study.records import is_ours, shown_attributes, shown_study_attributes
from hpo.review.studies import best_in

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial


class ShownStorage:
    """A storage for the dashboard to read. Trials that have ended are made once: they are known by their identity."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage
        self._made: dict[int, dict[int, tuple[FrozenTrial, FrozenTrial]]] = {}  # by study, number: (recorded, shown)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        """Return a study's trials. deepcopy: what is returned is never the storage's own, so nothing more is copied."""
        trials = self._storage.get_all_trials(study_id, deepcopy=False, states=states)
        if not is_ours(self._storage.get_study_user_attrs(study_id)):
            return trials
        return self._shown(study_id, trials)

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """Return a study's best trial, perhaps a stopped one. Raises ValueError as Optuna does if there is none."""
        if not is_ours(self._storage.get_study_user_attrs(study_id)):
            return self._storage.get_best_trial(study_id)
        study = next(each for each in self._storage.get_all_studies() if study_id_of(each) == study_id)
        trials = self._storage.get_all_trials(study_id, deepcopy=False)
        best = best_in(study, trials)
        return _shown(self._storage.get_best_trial(study_id) if best is None else trials[best[0]])

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return the studies, in the order in which they were made."""
        return [_shown_study(study) for study in sorted(self._storage.get_all_studies(), key=study_id_of)]

    def get_study_user_attrs(self, study_id: int) -> Mapping[str, Any]:
        """Return what a study's table of attributes is to have."""
        return shown_study_attributes(self._storage.get_study_user_attrs(study_id))

    def _shown(self, study_id: int, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        made = self._made.setdefault(study_id, {})
        found = []
        for trial in trials:
            known = made.get(trial.number)
            if known is None or known[0] is not trial:
                known = trial, _shown(trial)
                if trial.state.is_finished():
                    made[trial.number] = known
            found.append(known[1])
        return found


def _shown(trial: FrozenTrial) -> FrozenTrial:
    other = copy(trial)
    other.user_attrs = dict(shown_attributes(trial.user_attrs, ours=True))
    return other


def _shown_study(study: FrozenStudy) -> FrozenStudy:
    other = copy(study)
    other.user_attrs = dict(shown_study_attributes(study.user_attrs))
    return other
