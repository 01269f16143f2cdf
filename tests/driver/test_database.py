"""A real PostgreSQL that goes away in mid-sweep."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.support import read_until
from e2e.test_join import SharedPlace, assert_sound, write
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from postgresql import postgresql_server
from sqlalchemy import NullPool, create_engine, event, text

from hpo.ledger.study import database
from hpo.ledger.study.database import PatientStorage
from hpo.ledger.study.home import open_database
from hpo.ledger.study.patience import DatabaseAway

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with postgresql_server() as server:
        yield server


@pytest.fixture
def shared(server: Any, tmp_path: Path) -> Iterator[SharedPlace]:
    place = SharedPlace(tmp_path, url=server.get_uri())
    yield place
    for driver in place.started:
        driver.kill()
        driver.communicate()
    storage = open_database(place.url)
    for study in storage.get_all_studies():
        storage.delete_study(study._study_id)
    storage.engine.dispose()


def test_a_sweep_waits_for_its_database_and_goes_on(shared: SharedPlace, server: Any):
    path = write(shared, "slow", 20)
    drivers = shared.drivers(2, path, "--join")
    shared.wait_for(2)
    server.stop()
    heard = [read_until(driver, driver.stdout, "the database can't be reached, waiting") for driver in drivers]
    assert all("waiting up to" in text for text in heard), heard
    server.start()
    found = [(*driver.communicate(timeout=120), driver.returncode) for driver in drivers]
    print(
        *heard, *(part for output, errors, _ in found for part in (output, errors)), sep="\n"
    )  # if what follows fails
    assert [code for _, _, code in found] == [0, 0]
    assert all("the database is back" in output for output, _, _ in found)
    assert_sound(shared, 20)


def test_a_sweep_that_is_interrupted_meanwhile_says_why_and_loses_nothing(shared: SharedPlace, server: Any):
    path = write(shared, "slow", 60)
    driver = shared.driver(path)
    shared.wait_for(1)
    server.stop()
    read_until(driver, driver.stdout, "the database can't be reached, waiting")
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=60)
    server.start()
    assert driver.returncode == 1
    assert "the database can't be reached: " in errors
    assert "what is recorded is safe" in errors
    assert "Traceback" not in errors
    trials = len(shared.trials()) + 2
    done = shared.run("sweep", path, "--storage", shared.url, "-o", f"budget.trials={trials}")
    assert done.returncode == 0, done.stderr
    assert_sound(shared, trials)


def test_a_call_that_was_lost_is_repeated_without_being_done_twice(shared: SharedPlace, server: Any):
    storage: PatientStorage = open_database(shared.url)
    patience = storage.patience
    with pytest.raises(DatabaseAway, match="can't be reached"):
        server.stop()
        try:
            storage.get_all_studies()
        finally:
            server.start()
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        if len(told) == 1:
            server.start()

    patience.seconds, patience.tell = 60.0, tell
    server.stop()
    assert storage.get_all_studies() == []
    assert [text.split(",")[0] for text in told] == ["the database can't be reached", "the database is back"]
    storage.engine.dispose()


def test_a_connection_that_is_lost_between_two_queries_of_one_call(shared: SharedPlace):
    storage: PatientStorage = open_database(shared.url)
    study = storage.create_new_study([StudyDirection.MAXIMIZE], "s")
    template = create_trial(state=TrialState.RUNNING, params={"x": 0.5}, distributions={"x": FloatDistribution(0, 1)})
    storage.create_new_trial(study, template)
    lost: list[int] = []

    @event.listens_for(storage.engine, "before_cursor_execute")
    def lose(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "FROM trial_params" in statement and not lost:
            lost.append(connection.connection.dbapi_connection.info.backend_pid)
            with create_engine(shared.url, poolclass=NullPool).connect() as other:
                other.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": lost[0]})

    storage.patience.seconds = 60.0
    (trial,) = storage.get_all_trials(study)
    assert trial.params == {"x": 0.5}
    assert len(lost) == 1
    storage.engine.dispose()


def test_who_is_frozen_in_the_midst_of_a_transaction_holds_up_nobody_for_long(
    shared: SharedPlace, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(database, "IDLE_SECONDS", 1)
    frozen, other = open_database(shared.url), open_database(shared.url)
    study = other.create_new_study([StudyDirection.MAXIMIZE], "s")
    with frozen.engine.connect() as connection:
        connection.execute(text("select study_id from studies for update"))
        thread = threading.Thread(target=lambda: other.create_new_trial(study), daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
        connection.invalidate()
    assert len(other.get_all_trials(study)) == 1
    for storage in (frozen, other):
        storage.engine.dispose()
