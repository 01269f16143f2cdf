"""The journal: blocks are written as one, whoever else writes, and whatever ends the writer."""

from __future__ import annotations

import json
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import TrialState

from hpo.ledger.study.journal import SafeJournal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with one study, whose id is 0, and one trial."""
    path = tmp_path / "studies.journal"
    storage, _ = open_journal(path)
    storage.create_new_study([StudyDirection.MAXIMIZE], "s")
    storage.create_new_trial(0)
    return path


def open_journal(path: Path) -> tuple[JournalStorage, SafeJournal]:
    journal = SafeJournal(str(path))
    return JournalStorage(journal), journal


def numbers(path: Path) -> list[int]:
    """Return the trials' numbers as a reader sees them who comes now."""
    return [trial.number for trial in open_journal(path)[0].get_all_trials(0)]


def add(storage: JournalStorage) -> int:
    """Add a trial; return its number."""
    return storage.get_trial_number_from_id(storage.create_new_trial(0))


def test_a_block_is_seen_by_its_process_at_once_and_by_others_at_its_end(path: Path):
    storage, journal = open_journal(path)
    reader, _ = open_journal(path)  # it was there before
    before = path.read_bytes()
    with journal.together():
        assert [add(storage), add(storage)] == [1, 2]
        storage.set_trial_user_attr(1, "a", "b")
        assert storage.get_trial(1).user_attrs == {"a": "b"}
        assert len(storage.get_all_trials(0)) == 3
        assert (path.read_bytes(), len(reader.get_all_trials(0)), numbers(path)) == (before, 1, [0])
    assert reader.get_trial(1).user_attrs == {"a": "b"}
    assert path.read_bytes().startswith(before)
    assert numbers(path) == [0, 1, 2]
    assert add(storage) == 3
    assert [trial.number for trial in reader.get_all_trials(0)] == [0, 1, 2, 3]


def test_blocks_may_be_nested(path: Path):
    storage, journal = open_journal(path)
    with journal.together():
        add(storage)
        with journal.together(), journal.together():
            add(storage)
        assert numbers(path) == [0]
        add(storage)
    assert numbers(path) == [0, 1, 2, 3]


def test_a_block_without_anything_in_it_holds_up_nobody(path: Path):
    _, journal = open_journal(path)
    before = path.read_bytes()
    with journal.together():
        assert add(open_journal(path)[0]) == 1  # the lock is taken with the first log
    assert numbers(path) == [0, 1]
    assert path.read_bytes().startswith(before)


def test_what_stood_in_a_block_that_an_exception_left_is_written(path: Path):
    storage, journal = open_journal(path)
    with pytest.raises(ZeroDivisionError), journal.together():
        add(storage)
        with journal.together():
            add(storage)
            raise ZeroDivisionError
    assert numbers(path) == [0, 1, 2]
    assert add(storage) == 3  # the next block is one like any other
    assert add(open_journal(path)[0]) == 4  # and nobody holds the lock


def test_what_optuna_refuses_in_a_block_leaves_the_storage_right(path: Path):
    storage, journal = open_journal(path)
    storage.set_trial_state_values(0, TrialState.COMPLETE, [1.0])
    with journal.together():
        add(storage)
        with pytest.raises(RuntimeError):  # it has finished
            storage.set_trial_user_attr(0, "late", 1)
        add(storage)
    assert add(storage) == 3
    fresh = open_journal(path)[0].get_all_trials(0)
    assert [(trial.number, trial.user_attrs) for trial in fresh] == [(number, {}) for number in range(4)]
    assert storage.get_all_trials(0) == fresh


def test_a_value_that_is_changed_after_it_was_given_is_kept_as_it_was(path: Path):
    storage, journal = open_journal(path)
    value = [1]
    with journal.together():
        storage.set_trial_user_attr(0, "list", value)
        value.append(2)
        assert storage.get_trial(0).user_attrs["list"] == [1]
    assert open_journal(path)[0].get_trial(0).user_attrs["list"] == [1]


def write_study(storage: JournalStorage, together: Callable[[], AbstractContextManager[None]]) -> None:
    with together():
        storage.create_new_study([StudyDirection.MINIMIZE], "é")
        storage.set_study_user_attr(0, "sweep", {"a": [1, None, 0.1], "b": float("inf")})
    for _ in range(3):
        with together():
            first, second = storage.create_new_trial(0), storage.create_new_trial(0)
            for step in range(4):
                storage.set_trial_intermediate_value(first, step, step / 3)
            storage.set_trial_user_attr(second, "text", 'é\n"\\')
        with together():
            storage.set_trial_state_values(first, TrialState.COMPLETE, [0.1])
            storage.set_trial_state_values(second, TrialState.FAIL)


def test_the_file_is_the_same_as_without_blocks_and_as_optunas_own(tmp_path: Path):
    ways = {"together": SafeJournal, "single": SafeJournal, "optuna": JournalFileBackend}
    written = {}
    for name, backend in ways.items():
        journal = backend(str(tmp_path / name))
        write_study(JournalStorage(journal), journal.together if name == "together" else nullcontext)
        text = (tmp_path / name).read_bytes()
        written[name] = re.sub(rb'("(worker_id|datetime_start|datetime_complete)"):"[^"]*"', rb"\1", text)
    assert written["together"] == written["single"] == written["optuna"]
    assert len(written["single"].splitlines()) == 2 + 3 * (2 + 4 + 1 + 2)


WRITER = """
import json, os, signal, sys
from pathlib import Path
from optuna.storages import JournalStorage
from hpo.ledger.study.journal import SafeJournal

journal = SafeJournal(sys.argv[1])
storage = JournalStorage(journal)

def block(trials, mark):
    made = []
    with journal.together():
        for index in range(trials):
            trial = storage.create_new_trial(0)
            storage.set_trial_user_attr(trial, "mark", f"{mark}.{index}")
            made.append(storage.get_trial_number_from_id(trial))
    return made
"""


def start(path: Path, what: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER + what, str(path), *arguments]
    return subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_two_processes_never_give_one_number_twice(path: Path):
    blocks = """
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps({mark: block(3, f"{sys.argv[2]}.{mark}") for mark in range(40)}))
"""
    processes = [start(path, blocks, name) for name in "ab"]
    for process in processes:
        process.stdout.readline()
    for process in processes:  # both are ready
        process.stdin.write("go\n")
        process.stdin.flush()
    told = {name: json.loads(process.communicate()[0]) for name, process in zip("ab", processes, strict=True)}
    marks = {
        number: f"{name}.{mark}.{index}"
        for name, made in told.items()
        for mark, block in made.items()
        for index, number in enumerate(block)
    }
    trials = open_journal(path)[0].get_all_trials(0)[1:]
    assert {trial.number: trial.user_attrs["mark"] for trial in trials} == marks
    assert sorted(marks) == list(range(1, 241))
    owners = "".join(marks[number][0] for number in sorted(marks))
    assert re.fullmatch("(aaa|bbb)*", owners)  # a block's trials stand together
    assert "ab" in owners or "ba" in owners


def killed(path: Path, what: str) -> None:
    process = start(path, what)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_a_kill_in_a_block_leaves_nothing_of_it(path: Path):
    die = "os.kill(os.getpid(), signal.SIGKILL)"
    killed(path, f'block(3, "whole")\nwith journal.together():\n    block(2, "lost")\n    {die}\n')
    assert numbers(path) == [0, 1, 2, 3]
    assert add(open_journal(path)[0]) == 4  # its lock died with it


def test_a_kill_at_any_time_leaves_a_beginning_of_what_was_written_and_a_journal_to_go_on_with(path: Path):
    for attempt in range(3):
        process = start(path, "while True:\n    block(5, 'x')\n    print(flush=True)\n")
        for _ in range(attempt + 2):
            process.stdout.readline()
        process.kill()
        process.communicate()
        trials = open_journal(path)[0].get_all_trials(0)
        marks = [trial.user_attrs["mark"] for trial in trials if "mark" in trial.user_attrs]
        assert [mark for mark in marks if mark == "x.0"]
        assert add(open_journal(path)[0]) == len(trials)
        assert numbers(path) == list(range(len(trials) + 1))


def test_a_kill_while_much_is_written_leaves_whole_lines_from_the_blocks_beginning(path: Path):
    logs = (
        '[{"op_code": 3, "study_id": 0, "worker_id": "", "system_attr": {"n": [n, "y" * 200]}} for n in range(60000)]'
    )
    process = start(
        path, f"logs = {logs}\nprint(flush=True)\nwith journal.together():\n    journal.append_logs(logs)\n"
    )
    size = path.stat().st_size
    process.stdout.readline()
    while path.stat().st_size == size and process.poll() is None:
        pass
    process.kill()
    process.communicate()
    storage, _ = open_journal(path)
    lines = path.read_bytes()[size:].splitlines()
    assert [json.loads(line)["system_attr"]["n"][0] for line in lines] == list(range(len(lines)))
    assert add(storage) == 1
    assert numbers(path) == [0, 1]


def test_a_write_that_was_cut_off_at_any_byte_leaves_its_whole_lines(path: Path, tmp_path: Path):
    storage, journal = open_journal(path)
    start = path.stat().st_size
    with journal.together():
        for _ in range(3):
            storage.set_trial_user_attr(add(storage), "a", "é\u2028")
    whole = path.read_bytes()
    torn = tmp_path / "torn"
    for size in range(start, len(whole) + 1):
        torn.write_bytes(whole[:size])
        lines = whole[:size].count(b"\n")
        storage, _ = open_journal(torn)
        assert torn.read_bytes() == b"".join(whole.splitlines(keepends=True)[:lines])
        assert len(storage.get_all_trials(0)) == whole[:size].count(b'"op_code":4', 0, torn.stat().st_size)
    torn.write_bytes(whole[:-3])
    assert add(open_journal(torn)[0]) == 4
    assert numbers(torn) == [0, 1, 2, 3, 4]


def test_a_line_that_another_writer_tore_is_cut_off_by_the_next_write(path: Path):
    storage, journal = open_journal(path)
    line = path.read_bytes().splitlines(keepends=True)[-1]
    with path.open("ab") as file:
        file.write(line + line[:20])  # a trial, and half of one, by a writer that died
    assert len(storage.get_all_trials(0)) == 2  # the half is not read
    with journal.together():
        assert [add(storage), add(storage)] == [2, 3]
    assert add(storage) == 4
    assert numbers(path) == [0, 1, 2, 3, 4]


def test_a_long_torn_line_is_cut_off_and_a_whole_file_is_left_alone(path: Path):
    whole = path.read_bytes()
    open_journal(path)
    assert path.read_bytes() == whole
    path.write_bytes(whole + b"x" * 200_000)
    open_journal(path)
    assert path.read_bytes() == whole
    path.write_bytes(b"x" * 200_000)
    assert open_journal(path)[0].get_all_studies() == []
    assert path.read_bytes() == b""


@contextmanager
def room(path: Path, size: int) -> Iterator[None]:
    """Let files grow by no more than this many bytes beyond the journal's size, as on a disk that gets full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 1, 200, 700])
def test_a_block_that_finds_no_room_leaves_the_journal_as_it_was_and_nobody_goes_on_with_it(path: Path, size: int):
    storage, journal = open_journal(path)
    before = path.read_bytes()
    with room(path, size):
        with pytest.raises(OSError, match="File too large"), journal.together():
            for _ in range(5):
                add(storage)
        assert path.read_bytes() == before
    assert journal.failed
    for use in (storage.get_all_studies, lambda: add(storage)):  # it believes in trials that are not there
        with pytest.raises(OSError, match="File too large"):
            use()
    with pytest.raises(OSError, match="File too large"), journal.together():
        add(storage)
    assert path.read_bytes() == before
    assert add(open_journal(path)[0]) == 1  # nobody holds the lock
    assert numbers(path) == [0, 1]


def test_a_single_write_that_finds_no_room_can_be_tried_again(path: Path):
    storage, journal = open_journal(path)
    before = path.read_bytes()
    with room(path, 50), pytest.raises(OSError, match="File too large"):
        add(storage)
    assert path.read_bytes() == before
    assert not journal.failed
    assert [add(storage), add(storage)] == [1, 2]
    assert numbers(path) == [0, 1, 2]
