"""The mirror: orders in whatever bursts leave the same in MLflow, and no trouble of MLflow costs any of them."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import random
import re
import signal
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest
from e2e.support import Place
from mlflow import MlflowClient
from waiting import wait_for

from hpo.ledger.mirror import bulk as mlflow_bulk
from hpo.ledger.mirror import process
from hpo.ledger.mirror.mirror import Mirror
from hpo.ledger.mirror.notes import INTERRUPTED_NOTE, NOTE
from hpo.ledger.mirror.process import MirrorAnswer, MirrorOrder, Notice, OrderWriter, _NobodyListens
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import TrialRecord, packed, unpacked

from .test_mlflow_ways import (
    DIVERGED,
    FAILED,
    ONE,
    PRUNED,
    SWEEP,
    artifacts,
    assert_same,
    begun,
    changed,
    tables,
    trial,
)

OPEN = [MirrorOrder("prepare"), MirrorOrder("open", (SWEEP, []))]


def fresh(record: TrialRecord) -> TrialRecord:
    """Return a record with another run id: MLflow's client remembers for a whole process where a run's files are."""
    return replace(record, run_id=uuid.uuid4().hex)


def begin(record: TrialRecord) -> MirrorOrder:
    return MirrorOrder("begin", (begun(record)[0],))


def end(record: TrialRecord) -> MirrorOrder:
    return MirrorOrder("end", packed(record))


@contextmanager
def scribe(home: Home) -> Iterator[Connection]:
    """The part that runs in the mirror's process, in a thread; yields the driver's end of its connection."""
    ours, theirs = multiprocessing.Pipe()

    def work() -> None:
        with contextlib.suppress(_NobodyListens):
            OrderWriter(theirs, home).work()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield ours
    finally:
        ours.close()
        thread.join()
        theirs.close()


def answers(connection: Connection, count: int) -> list[MirrorAnswer]:
    """Take in answers until this many orders are carried out."""
    found: list[MirrorAnswer] = []
    while not found or found[-1].written < count:
        assert connection.poll(60), found[-1:]  # it hangs
        found.append(connection.recv())
        assert len(found) < 10_000, found[-1]
    return found


def warnings(found: list[MirrorAnswer]) -> list[Notice]:
    return [notice for answer in found for notice in answer.notices if notice.warning]


def some_orders(folder: Path) -> list[MirrorOrder]:
    """Orders as a ledger gives them: trials overlap, some have files, the best is told of after its trial's end."""
    records = [fresh(record) for record in (ONE, FAILED, PRUNED, DIVERGED)] + [trial(number) for number in range(5, 40)]
    orders = []
    for record in records:
        path = folder / f"{record.number}.txt"
        path.write_text(f"printed by {record.number}")
        orders += [begin(record), end(record)]
        orders += [MirrorOrder("attach", (record.number, "output.log", str(path)))] if record.number % 3 == 0 else []
        orders += [MirrorOrder("best", (record.number, record.value, record.ended))] if record.value else []
    overlapping = sorted(enumerate(orders), key=lambda each: each[0] + 4 * (each[1].action != "begin"))
    return [order for _, order in overlapping]


def all_at_once(orders: list[MirrorOrder]) -> list[list[MirrorOrder]]:
    return [orders]


def one_by_one(orders: list[MirrorOrder]) -> list[list[MirrorOrder]]:
    return [[order] for order in orders]


def in_bursts(orders: list[MirrorOrder]) -> list[list[MirrorOrder]]:
    draw, rest, bursts = random.Random(1), list(orders), []
    while rest:
        size = draw.choice((1, 2, 5, 20))
        bursts.append(rest[:size])
        rest = rest[size:]
    return bursts


def carry_out(home: Home, bursts: list[list[MirrorOrder]], await_each: bool) -> list[MirrorAnswer]:
    """Let a scribe carry out bursts of orders; return its answers."""
    found = []
    with scribe(home) as connection:
        sent = 0
        for burst in bursts:
            connection.send(burst)
            sent += len(burst)
            if await_each:
                found += answers(connection, sent)
        if not await_each:
            found += answers(connection, sent)
    return found


@pytest.fixture(scope="module")
def awaited_one_by_one(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("single")
    home = Place(folder).home
    carry_out(home, one_by_one(OPEN + some_orders(folder)), await_each=True)
    return home


@pytest.mark.parametrize(
    ("way", "split", "await_each"),
    [
        ("bulk", all_at_once, True),
        ("bulk", one_by_one, False),
        ("bulk", in_bursts, True),
        ("client", all_at_once, True),
        ("client", in_bursts, False),
    ],
)
def test_bursts_make_no_difference(
    awaited_one_by_one: Home, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    way: str, split: Callable[[list[MirrorOrder]], list[list[MirrorOrder]]], await_each: bool,
):  # fmt: skip
    if way == "client":
        monkeypatch.setattr(mlflow_bulk, "TESTED", ())
    orders = OPEN + some_orders(tmp_path)
    found = carry_out(home, split(orders), await_each)
    assert [answer.trouble for answer in found if answer.trouble] == []
    assert found[-1].written == len(orders)
    assert found[-1].takes_ids == (way == "bulk")
    assert_same(tables(awaited_one_by_one.tracking_uri), tables(home.tracking_uri))
    kept = artifacts(home.tracking_uri)
    assert kept == artifacts(awaited_one_by_one.tracking_uri)
    assert kept["study 0003: output.log"] == "printed by 3"
    told = {number: run_id for answer in found for number, run_id in answer.run_ids.items()}
    assert (told == {}) == (way == "bulk")  # every record has an id of its own, which the client can't give a run


def test_orders_that_come_quickly_are_written_together(home: Home, tmp_path: Path):
    orders = OPEN + some_orders(tmp_path)
    written = [answer.written for answer in carry_out(home, all_at_once(orders), await_each=True)]
    assert len(set(written)) < len(orders) / 20


@pytest.mark.parametrize("way", ["bulk", "client"])
def test_a_refused_order_costs_no_other(home: Home, monkeypatch: pytest.MonkeyPatch, way: str):
    if way == "client":
        monkeypatch.setattr(mlflow_bulk, "TESTED", ())
        bad = replace(PRUNED, steps={2**64: {"score": 1.0}}, times={2**64: 1.0})  # no step, says MLflow
    else:
        bad = changed(PRUNED, value=[1.0])  # a mistake of the ledger's
    orders = [begin(ONE), end(FAILED), begin(bad), end(bad), end(ONE), begin(DIVERGED), end(DIVERGED)]
    with scribe(home) as connection:
        connection.send([*OPEN, *orders])
        found = answers(connection, len(OPEN) + len(orders))
    (notice,) = warnings(found)
    assert notice.text.startswith("MLflow refuses what it was given to end: ")
    assert [answer.trouble for answer in found if answer.trouble] == []  # it was not tried again
    assert states(home) == {
        "1": "FINISHED", "2": "FAILED", "3": "RUNNING" if way == "bulk" else "KILLED", "4": "KILLED",
    }  # fmt: skip


@pytest.mark.parametrize("way", ["bulk", "client"])
def test_text_that_databases_do_not_take(home: Home, monkeypatch: pytest.MonkeyPatch, way: str):
    if way == "client":
        monkeypatch.setattr(mlflow_bulk, "TESTED", ())
    text = "no file \udcff\0"  # a file's name that is no UTF-8, as Python gives it; PostgreSQL takes no null
    odd = changed(fresh(FAILED), error=text, traceback=text, params={"path": text}, info={"host": text})
    with scribe(home) as connection:
        connection.send([*OPEN, begin(odd), end(odd), end(ONE)])
        found = answers(connection, len(OPEN) + 3)
    assert [answer.trouble for answer in found if answer.trouble] == []
    assert warnings(found) == []
    assert states(home) == {"1": "FINISHED", "2": "FAILED"}
    (run,) = MlflowClient(home.tracking_uri).search_runs(["1"], "tags.`hpo.trial` = '2'")
    assert run.data.tags["hpo.error"] == run.data.params["path"] == r"no file \udcff\0"
    assert artifacts(home.tracking_uri) == {"study 0002: traceback.txt": r"no file \udcff\0"}


def states(home: Home) -> dict[str, str]:
    """Return the status of each trial's run; a trial with two is an error."""
    runs = MlflowClient(home.tracking_uri).search_runs(["1"], "tags.`hpo.kind` = 'trial'")
    found = {run.data.tags["hpo.trial"]: run.info.status for run in runs}
    assert len(found) == len(runs)
    return dict(sorted(found.items()))


class Watched(Mirror):
    """Counts how often its process has said that MLflow can't be written."""

    troubles = 0

    def _take_in(self, answer: MirrorAnswer) -> list[Notice]:
        self.troubles += bool(answer.trouble)
        return super()._take_in(answer)


@pytest.fixture
def mirror(home: Home) -> Iterator[Watched]:
    """A real mirror whose sweep is open."""
    mirror = Watched(home)
    mirror.start()
    mirror.open(SWEEP, [])
    news = until(mirror, lambda: bool(mirror.parent_id) or mirror.in_trouble)
    assert (news, mirror.in_trouble, mirror.takes_ids) == ([], False, True)
    yield mirror
    mirror._process.kill()


def until(mirror: Mirror, true: Callable[[], bool]) -> list[Notice]:
    """Return what a mirror says until something is true."""
    news: list[Notice] = []

    def told() -> bool:
        news.extend(mirror.receive())
        return true()

    wait_for(told, "what the mirror should do")
    return news


def close(mirror: Mirror) -> list[Notice]:
    return mirror.close("FINISHED", {"outcome": "done", "trials": 1}, lambda: False)


@pytest.mark.slow
def test_what_was_held_back_is_sent_or_dropped(mirror: Mirror, home: Home):
    mirror.hold()
    mirror.begin(ONE)
    mirror.end(ONE)
    mirror.best(1, 0.5, 1.7e9)
    mirror.let_go(send=False)
    mirror.hold()
    mirror.begin(FAILED)
    mirror.end(FAILED)
    mirror.let_go(send=True)
    mirror.hold()
    mirror.let_go(send=True)
    mirror.begin(PRUNED)  # nothing is held any more
    assert close(mirror) == []  # nothing is missing: what was dropped was never given
    assert states(home) == {"2": "FAILED", "3": "RUNNING"}
    assert "hpo/best_so_far_score" not in MlflowClient(home.tracking_uri).get_run(mirror.parent_id).data.metrics


@pytest.mark.slow
def test_a_database_that_another_writer_holds_or_that_fails_is_waited_for(mirror: Watched, home: Home):
    with closing(sqlite3.connect(home.mlflow_database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for record in (ONE, FAILED):
            mirror.begin(record)
            mirror.end(record)
        time.sleep(2)
        assert states(home) == {}
        other.execute("ROLLBACK")
        news = until(mirror, lambda: len(states(home)) == 2)
        assert news == []
        other.execute("ALTER TABLE metrics RENAME TO gone")
        mirror.end(PRUNED)
        mirror.end(DIVERGED)
        before = mirror.troubles
        news = until(mirror, lambda: mirror.troubles >= before + 2)  # it is tried again, and fails again
        assert len(news) == 1
        assert news[0].text.startswith("MLflow can't be written for now, the sweep goes on: ")
        other.execute("ALTER TABLE gone RENAME TO metrics")
    assert close(mirror) == []
    assert states(home) == {"1": "FINISHED", "2": "FAILED", "3": "KILLED", "4": "KILLED"}
    parent = MlflowClient(home.tracking_uri).get_run(mirror.parent_id)
    assert (parent.info.status, parent.data.metrics["hpo/trials"]) == ("FINISHED", 1)


@pytest.mark.slow
def test_a_process_that_dies_is_replaced_and_the_next_one_writes_what_is_missing(mirror: Mirror, home: Home):
    mirror.begin(ONE)
    until(mirror, lambda: len(states(home)) == 1)
    parent = mirror.parent_id
    os.kill(mirror._process.pid, signal.SIGSTOP)  # what it is given now, it never writes
    for record in (FAILED, PRUNED):
        mirror.begin(record)
    for record in (ONE, FAILED):
        mirror.end(record)
    mirror._process.kill()
    news = until(mirror, lambda: mirror._restarts > 0)
    mirror.end(PRUNED)
    mirror.best(1, 0.5, 1.7e9)
    news += close(mirror)
    assert [notice.text for notice in news] == ["the process that writes MLflow died (exit code -9) and was replaced"]
    assert states(home) == {"1": "FINISHED", "2": "FAILED", "3": "KILLED"}
    assert mirror.parent_id == parent
    run = MlflowClient(home.tracking_uri).get_run(parent)
    assert (run.info.status, run.data.metrics["hpo/best_so_far_score"]) == ("FINISHED", 0.5)


@pytest.mark.slow
def test_a_process_that_always_dies_is_not_replaced_for_ever(mirror: Mirror, home: Home):
    mirror.begin(ONE)
    mirror.end(ONE)
    news: list[Notice] = []

    def killed_for_good() -> bool:
        mirror._process.kill()
        news.extend(mirror.receive())
        return mirror.in_trouble

    wait_for(killed_for_good, "an end of it")
    assert [notice.text.rpartition(") ")[2] for notice in news] == [
        *["and was replaced"] * 3,
        "once too often, and is not replaced; the study is safe",
    ]
    mirror.begin(FAILED)
    assert mirror.receive() == []
    (notice,) = close(mirror)
    assert re.match(r"\d+ entries have not reached MLflow; they are safe in the study", notice.text)


@pytest.mark.parametrize(
    "steps",
    [
        {},
        {1: {"a": 0.1}},
        {3: {"a": 1.0}, 1: {"a": -0.0, "b": 1e-300}, 2: {}, 10: {"late": 1.7e308}},
        {step: {"a": float(step)} | ({"sometimes": 1 / step} if step % 3 == 0 else {}) for step in range(1, 100)},
    ],
)
def test_a_record_is_what_it_was_after_the_way_to_the_mirror(steps: dict[int, dict[str, float]]):
    record = trial(1, steps=steps)
    bare, history = packed(record)
    assert (bare.steps, bare.times) == ({}, {})
    again = unpacked(bare, history)
    assert again == record
    signs = [math.copysign(1, value) for step in again.steps.values() for value in step.values()]
    assert signs == [math.copysign(1, value) for step in sorted(steps) for value in steps[step].values()]
    assert record.steps == steps  # the ledger's own is left alone


@pytest.mark.parametrize("again", [False, True])
def test_a_driver_that_is_killed_leaves_no_parent_run_that_says_it_runs(
    home: Home, monkeypatch: pytest.MonkeyPatch, again: bool
):
    monkeypatch.setattr(process, "_GOING", 0.0)
    ours, theirs = multiprocessing.Pipe()
    writer = OrderWriter(theirs, home)

    def work() -> None:
        with pytest.raises(_NobodyListens):
            writer.work()
        writer.end_alone(lambda _: lambda study: again and study == SWEEP.study)

    thread = threading.Thread(target=work)
    thread.start()
    ours.send(OPEN)
    answers(ours, len(OPEN))
    ours.close()
    thread.join()
    theirs.close()
    parent = MlflowClient(home.tracking_uri).get_run(writer._book.parent_id)
    assert parent.info.status == ("RUNNING" if again else "KILLED")
    assert (INTERRUPTED_NOTE in parent.data.tags[NOTE]) is not again


@pytest.mark.slow
def test_a_writer_that_ends_after_the_study_is_gone_is_not_replaced(mirror: Mirror, home: Home):
    """It has written all, and ends, before its last answer is read: another one would open the parent run again."""
    writer = psutil.Process(mirror._process.pid)

    def see_its_end() -> bool:
        wait_for(lambda: not writer.is_running() or writer.status() == psutil.STATUS_ZOMBIE, "the writer's end")
        return False

    mirror.abandon("somebody deleted it", see_its_end)
    run = MlflowClient(home.tracking_uri).get_run(mirror.parent_id)
    assert (run.info.status, run.data.tags["hpo.error"]) == ("FAILED", "somebody deleted it")
    assert mirror._restarts == 0


class Patient:
    """A writer that notes how long its end would be waited for."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def end(self, patience: float) -> None:
        self.waited.append(patience)


def test_who_abandons_a_sweep_does_not_wait_long_for_its_parent_run(home: Home):
    mirror, writer = Mirror(home), Patient()
    mirror._writer = writer  # type: ignore[assignment]
    mirror.abandon()  # it may be making the database
    mirror.parent_id = "some"
    mirror.abandon()
    mirror.in_trouble = True
    mirror.abandon()
    assert writer.waited == [30.0, 5.0, 1.0]
