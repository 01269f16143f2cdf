"""Processes that are forks of a server: they are there at once, and end, are ended and die as any others."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import wait_for

from hpo.forking import SERVER_DIED, ChildProcess, ForkServer, lifelines

LIBRARIES = ("numpy", "slow_library", "broken_library", "leaving_library", "no_library")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process is a fork")


def tell(connection: Connection, what: str, *args: Any) -> None:
    """Send what a test asks for, then wait to be ended."""
    import numpy as np

    answers = {
        "loaded": lambda: {name: name in sys.modules for name in (*LIBRARIES, "torch")},
        "random": lambda: (random.random(), np.random.rand()),
        "descriptors": lambda: sorted(int(entry.name) for entry in Path("/proc/self/fd").iterdir()),
        "environment": lambda: (os.environ["HPO_TESTS_WORD"], Path.cwd(), multiprocessing.current_process().name),
        "start method": lambda: multiprocessing.get_start_method(),
        "size": lambda: len(args[0]),
    }
    connection.send(answers[what]())
    connection.recv()


def end(connection: Connection, how: str) -> None:
    connection.recv()
    if how == "at exit":
        atexit.register(connection.send, "registered by the objective")
    elif how == "exit":
        sys.exit(3)
    elif how == "raise":
        raise RuntimeError("on purpose")
    elif how == "leave a child":
        if (child := os.fork()) == 0:  # it holds all that its parent held, and outlives it
            time.sleep(600)
        connection.send(child)
        os._exit(4)


def watch(connection: Connection, folder: str) -> None:
    """Be a worker that ends when whoever started it is gone."""
    Path(folder, str(os.getpid())).touch()
    multiprocessing.connection.wait(lifelines())


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServer]:
    (tmp_path / "slow_library.py").write_text("print('loading', flush=True)\n")
    (tmp_path / "broken_library.py").write_text("raise OSError('no such driver')\n")
    (tmp_path / "leaving_library.py").write_text("raise SystemExit('not here')\n")
    monkeypatch.syspath_prepend(tmp_path)
    server = ForkServer(LIBRARIES, {"HPO_TESTS_WORD": "told"}, tmp_path / "workers.log")
    yield server
    server.close()


def start(server: ForkServer, target: Any, *args: Any) -> tuple[ChildProcess, Connection]:
    ours, theirs = multiprocessing.Pipe()
    with theirs:
        return server.start_process(target, theirs, args, "worker-7"), ours


def ask(server: ForkServer, what: str, *args: Any) -> Any:
    process, connection = start(server, tell, what, *args)
    assert connection.poll(60)
    answer = connection.recv()
    connection.close()
    process.join(60)
    return answer


def server_of(process: ChildProcess) -> psutil.Process:
    parent = psutil.Process(process.pid).parent()
    assert parent is not None
    return parent


def test_what_is_slow_is_loaded_once(server: ForkServer, tmp_path: Path) -> None:
    for _ in range(2):
        loaded = ask(server, "loaded")
        assert [name for name, there in loaded.items() if there] == ["numpy", "slow_library"]
    assert (tmp_path / "workers.log").read_text().count("loading") == 1


def test_a_server_that_begins_early_has_its_log_later(server: ForkServer, tmp_path: Path) -> None:
    log, server.log = server.log, None
    server.begin()
    time.sleep(0.2)  # for the better case, in which it prints before it knows where to
    assert not (tmp_path / "workers.log").exists()
    server.log = log
    first, second = ask(server, "loaded"), ask(server, "loaded")
    assert first == second
    assert (tmp_path / "workers.log").read_text().count("loading") == 1


def test_a_server_that_has_begun_is_told_what_to_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_library.py").write_text("import os\nassert os.environ['HPO_TESTS_WORD'] == 'later'\n")
    monkeypatch.syspath_prepend(tmp_path)
    server = ForkServer(("numpy",), {"HPO_TESTS_WORD": "told"})
    server.begin()
    server.prepare(("slow_library", "no_library"), {"HPO_TESTS_WORD": "later"})
    server.log = tmp_path / "workers.log"
    for _ in range(2):
        loaded = ask(server, "loaded")
        assert [name for name, there in loaded.items() if there] == ["numpy", "slow_library"]
        assert ask(server, "environment")[0] == "later"
        server.close()  # and one that is begun anew, as after its death, does the same


def test_what_is_printed_early_needs_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk: neither the terminal gets it, nor does the server end."""
    (tmp_path / "slow_library.py").write_text("print('loading', flush=True)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TMPDIR", "/nowhere")
    (tmp_path / "sitecustomize.py").write_text("import tempfile\ntempfile.tempdir = '/nowhere'\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    read, write = os.pipe()
    before = os.dup(1)
    server = ForkServer(("slow_library",), {})
    try:
        os.dup2(write, 1)  # what the server has as its terminal
        server.begin()
    finally:
        os.dup2(before, 1)
        os.close(before)
        os.close(write)
    server.log = tmp_path / "workers.log"
    assert ask(server, "loaded")["slow_library"]
    server.close()
    with os.fdopen(read) as terminal:
        assert terminal.read() == ""
    assert server.log.exists()


def test_it_is_told_of_each_library_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ForkServer(("numpy",), {"HPO_TESTS_WORD": "told"}, tmp_path / "workers.log")
    sent: list[Any] = []
    monkeypatch.setattr(server, "_send", lambda channel, request, descriptors: sent.append(request))
    server.begin()
    server.prepare(("numpy", "slow_library"), {"HPO_TESTS_WORD": "told", "OMP_NUM_THREADS": "3"})
    server.prepare(("slow_library",), {"OMP_NUM_THREADS": "3"})
    server.close(at_once=True)
    assert [(each.libraries, each.environment) for each in sent] == [(("slow_library",), {"OMP_NUM_THREADS": "3"})]


def test_a_server_that_nobody_uses_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "endless_library.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.syspath_prepend(tmp_path)
    server = ForkServer(("endless_library",), {})
    server.begin()
    (process,) = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
    server.close(at_once=True)
    assert not process.is_running()
    server.close(at_once=True)  # once more makes no difference


def test_forks_are_no_copies_of_each_other(server: ForkServer) -> None:
    (python, numpy), (other_python, other_numpy) = ask(server, "random"), ask(server, "random")
    assert python != other_python
    assert numpy != other_numpy


def test_a_server_that_has_opened_a_gpu_forks_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gpu_library.py").write_text(
        "import hpo.forking\nhpo.forking._GPUS = (__file__,)\nopened = open(__file__)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    server = ForkServer(("numpy", "gpu_library"), {"HPO_TESTS_WORD": "told"}, tmp_path / "workers.log")
    process, connection = start(server, tell, "environment")
    assert connection.poll(60)
    assert connection.recv() == ("told", Path.cwd(), "worker-7")
    assert "spawn_main" in " ".join(psutil.Process(process.pid).cmdline())
    connection.close()
    process.join(60)
    assert process.exitcode == 1  # of the error that there is nobody to ask
    server.close()


def test_a_fork_is_a_process_of_its_driver(server: ForkServer) -> None:
    assert ask(server, "environment") == ("told", Path.cwd(), "worker-7")
    assert ask(server, "start method") == multiprocessing.get_context().get_start_method()
    assert ask(server, "size", b"x" * 3_000_000) == 3_000_000  # more than any pipe holds


def test_a_fork_has_nothing_of_the_others(server: ForkServer) -> None:
    first = ask(server, "descriptors")
    held = [start(server, watch, "/nowhere") for _ in range(3)]
    # One of each is left, by which multiprocessing lets it know of the server's end.
    assert len(ask(server, "descriptors")) <= len(first) + len(held)


@pytest.mark.parametrize(("how", "code"), [("return", 0), ("exit", 3), ("raise", 1), ("leave a child", 4)])
def test_exit_codes(server: ForkServer, how: str, code: int, tmp_path: Path) -> None:
    process, connection = start(server, end, how)
    wait_for(lambda: process.pid is not None, "the process")
    assert process.is_alive()
    assert process.exitcode is None
    connection.send(None)
    process.join(60)
    assert process.exitcode == code
    assert ("on purpose" in (tmp_path / "workers.log").read_text()) == (how == "raise")
    if how == "leave a child":
        os.kill(connection.recv(), signal.SIGKILL)


def test_what_the_target_registered_for_the_exit_is_done(server: ForkServer) -> None:
    _, connection = start(server, end, "at exit")
    connection.send(None)
    assert connection.poll(60)
    assert connection.recv() == "registered by the objective"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_ended_while_the_server_loads(server: ForkServer, number: signal.Signals) -> None:
    process, _ = start(server, tell, "loaded")
    process.kill() if number == signal.SIGKILL else process.terminate()  # waits until there is one
    process.join(60)
    assert process.exitcode == -number


def test_a_server_that_dies_is_replaced(server: ForkServer) -> None:
    for _ in range(5):  # its last moments are short
        process, connection = start(server, tell, "loaded")
        assert connection.poll(60)
        gone = server_of(process)
        gone.kill()
        process.join(60)
        assert process.exitcode == SERVER_DIED
        assert ask(server, "loaded")["numpy"]  # at once: while it is still ending
        assert not gone.is_running()


def test_a_server_ends_with_its_driver(server: ForkServer) -> None:
    process, connection = start(server, tell, "loaded")
    assert connection.poll(60)
    ended = server_of(process)
    connection.close()
    process.join(60)
    server.close()
    assert not ended.is_running()
    server.close()  # once more does nothing


DRIVER = """
import multiprocessing, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from hpo.forking import ForkServer
from test_forking import watch
server = ForkServer((), {{}}, Path({folder!r}, "workers.log"))
for name in "ab":
    ours, theirs = multiprocessing.Pipe()
    server.start_process(watch, theirs, ({folder!r},), name)
time.sleep(600)
"""


def test_all_of_it_ends_when_the_driver_is_killed(tmp_path: Path) -> None:
    code = DRIVER.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code]) as driver:
        wait_for(lambda: len([path for path in tmp_path.iterdir() if path.name.isdecimal()]) == 2, "two forks")
        family = psutil.Process(driver.pid).children(recursive=True)
        assert len(family) >= 3
        driver.kill()
        _, left = psutil.wait_procs(family, timeout=60)
        assert not left
