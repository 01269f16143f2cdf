"""Who runs a study in a database: entries that are changed in one transaction."""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import subprocess
from collections.abc import Callable
from multiprocessing.pool import Pool
from pathlib import Path

import optuna
import pytest
from e2e.support import Place
from mlflow import MlflowClient
from postgresql import postgresql
from sqlalchemy.exc import OperationalError
from waiting import wait_for
from warm import Warm

from hpo import machine
from hpo.ledger.ledger import Ledger
from hpo.ledger.sharing import owner_file, owners, rows
from hpo.ledger.sharing.look import runs_now
from hpo.ledger.sharing.owner_file import FileOwnership
from hpo.ledger.sharing.owners import Owner, OwnershipLost, SharedOwnership
from hpo.ledger.sharing.ownership import refuse_join
from hpo.ledger.study.book import StudyBook
from hpo.ledger.study.home import Home, open_database
from hpo.ledger.study.named_lock import one_at_a_time
from hpo.ledger.study.records import TrialRecord, is_surplus
from hpo.spec.faults import UserError
from hpo.spec.space import Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target

MAXIMIZE = Target("score", "maximize")


def make_sweep() -> Sweep:
    space = Space((Parameter("x", Range(0.0, 1.0)),))
    return Sweep("s", Path("s.yaml"), "", MAXIMIZE, space, Limits(5), objective="m")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'studies.db'}"


@pytest.fixture
def driver(url: str) -> Callable[..., SharedOwnership]:
    """`driver(join=False)`: one that has not entered yet, with a connection of its own."""
    return lambda join=False: SharedOwnership(open_database(url), make_sweep(), join, sweeping=True)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The database's clock, as a list of one number."""
    clock = [1_000_000.0]
    monkeypatch.setattr(rows, "now", lambda connection: clock[0])
    return clock


def elsewhere(monkeypatch: pytest.MonkeyPatch, name: str = "far") -> None:
    """Enter from another machine from now on."""
    monkeypatch.setattr(machine, "this_machine", lambda: name)


def test_the_second_is_told_who_holds_it_since_when_and_how_long_ago_it_was_seen(driver, now):
    driver().take()
    now[0] += 7
    with pytest.raises(
        UserError, match=rf"'s' is being run by process {os.getpid()} on .* since .*, last seen 7 s ago"
    ):
        driver().take()


def test_a_study_that_was_given_up_is_free_and_renewal_keeps_it(driver, now, monkeypatch):
    elsewhere(monkeypatch)  # so that time alone says who is dead
    first = driver()
    first.take()
    for _ in range(3):
        now[0] += 50
        first.renew()
        with pytest.raises(UserError):
            driver().take()
    first.give_up()
    heir = driver()
    heir.take()
    assert heir.taken_over == []


def test_an_owner_without_a_sign_of_life_is_taken_over_and_must_stop(driver, now, monkeypatch):
    elsewhere(monkeypatch)
    first, second = driver(), driver()
    first.take()
    now[0] += owners.OWNER_SECONDS + 1
    second.take()
    assert [owner.number for owner in second.taken_over] == [1]
    assert second.estate == {0, 1}  # all that ran before
    with pytest.raises(OwnershipLost, match=f"taken over by process {os.getpid()} on .* gave no sign of life"):
        first.renew()
    first.give_up()  # not what is another's now
    second.renew()
    assert second.taken_over[0].pid == os.getpid()


def test_an_owner_whose_process_is_gone_is_taken_over_at_once(driver, monkeypatch):
    with subprocess.Popen(["true"]) as process:
        monkeypatch.setattr(owners.os, "getpid", lambda: process.pid)
        driver().take()
        monkeypatch.undo()
        process.wait()
    heir = driver()
    heir.take()
    assert [(owner.number, owner.pid) for owner in heir.taken_over] == [(1, process.pid)]


def test_a_process_that_nobody_has_waited_for_is_gone_too():
    with subprocess.Popen(["sleep", "60"]) as process:
        assert machine.is_alive(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
        assert not machine.is_alive(process.pid)


def test_a_pid_means_nothing_on_another_machine_of_the_same_name():
    gone = 2**22 + 1  # more than a pid can be
    here, there = (
        Owner(1, os.uname().nodename, where, gone, 0.0, 100.0, False) for where in (machine.this_machine(), "x")
    )
    assert here.dead(101.0)
    assert not there.dead(101.0)


def test_drivers_share_a_study_only_if_all_do(driver):
    alone = driver()
    alone.take()
    with pytest.raises(UserError, match="it was started without --join"):
        driver(join=True).take()
    alone.give_up()
    first, second = driver(join=True), driver(join=True)
    first.take()
    second.take()
    assert (first.alone, second.alone) == (True, False)
    assert first.number != second.number
    with pytest.raises(UserError, match=r"and 1 more \(take part with --join"):
        driver().take()


def test_who_runs_no_sweep_file_is_told_of_no_option_of_its(driver, url, tmp_path):
    shared = driver(join=True)
    shared.take()
    with pytest.raises(UserError, match=r"seen 0 s ago \(wait for it, or stop it\)$"):
        SharedOwnership(open_database(url), make_sweep()).take()
    lock = FileOwnership(tmp_path / "lock", "s")
    lock.take()
    with pytest.raises(UserError, match=r"\(wait for it, or stop it\)$"):
        FileOwnership(tmp_path / "lock", "s").take()
    with pytest.raises(UserError, match=r"or choose another name with -o name=\.\.\.\)$"):
        FileOwnership(tmp_path / "lock", "s", sweeping=True).take()


def test_the_estate_of_a_dead_driver_goes_to_exactly_one_of_the_others(driver, now, monkeypatch):
    elsewhere(monkeypatch)
    drivers = [driver(join=True) for _ in range(4)]
    for each in drivers:
        each.take()
    assert drivers[0].estate == {0}
    now[0] += owners.OWNER_SECONDS - 5
    for each in (drivers[2], drivers[1]):
        each.renew()
    now[0] += 10  # the first and the last are dead now
    for each in (drivers[2], drivers[1]):
        each.renew()
    assert (drivers[2].estate, drivers[1].estate) == ({0, 1, 4}, set())
    assert drivers[2].leave() is False
    drivers[1].renew()
    assert drivers[1].estate == {0, 1, 3, 4}
    assert drivers[1].leave() is True  # nobody is left
    with pytest.raises(OwnershipLost):
        drivers[0].renew()


def test_a_study_that_nothing_was_recorded_in_goes_with_its_driver(driver, url):
    first = driver()
    first.take()
    assert len(open_database(url).get_all_studies()) == 1
    first.give_up()
    assert open_database(url).get_all_studies() == []


@pytest.mark.parametrize("recorded", ["trial", "attribute"])
def test_a_study_with_a_record_stays(driver, url, recorded):
    first = driver()
    first.take()
    study = optuna.load_study(study_name="s", storage=url)
    study.ask() if recorded == "trial" else study.set_user_attr("sweep", {})
    first.give_up()
    assert len(open_database(url).get_all_studies()) == 1


def test_the_first_driver_says_what_the_study_is(driver, url):
    driver().take()
    attributes = optuna.load_study(study_name="s", storage=url).user_attrs
    assert attributes["identity"] == make_sweep().identity()
    assert len(attributes["id"]) == 32


def test_only_a_database_with_many_writers_is_shared(tmp_path):
    for storage in (None, str(tmp_path / "a.journal"), "sqlite:///a.db"):
        with pytest.raises(UserError, match="--join needs a database that many can write at once"):
            refuse_join(storage)
    refuse_join("postgresql://host/db")


def test_a_journal_has_one_lock_from_whichever_home_it_is_used(tmp_path):
    own, given = Home(tmp_path), Home(tmp_path / "other", storage=str(tmp_path / "studies.journal"))
    assert own.owner_file("s").resolve() == given.owner_file("s")
    lock = FileOwnership(Home(tmp_path, storage=str(tmp_path / "a.log")).owner_file("s"), "s")
    lock.take()
    with pytest.raises(UserError, match=f"'s' is being run by process {os.getpid()} on .* since 2"):
        FileOwnership(Home(tmp_path / "other", storage=str(tmp_path / "a.log")).owner_file("s"), "s").take()


def _try_to_take(url: str) -> str:
    """In a process of its own: return "" as the owner, else what was said."""
    ownership = SharedOwnership(open_database(url), make_sweep())
    try:
        ownership.take()
    except UserError as error:
        return str(error)
    return ""


def assert_one_wins(pool: Pool, url: str) -> None:
    said = pool.map(_try_to_take, [url] * 4, chunksize=1)
    assert said.count("") == 1, said
    assert all("is being run by process" in text for text in said if text)


@pytest.fixture(scope="module")
def pool():
    with Warm.DRIVERS.lent_here(), multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.map(_import, range(8), chunksize=1)
        yield pool


def _import(_: int) -> None:
    import sqlalchemy  # noqa: F401


@pytest.mark.slow
def test_of_four_that_start_at_the_same_moment_one_gets_a_new_study_in_sqlite(pool, tmp_path):
    for attempt in range(5):
        assert_one_wins(pool, f"sqlite:///{tmp_path / f'{attempt}.db'}")


@pytest.fixture(scope="module")
def server():
    with postgresql() as url:
        yield url


@pytest.mark.slow
def test_of_four_that_start_at_the_same_moment_one_gets_a_new_study_in_postgresql(pool, server):
    assert_one_wins(pool, server)  # makes the tables, too
    storage = open_database(server)
    for _ in range(10):
        storage.delete_study(storage.get_study_id_from_name("s"))
        assert_one_wins(pool, server)
    storage.engine.dispose()


@pytest.mark.slow
def test_a_named_lock_is_held_by_one_at_a_time(tmp_path, server):
    with one_at_a_time(server, "a"), one_at_a_time(server, "b"):
        started = multiprocessing.get_context("spawn").Process(target=_hold, args=(server, tmp_path / "held"))
        with Warm.DRIVERS.lent_here():
            started.start()
        started.join(3)
        assert not (tmp_path / "held").exists()
    started.join(10)
    assert (tmp_path / "held").exists()
    with contextlib.suppress(RuntimeError), one_at_a_time(server, "a"):
        raise RuntimeError
    with one_at_a_time(server, "a"):
        pass


def _hold(url: str, path: Path) -> None:
    with one_at_a_time(url, "a"):
        path.touch()


def test_a_trial_of_a_driver_that_slept_just_before_adding_it_is_withdrawn(
    tmp_path: Path, driver: Callable[..., SharedOwnership], url: str, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has seen that the study is its own, sleeps, and adds the trial to a study that is another's by then."""
    elsewhere(monkeypatch)
    home = Home(Place(tmp_path).home.path, storage=url)
    ledger = Ledger(make_sweep(), home, clock=lambda: now[0])
    ledger.start()
    first = ledger.begin({"x": 0.5})
    assert isinstance(first, TrialRecord)
    wait_for(lambda: not ledger.pump() and bool(ledger._mirror.parent_id), "the parent run")
    parent = ledger._mirror.parent_id
    add, heir = StudyBook.begin, driver()

    def slept(book: StudyBook, record: TrialRecord, named: bool = False) -> int:
        now[0] += owners.OWNER_SECONDS + 1
        heir.take()
        return add(book, record, named)

    with monkeypatch.context() as patched:
        patched.setattr(StudyBook, "begin", slept)
        with pytest.raises(OwnershipLost):
            ledger.begin({"x": 0.25})
    heir.renew()
    heir.give_up()  # its process is gone for now; the parent run is its own all the same
    ledger.abandon()
    assert MlflowClient(home.tracking_uri).get_run(parent).info.status == "RUNNING"
    kept, late = optuna.load_study(study_name="s", storage=open_database(url)).trials
    assert (kept.state.name, kept.params) == ("RUNNING", {"x": 0.5})  # the heir's to settle
    assert late.state.name == "FAIL" and is_surplus(late)


def test_who_only_looks_is_told_whether_anybody_runs_it(driver, now, monkeypatch, url: str, tmp_path: Path):
    home = Home(tmp_path / "home", storage=url)
    elsewhere(monkeypatch)  # so that time alone says who is dead
    first, runs = driver(), runs_now(home)
    assert not runs("s")  # there is no such study yet
    first.take()
    assert runs("s")
    now[0] += owners.OWNER_SECONDS + 1
    assert not runs("s")
    first.renew()
    assert runs("s")
    first.give_up()
    assert not runs("s")


@pytest.mark.parametrize(("times", "taken_for_running"), [(1, False), (9, True)])
def test_who_only_looks_asks_a_database_again_that_was_away_and_then_believes_its_records(
    driver, now, monkeypatch, url: str, tmp_path: Path, times: int, taken_for_running: bool
):
    elsewhere(monkeypatch)
    driver().take()
    now[0] += owners.OWNER_SECONDS + 1
    left = [OperationalError("select", {}, Exception("the connection is lost"))] * times

    def asked(connection: object) -> float:
        if left:
            raise left.pop()
        return now[0]

    monkeypatch.setattr(rows, "now", asked)
    assert runs_now(Home(tmp_path / "home", storage=url))("s") is taken_for_running


def test_who_only_looks_at_a_lock_file_writes_nothing_and_is_not_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = Home(tmp_path / "home")
    home.prepare()
    path, runs = home.owner_file("s"), runs_now(home)
    assert not runs("s") and not path.exists()
    driver = FileOwnership(path, "s")
    driver.take()
    assert runs("s")
    with path.open() as looking:
        driver.give_up()
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not runs("s")  # somebody else looks, too
        monkeypatch.setattr(owner_file, "_GLANCE", 60.0)
        monkeypatch.setattr(owner_file.time, "sleep", lambda seconds: looking.close())
        driver.take()  # waits for a look
    driver.give_up()
