"""The journal's lock: hpo's writers and stock Optuna's keep each other out, and nobody waits for a dead one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import optuna
import pytest
from e2e.support import Place
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalFileSymlinkLock
from optuna.trial import TrialState, create_trial
from waiting import wait_for

from hpo.ledger.study.file_lock import JournalLock
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.journal import SafeJournal
from hpo.spec.faults import RecordsGone, UserError

QUICK = 5.0  # seconds, far below the thirty after which Optuna takes a lock by force


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with a study of hpo's storage."""
    home = Home(tmp_path)
    optuna.create_study(storage=open_storage(home), study_name="s")
    return home.journal


def stock(path: Path) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path))))


def own(path: Path) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=open_storage(Home(path.parent)))


def test_stock_clients_need_not_wait_for_a_file_that_was_left(path: Path) -> None:
    began = time.monotonic()
    study = stock(path)
    study.enqueue_trial({"x": 1.0})
    study.add_trial(create_trial(value=2.0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    own(path).add_trial(create_trial(value=7.0))
    stock(path).add_trial(create_trial(value=8.0))
    assert time.monotonic() - began < QUICK
    assert len(own(path).trials) == len(stock(path).trials) == 6
    assert not os.path.lexists(f"{path}.lock")


@pytest.mark.parametrize("kind", [JournalFileSymlinkLock, JournalFileOpenLock])
def test_each_keeps_the_other_out(path: Path, kind: type[JournalFileSymlinkLock]) -> None:
    theirs, ours = kind(str(path)), JournalLock(path)
    for first, second in ((theirs, ours), (ours, theirs)):
        first.acquire()
        got = threading.Event()
        thread = threading.Thread(target=lambda second=second, got=got: (second.acquire(), got.set()), daemon=True)
        thread.start()
        assert not got.wait(0.5)
        first.release()
        assert got.wait(QUICK)
        second.release()


WRITER = """
import sys, optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial
study = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(sys.argv[1])))
for number in range(40):
    study.add_trial(create_trial(value=float(number)))
"""


def test_writers_of_both_kinds_lose_nothing(path: Path) -> None:
    others = [subprocess.Popen([sys.executable, "-c", WRITER, str(path)]) for _ in range(2)]
    study = own(path)
    while any(process.poll() is None for process in others):
        study.add_trial(create_trial(value=-1.0))
        time.sleep(0.02)  # theirs wait for longer and longer, ours would never let them
    assert [process.returncode for process in others] == [0, 0]
    values = [trial.value for trial in stock(path).trials]
    assert [values.count(float(number)) for number in range(40)] == [2] * 40
    assert values == [trial.value for trial in own(path).trials]


HOLDER = """
import sys, time
from hpo.ledger.study.file_lock import JournalLock
JournalLock(sys.argv[1]).acquire()
print("held", flush=True)
time.sleep(600)
"""


def test_a_holder_that_is_killed_holds_nothing(path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=60)
    assert Path(f"{path}.lock").is_symlink()
    began = time.monotonic()
    own(path).add_trial(create_trial(value=1.0))
    assert time.monotonic() - began < QUICK
    assert not os.path.lexists(f"{path}.lock")


def test_a_file_that_an_older_hpo_left_is_removed(path: Path) -> None:
    left = Path(f"{path}.lock")
    left.touch()
    os.utime(left, (time.time() - 60, time.time() - 60))
    own(path).add_trial(create_trial(value=1.0))
    assert not left.exists()
    stock(path).add_trial(create_trial(value=1.0))


def test_who_waits_says_so_and_can_be_interrupted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpo.ledger.study.file_lock._LONG", 0.2)
    said: list[str] = []
    journal = SafeJournal(str(path))
    journal.wait_with(said.append, lambda: bool(said) and time.monotonic() > began + 1)
    began = time.monotonic()
    holder = JournalLock(path)
    holder.acquire()
    with pytest.raises(OSError, match="another process holds the lock"):
        journal.append_logs([{"op_code": 0, "worker_id": "w"}])
    assert len(said) == 1
    assert "waiting for the lock" in said[0]
    holder.release()
    journal.append_logs([])


@pytest.mark.parametrize("line", [b"{\n", b"5\n", b"{}\n", b"\xff\xfe\n", b"\n", b'{"op_code": 4}\n'])
def test_a_line_that_is_no_entry_is_named_with_a_remedy(path: Path, line: bytes) -> None:
    study = own(path)
    study.add_trial(create_trial(value=1.0))
    study.add_trial(create_trial(value=2.0))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:-1], line, lines[-1]]))
    with pytest.raises(UserError) as caught:
        open_storage(Home(path.parent))
    assert f"line {len(lines)} is no entry" in str(caught.value)
    (remedy,) = [part for part in str(caught.value).split(": ") if part.startswith("head -n")]
    command = remedy.partition(", and put")[0]
    subprocess.run(["/bin/sh", "-c", command], cwd=path.parent, check=True)
    (path.parent / "rescued.journal").replace(path)
    assert [trial.value for trial in own(path).trials] == [1.0]


@pytest.mark.parametrize("how", ["deleted", "replaced", "cut"])
def test_a_journal_that_is_gone_is_not_begun_anew(path: Path, how: str) -> None:
    study = own(path)
    study.add_trial(create_trial(value=1.0))
    assert len(study.trials) == 1
    whole = path.read_bytes()
    if how == "cut":
        path.write_bytes(whole[:20])
    elif how == "deleted":
        path.unlink()
    else:
        other = path.with_name("other")
        other.write_bytes(whole)
        other.replace(path)
    with pytest.raises(RecordsGone, match="what was recorded of its studies is gone"):
        study.add_trial(create_trial(value=2.0, state=TrialState.COMPLETE))
    assert path.exists() is (how != "deleted")


@pytest.mark.slow
def test_a_sweep_beside_which_others_write_has_its_budget(tmp_path: Path) -> None:
    place = Place(tmp_path)
    process = place.start("sweep", place.write("slow", budget={"trials": 4}))
    place.wait_for_trials(1, process)
    study = optuna.load_study(study_name="small", storage=JournalStorage(JournalFileBackend(str(place.home.journal))))
    began = time.monotonic()
    study.enqueue_trial({"x": 1.0})
    study.add_trial(create_trial(value=3.0))
    assert time.monotonic() - began < QUICK
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    wait_for(lambda: not os.path.lexists(f"{place.home.journal}.lock"), "a journal that nobody locks")
    ours = [trial for trial in place.trials() if "outcome" in trial.user_attrs and trial.state.name == "COMPLETE"]
    assert len(ours) == 4
