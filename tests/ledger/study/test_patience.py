"""A connection that is lost when a call was carried out, but before anybody was told so."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from hpo.ledger.ledger import Ledger
from hpo.ledger.sharing import owners, rows
from hpo.ledger.sharing.owners import SharedOwnership
from hpo.ledger.study.database import PatientStorage
from hpo.ledger.study.home import Home, open_database
from hpo.ledger.study.patience import DatabaseAway, DatabasePatience
from hpo.spec.space import Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target


@pytest.fixture
def storage(tmp_path: Path) -> PatientStorage:
    return open_database(f"sqlite:///{tmp_path / 'studies.db'}")


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str], None]:
    """`lose(owner, name)`: the next call of this method is carried out, and then its connection is lost."""

    def lose(owner: Any, name: str) -> None:
        method, calls = getattr(owner, name), iter([True])

        def lost(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            if next(calls, False):
                raise OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))
            return result

        monkeypatch.setattr(owner, name, lost)

    return lose


def test_a_trial_is_neither_made_nor_ended_twice(storage: PatientStorage, lose):
    study = storage.create_new_study([StudyDirection.MAXIMIZE], "s")
    template = create_trial(state=TrialState.RUNNING, user_attrs={"seed": 7})
    first = storage.create_new_trial(study, template)
    lose(storage.engine.dialect, "do_commit")
    second = storage.create_new_trial(study, create_trial(state=TrialState.RUNNING, user_attrs={"seed": 8}))
    assert [trial._trial_id for trial in storage.get_all_trials(study)] == [first, second]
    lose(RDBStorage, "set_trial_state_values")
    assert storage.set_trial_state_values(first, TrialState.COMPLETE, [1.0])
    with pytest.raises(UpdateFinishedTrialError):
        storage.set_trial_state_values(first, TrialState.COMPLETE, [2.0])
    assert storage.get_trial(first).values == [1.0]


def test_a_driver_enters_once_and_leaves_once(storage: PatientStorage, lose):
    space = Space((Parameter("x", Range(0.0, 1.0)),))
    sweep = Sweep("s", Path("s.yaml"), "", Target("score", "maximize"), space, Limits(5), objective="m")
    first = SharedOwnership(storage, sweep, join=True)
    lose(SharedOwnership, "_take")
    first.take()
    second = SharedOwnership(storage, sweep, join=True)
    second.take()
    assert (first.number, second.number) == (1, 2)
    lose(SharedOwnership, "_leave")
    assert not second.leave()
    assert first.leave()


def test_who_was_away_from_the_database_takes_nobody_over_who_may_have_been_away_too(
    storage: PatientStorage, monkeypatch: pytest.MonkeyPatch
):
    clock = [1_000_000.0]
    monkeypatch.setattr(rows, "now", lambda connection: clock[0])
    space = Space((Parameter("x", Range(0.0, 1.0)),))
    sweep = Sweep("s", Path("s.yaml"), "", Target("score", "maximize"), space, Limits(5), objective="m")
    first, second = (SharedOwnership(storage, sweep, join=True) for _ in range(2))
    first.take()
    second.take()
    clock[0] += owners.OWNER_SECONDS + 1
    first.renew()
    second.renew()
    assert not first.taken_over
    clock[0] += owners.OWNER_SECONDS - 1
    first.renew()
    clock[0] += 10
    first.renew()
    assert [owner.number for owner in first.taken_over] == [2]


def test_a_full_disk_is_not_waited_for(storage: PatientStorage):
    def write(again: bool) -> None:
        raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    with pytest.raises(DatabaseAway, match="can't write: database or disk is full"):
        DatabasePatience(seconds=600).carry_out(write)


def test_a_driver_whose_clock_is_set_back_goes_on_saying_that_it_lives(tmp_path: Path):
    clock = [1_000_000.0]
    space = Space((Parameter("x", Range(0.0, 1.0)),))
    sweep = Sweep("s", Path("s.yaml"), "", Target("score", "maximize"), space, Limits(5), objective="m")
    ledger = Ledger(sweep, Home(tmp_path, f"sqlite:///{tmp_path / 'studies.db'}"), clock=lambda: clock[0])
    ledger.start()
    beats = []
    ledger.membership._ownership.renew = lambda: beats.append(clock[0])
    clock[0] -= 3600
    ledger.pump()
    clock[0] += 11
    ledger.pump()
    assert beats == [996_400.0, 996_411.0]
    clock[0] += 11
    assert not ledger.membership.heartbeat.while_waiting(lambda: False)()  # while it waits for MLflow
    assert beats[2:] == [996_422.0]
    ledger.abandon()


def test_who_drops_a_storage_closes_its_connections(tmp_path: Path) -> None:
    storage = PatientStorage(f"sqlite:///{tmp_path / 'studies.db'}")
    closed: list[object] = []
    event.listen(storage.engine.pool, "close", lambda connection, record: closed.append(connection))
    storage.get_all_studies()
    gc.collect()
    assert not closed
    del storage
    gc.collect()
    assert closed
