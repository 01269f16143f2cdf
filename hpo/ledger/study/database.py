"""Optuna's storage in a database, for a driver that goes on when the database was away for a while."""

from __future__ import annotations

import copy
import logging
import uuid
import weakref
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import Engine, event

from hpo.ledger.study.compat import insert_trial
from hpo.ledger.study.patience import DatabasePatience, options

IDLE_SECONDS = 20  # between two statements of a transaction, which are milliseconds apart
_TOKEN = "hpo:inserted"  # the system attribute by which a trial is known that was just made


def _patient(method: Callable[..., Any]) -> Callable[..., Any]:
    """Repeat a method that may be carried out twice."""

    @wraps(method)
    def patient(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        return self.patience.carry_out(lambda again: method(self, *args, **kwargs))

    return patient


def _without_token(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial that was just read from the database, or is about to be handed out, as it was given."""
    trial.system_attrs.pop(_TOKEN, None)
    return trial


def _end_frozen_transactions(engine: Engine) -> None:
    """Have the server end a transaction in which nothing happens: a driver that is suspended in the midst of one holds
    its locks, for which all others would wait."""

    @event.listens_for(engine, "connect")
    def limit(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
        cursor.close()
        connection.commit()

    engine.dispose()  # connections from before


class PatientStorage(RDBStorage):
    """A storage whose calls wait for a database that is away. When one is lost in mid-call, nobody knows whether it was
    carried out; each can be repeated without harm."""

    def __init__(self, url: str) -> None:
        """Raises what RDBStorage raises: nothing is waited for."""
        logging.getLogger("optuna.storages").setLevel(logging.ERROR)  # of a lost connection it prints two pages
        self.patience = DatabasePatience()
        super().__init__(url, options(url))
        self._attend_to_connections()

    get_all_studies = _patient(RDBStorage.get_all_studies)
    get_study_id_from_name = _patient(RDBStorage.get_study_id_from_name)
    get_study_name_from_id = _patient(RDBStorage.get_study_name_from_id)
    get_study_directions = _patient(RDBStorage.get_study_directions)
    get_study_user_attrs = _patient(RDBStorage.get_study_user_attrs)
    get_study_system_attrs = _patient(RDBStorage.get_study_system_attrs)
    set_study_user_attr = _patient(RDBStorage.set_study_user_attr)
    set_study_system_attr = _patient(RDBStorage.set_study_system_attr)
    set_trial_user_attr = _patient(RDBStorage.set_trial_user_attr)
    set_trial_intermediate_value = _patient(RDBStorage.set_trial_intermediate_value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._attend_to_connections()

    def _attend_to_connections(self) -> None:
        if self.engine.dialect.name == "postgresql":
            _end_frozen_transactions(self.engine)
        # Whoever drops a storage closes its connections. Not at the end of the process: that may be a fork's.
        weakref.finalize(self, self.engine.dispose).atexit = False

    def get_trial(self, trial_id: int) -> FrozenTrial:
        trial = self.patience.carry_out(lambda again: RDBStorage.get_trial(self, trial_id))
        return _without_token(trial)

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        return self.get_trial(trial_id).system_attrs

    def _get_trials(self, *args: Any, **kwargs: Any) -> list[FrozenTrial]:
        trials = self.patience.carry_out(lambda again: RDBStorage._get_trials(self, *args, **kwargs))
        return [_without_token(trial) for trial in trials]

    def delete_study(self, study_id: int) -> None:
        def delete(again: bool) -> None:
            try:
                RDBStorage.delete_study(self, study_id)
            except KeyError:
                if not again:
                    raise

        self.patience.carry_out(delete)

    def create_new_study(self, directions: Sequence[Any], study_name: str | None = None) -> int:
        def create(again: bool) -> int:
            try:
                return RDBStorage.create_new_study(self, directions, study_name)
            except DuplicatedStudyError:
                if not again or study_name is None:
                    raise
                return RDBStorage.get_study_id_from_name(self, study_name)

        return self.patience.carry_out(create)

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        """Insert a trial, once, however often the connection is lost."""
        template = copy.deepcopy(template_trial or create_trial(state=TrialState.RUNNING))
        token = uuid.uuid4().hex
        template.system_attrs = {**template.system_attrs, _TOKEN: token}

        def create(again: bool) -> FrozenTrial:
            if again and (made := self._made_with(token, study_id)):
                return made
            return insert_trial(self, study_id, template)

        return _without_token(self.patience.carry_out(create))

    def _made_with(self, token: str, study_id: int) -> FrozenTrial | None:
        """Return the trial that was made before the connection was lost, if it was."""
        for trial in reversed(RDBStorage._get_trials(self, study_id, None, set(), -1)):
            if trial.system_attrs.get(_TOKEN) == token:
                return trial
        return None

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        def change(again: bool) -> bool:
            try:
                return RDBStorage.set_trial_state_values(self, trial_id, state, values)
            except UpdateFinishedTrialError:
                if not again or RDBStorage.get_trial(self, trial_id).state != state:
                    raise
                return True

        return self.patience.carry_out(change)
