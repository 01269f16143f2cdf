"""A real MLflow server that comes late, answers nonsense, is killed, hangs; a database of MLflow's that goes away: the
sweep goes on, nothing is missing."""

from __future__ import annotations

import functools
import signal
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from e2e.support import Place, assert_records_agree
from mlflow_server import MlflowServer
from postgresql import postgresql_server
from sqlalchemy import Engine, NullPool, create_engine, inspect, text
from waiting import wait_for

from .support import LONG, Overheard, family, started

pytestmark = pytest.mark.slow

TRIALS = 1_000  # more than there is time for: the sweep is interrupted


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Servers are killed here, the sweep's processes are not."""
    return Place(tmp_path)


class Proxy(socketserver.ThreadingTCPServer):
    """Hands connections on to a server; while `broken`, answers each with 500 itself."""

    allow_reuse_address = True
    daemon_threads = True
    broken = False
    refused = 0
    given_up = 0  # requests without an answer

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = port

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        proxy = self.server
        assert isinstance(proxy, Proxy)
        with suppress(OSError):
            first = self.request.recv(65536)
            if proxy.broken:
                proxy.refused += 1
                self.request.sendall(b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\nConnection: close\r\n\r\nOops")
                return
            with socket.create_connection(("127.0.0.1", proxy.target)) as server:
                # One request a connection, so that the next one finds out whether the proxy is broken.
                head, separator, rest = first.partition(b"\r\n")
                server.sendall(head + separator + b"Connection: close\r\n" + _without_keeping(rest))
                answers: list[bytes] = []
                back = threading.Thread(target=_copy, args=(server, self.request, answers.append), daemon=True)
                back.start()
                _copy(self.request, server)
                proxy.given_up += not answers
                back.join(120)


def _without_keeping(head: bytes) -> bytes:
    return head.replace(b"Connection: keep-alive\r\n", b"")


def _copy(source: socket.socket, target: socket.socket, note: Callable[[bytes], object] = len) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            note(chunk)
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def serving(place: Place) -> Iterator[tuple[MlflowServer, Proxy]]:
    server = MlflowServer(place.home.tracking_uri, place.folder)
    with Proxy(server.port) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield server, proxy
        finally:
            server.stop()
            proxy.shutdown()


@functools.cache
def _database(uri: str) -> Engine:
    return create_engine(uri, poolclass=NullPool)


def finished_runs(uri: str) -> int:
    """Return how many trials' runs have ended, as MLflow's database says."""
    with _database(uri).connect() as connection:
        if not inspect(connection).has_table("runs"):
            return 0
        query = text("select count(*) from runs where status != 'RUNNING' and name like 'small %'")
        return int(connection.execute(query).scalar_one())


def test_a_server_in_all_kinds_of_trouble(place: Place, monkeypatch: pytest.MonkeyPatch):
    path, said = place.write("slow", budget={"trials": TRIALS}), Overheard()
    with serving(place) as (server, proxy):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")

        def catches_up(what: str) -> None:
            known = place.ended()
            wait_for(
                lambda: finished_runs(place.home.tracking_uri) >= known, f"{known} runs after {what}", process=process
            )

        def goes_on(trouble: int) -> None:
            """Trials end, and the sweep says for the so-manieth time that MLflow can't be written."""
            known = place.ended()
            wait_for(lambda: place.ended() >= known + 4, "trials without MLflow", process=process)
            told = functools.partial(said.count, "MLflow can't be written for now, the sweep goes on")
            wait_for(lambda: told() >= trouble, f"trouble {trouble}, told", process=process)

        with started(place, "sweep", path) as process, said.of(process):
            goes_on(1)  # the server is not there yet
            server.start()
            catches_up("the server came late")

            proxy.broken = True
            goes_on(2)
            proxy.broken = False
            assert proxy.refused > 0
            catches_up("answers of 500")

            server.stop()
            goes_on(3)
            server.start()
            catches_up("the server was killed")

            given_up = proxy.given_up
            server.signal(signal.SIGSTOP)
            goes_on(4)
            assert proxy.given_up > given_up  # a request waited for too long
            server.signal(signal.SIGCONT)
            catches_up("the server hung")

            process.send_signal(signal.SIGINT)
            process.wait(timeout=120)
        assert process.returncode == 130, said.text
        assert "Traceback" not in said.text
        assert "have not reached MLflow" not in said.text
        agree(place, proxy)


def test_what_waits_is_told_and_sent_by_doctor_or_by_the_next_sweep(place: Place, monkeypatch: pytest.MonkeyPatch):
    place.cold = True  # for `family`
    path = place.write("parabola", budget={"trials": 6})
    with serving(place) as (server, proxy):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
        proxy.broken = True
        with started(place, "sweep", path) as process:
            wait_for(lambda: place.ended() == 6, "all trials", process=process)
            wait_for(lambda: not family(process.pid)["worker"], "a driver that only waits for MLflow", process=process)
            process.send_signal(signal.SIGINT)  # it would wait for MLflow for half a minute
            output, errors = process.communicate(timeout=120)
        assert process.returncode in (3, 130), output + errors
        assert "have not reached MLflow; they are safe in the study" in output + errors
        proxy.broken = False
        server.start()
        assert place.run("doctor", "small").returncode == 1
        fixed = place.run("doctor", "small", "--fix")
        assert fixed.returncode == 0, fixed.stdout + fixed.stderr
        agree(place, proxy)
        if not LONG:
            return
        proxy.broken = True
        done = place.run("sweep", path, "-o", "budget.trials=9")
        assert done.returncode == 3, done.stdout + done.stderr
        proxy.broken = False
        again = place.run("sweep", path, "-o", "budget.trials=9")
        assert again.returncode == 0, again.stdout + again.stderr
        agree(place, proxy)


def test_a_database_that_goes_away(place: Place, monkeypatch: pytest.MonkeyPatch):
    path = place.write("slow", budget={"trials": TRIALS})
    with postgresql_server() as server:
        uri = server.get_uri(database="mlflow")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with started(place, "sweep", path) as process:
            wait_for(lambda: finished_runs(uri) >= 2, "two runs", process=process)
            server.stop()
            known = place.ended()
            wait_for(lambda: place.ended() >= known + 4, "trials without MLflow", process=process)
            server.start()
            known = place.ended()
            wait_for(lambda: finished_runs(uri) >= known, f"{known} runs after the database was away", process=process)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=120)
        assert process.returncode == 130, output + errors
        assert "Traceback" not in output + errors
        assert "MLflow can't be written for now, the sweep goes on" in output + errors
        assert "have not reached MLflow" not in output + errors
        doctor = place.run("doctor", "small")
        assert doctor.returncode == 0, doctor.stdout + doctor.stderr


def agree(place: Place, proxy: Proxy) -> None:
    """The study, and the database behind the server, hold the same; so says doctor by way of the server."""
    assert_records_agree(place, all_ids=False)
    doctor = place.run("doctor", "small", env={"MLFLOW_TRACKING_URI": proxy.address})
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
