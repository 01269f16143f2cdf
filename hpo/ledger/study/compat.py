"""Private names of Optuna that the study needs, read from Optuna 5.0.0. tests/ledger/study/test_compat.py fails if one
of them is gone.

Optuna's own objects are never changed: a storage that is to hold less of a trial is given another trial to hold. One
function of its journal's module is replaced, by one that remembers what it has returned.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages.journal import _storage
from optuna.study._frozen import FrozenStudy as FrozenStudy
from optuna.trial import FrozenTrial

if TYPE_CHECKING:
    from optuna.study import Study

    from hpo.ledger.study.journal import SafeJournal


def study_id_of(study: FrozenStudy | Study) -> int:
    """Return the number by which a storage knows a study."""
    return study._study_id


def trial_id_of(trial: FrozenTrial) -> int:
    """Return the number by which a storage knows a trial."""
    return trial._trial_id


@lru_cache(maxsize=10_000)
def _distribution_of(text: str) -> BaseDistribution:
    """Return a domain from its JSON, made once: nobody changes one."""
    return json_to_distribution(text)


@runtime_checkable
class HoldsTrials(Protocol):
    """A storage that keeps every trial that it has seen in memory, and hands out its own objects."""

    def hold(self, trial: FrozenTrial) -> None:
        """Keep this in the place of the trial with the same id, if that has ended as far as the storage knows: what is
        still to be written to one that runs needs the storage's own. Raises KeyError if there is no such trial."""


class JournalStudies(JournalStorage):
    """Optuna's storage over a journal, whose memory can be made smaller.

    A journal's trials each have the whole domain of each parameter in them. Here trials with the same domain share one
    object: with 5,000 choices it is 0.4 MB, and takes 2 ms to make.
    """

    def __init__(self, journal: SafeJournal) -> None:
        self.journal = journal
        _storage.json_to_distribution = _distribution_of
        super().__init__(journal)

    def hold(self, trial: FrozenTrial) -> None:
        with self._thread_lock:
            trials = self._replay_result._trials
            if trials[trial._trial_id].state.is_finished():
                trials[trial._trial_id] = trial


class CachedStorage(_CachedStorage):
    """A database whose ended trials are read once (what optuna.storages.get_storage returns for one)."""

    def __init__(self, database: RDBStorage) -> None:
        super().__init__(database)

    def hold(self, trial: FrozenTrial) -> None:
        with self._lock:
            study, number = self._trial_id_to_study_id_and_number[trial._trial_id]
            trials = self._studies[study].trials
            if trials[number].state.is_finished():
                trials[number] = trial


def insert_trial(database: RDBStorage, study_id: int, trial: FrozenTrial) -> FrozenTrial:
    """Insert a trial in one transaction, once; return it, with the number and the id that it got.

    Optuna's own method tries five times, without asking whether a try that failed was carried out all the same. `trial`
    is the caller's own; it is changed.
    """
    from optuna.storages._rdb import models
    from optuna.storages._rdb.storage import _create_scoped_session

    with _create_scoped_session(database.scoped_session) as session:
        models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
        row: Any = database._get_prepared_new_trial(study_id, trial, session)
        trial.number, trial._trial_id = row.number, row.trial_id
        trial.datetime_start = row.datetime_start
        return trial
