"""Processes that start warm (tests/warm.py) are processes like others."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest
import shared
import warm
from e2e.support import Place
from warm import Warm


def server_of(kind: Warm) -> psutil.Process:
    return psutil.Process(int((shared.folder() / f"{kind.module}.pid").read_text()))


def tell(connection: Connection, words: list[str]) -> None:
    has_parent = multiprocessing.parent_process() is not None
    server = Path(f"/proc/{os.getppid()}")
    has_torch = "libtorch_cpu" in (server / "maps").read_text()
    threads = {(task / "comm").read_text().strip() for task in (server / "task").iterdir()}
    connection.send((words, os.environ["HPO_TESTS_WORD"], Path.cwd(), has_parent, has_torch, threads))
    signal.pause()


@pytest.mark.parametrize("kind", Warm)
def test_a_fork_has_the_environment_of_its_driver_and_dies_as_others_do(kind: Warm, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HPO_TESTS_WORD", "later than the server")
    ours, theirs = multiprocessing.Pipe()
    name = f"{kind.prefix}1"
    process = multiprocessing.get_context("spawn").Process(target=tell, args=(theirs, ["a", "b"]), name=name)
    before = dict(warm._clients)
    with kind.lent_here():
        process.start()
    assert warm._clients == before
    theirs.close()
    assert ours.poll(60)
    *said, threads = ours.recv()
    assert said == [["a", "b"], "later than the server", Path.cwd(), True, kind is Warm.TORCH_WORKERS]
    assert len(threads - {"jemalloc_bg_thd"}) == 1  # the server's: a fork has none of its threads, but for pyarrow's
    assert psutil.Process(process.pid).parent() == server_of(kind)
    process.kill()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.slow
def test_a_command_is_what_it_is_without(tmp_path: Path):
    said, forks = [], []
    for cold in (False, True):
        (tmp_path / str(cold)).mkdir()
        place = Place(tmp_path / str(cold), cold=cold)
        notes = place.folder / "forks.txt"
        notes.touch()
        path = place.write("parabola", engine={"workers": 1})
        done = place.run("sweep", path, env={warm.NOTES: str(notes)})
        assert (done.returncode, done.stderr) == (0, "")
        forks.append(sorted(notes.read_text().split()))
        parent, children = place.runs()
        said.append((parent.info.status, sorted(parent.data.tags), [sorted(children[n].data.tags) for n in range(6)]))
    assert said[0] == said[1]
    assert forks == [["mlflow-mirror", "worker-server"], []]
