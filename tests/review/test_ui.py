"""`hpo ui`: real servers as real processes, asked over HTTP and in a real browser."""

from __future__ import annotations

import http.client
import http.server
import json
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from e2e.support import Place
from running_ui import ENV, HPO, OBJECTIVE, Ui, get
from waiting import wait_for

from hpo.review.ui_ports import PortLease

pytestmark = pytest.mark.slow

TRIALS = 6
SWEEP = """
name: quick
objective: {objective}:objective
metric: {{name: score, goal: maximize}}
method: random
budget: {{trials: 6}}
engine: {{type: local, workers: 1}}
parameters:
  x: {{min: 0.0, max: 1.0}}
  kind: {{values: [a, b]}}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one finished study, made by `hpo sweep`."""
    folder = tmp_path_factory.mktemp("ui")
    objective = folder / "objective.py"
    objective.write_text(OBJECTIVE)
    file = folder / "quick.yaml"
    file.write_text(SWEEP.format(objective=objective))
    Place(folder).sweep(file)
    return folder / "home"


@pytest.fixture(scope="module", autouse=True)
def _nothing_stays() -> Iterator[None]:
    """End what a failed test left running."""
    yield
    for process in Ui.started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def ui(home: Path) -> Iterator[Ui]:
    """Both UIs over the home, for tests that only look, and for the one that ends it."""
    running = Ui(home, "--mlflow-port", "0", "--dashboard-port", "0")
    yield running
    if running.process.poll() is None:
        running.stop()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def remaining(family: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Return who is still there after at most so many seconds."""
    return psutil.wait_procs(family, timeout=seconds)[1]


def test_both_answer_and_links_lead_to_the_study(ui: Ui) -> None:
    assert get(ui.address("MLflow UI") + "/health") == (200, "OK")
    assert get(ui.address("Optuna dashboard") + "/api/meta")[0] == 200
    assert re.search(r"^  study quick: http://127.0.0.1:\d+/#/experiments/\d+/runs", ui.said, re.MULTILINE)
    assert re.search(r"^  study quick: http://127.0.0.1:\d+/dashboard/studies/\d+$", ui.said, re.MULTILINE)
    assert ui.said.endswith("Ctrl-C ends both\n")


def test_the_dashboard_measures_importance_without_scikit_learn(ui: Ui) -> None:
    status, answer = get(ui.address("Optuna dashboard") + "/api/studies/0/param_importances?evaluator=ped_anova")
    assert status == 200 and {each["name"] for (found,) in [json.loads(answer)["param_importances"]] for each in found}
    (dashboard,) = [process for process in ui.family if "hpo.review.ui_dashboard" in process.cmdline()]
    assert "sklearn" not in Path(f"/proc/{dashboard.pid}/maps").read_text()


def test_listens_on_loopback_only(ui: Ui) -> None:
    open_ports = {
        connection.laddr
        for process in ui.family
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address.port for address in open_ports} == {ui.port("MLflow UI"), ui.port("Optuna dashboard")}
    assert {address.ip for address in open_ports} == {"127.0.0.1"}


@pytest.mark.parametrize("name", ["MLflow UI", "Optuna dashboard"])
def test_refuses_what_other_sites_send(ui: Ui, name: str) -> None:
    """All that may be sent: test_origins.py."""
    port = ui.port(name)
    if name == "MLflow UI":
        (experiment,) = re.findall(r"/#/experiments/(\d+)/runs", ui.said)
        look = ("GET", f"/api/2.0/mlflow/experiments/get?experiment_id={experiment}")
        delete = ("POST", "/api/2.0/mlflow/experiments/delete")
        body = json.dumps({"experiment_id": experiment})
    else:
        look, delete, body = ("GET", "/api/studies"), ("DELETE", "/api/studies/0"), ""

    def ask(request: tuple[str, str], **headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request(*request, body, {"Content-Type": "application/json", **headers})
            return connection.getresponse().status
        finally:
            connection.close()

    for host in ("rebound.example:80", "[x]", "10.0.0.7", "0.0.0.0"):
        assert ask(look, Host=host) == 403
    for origin in ("https://evil.example", "http://localhost:3000", f"http://127.0.0.1:{port + 1}", "null"):
        assert ask(delete, Origin=origin) == ask(("OPTIONS", look[1]), Origin=origin) == 403
    assert ask(look) == ask(look, Origin=f"http://127.0.0.1:{port}") == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_are_gone_after(number: signal.Signals, home: Path, request: pytest.FixtureRequest) -> None:
    if number == signal.SIGINT:  # that of the tests above: it has been used
        running: Ui = request.getfixturevalue("ui")
    else:
        running = Ui(home, "--mlflow-port", "0", "--dashboard-port", "0")
    ports = [running.port("MLflow UI"), running.port("Optuna dashboard")]
    assert len(running.family) >= 3
    assert all(listens(port) for port in ports)
    assert running.stop(number) == (0, "")
    assert remaining(running.family, 0) == []
    assert not any(listens(port) for port in ports)


def test_nothing_is_left_when_it_is_killed(home: Path) -> None:
    running = Ui(home, "--mlflow-port", "0", "--dashboard-port", "0")
    ports = [running.port("MLflow UI"), running.port("Optuna dashboard")]
    assert running.stop(signal.SIGKILL)[0] == -signal.SIGKILL
    assert remaining(running.family, 15) == []
    assert not any(listens(port) for port in ports)


def test_one_that_dies_takes_the_other_along_and_is_named(home: Path) -> None:
    running = Ui(home, "--mlflow-port", "0", "--dashboard-port", "0")
    worker = next(process for process in running.family if "hpo.review.ui_mlflow" in process.cmdline())
    worker.kill()
    code, error = running.finish()
    assert code == 1
    assert error.startswith("hpo: the MLflow UI ended")
    assert str(home / "logs" / f"ui-mlflow-{running.port('MLflow UI')}.log") in error
    assert f"Uvicorn running on {running.address('MLflow UI')}" in error
    assert remaining(running.family, 0) == []


def test_takes_the_next_port_and_says_so(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running = Ui(home, "--no-mlflow", "--dashboard-port", str(port))
        assert running.port("Optuna dashboard") > port
        next_port = running.port("Optuna dashboard")
        assert f"port {port} is in use: the Optuna dashboard takes {next_port}\n" in running.said
        assert running.said.endswith("Ctrl-C ends it\n")
        assert running.stop() == (0, "")


def test_a_port_just_left_is_free_again(home: Path) -> None:
    first = Ui(home, "--no-mlflow", "--dashboard-port", "0")
    port = first.port("Optuna dashboard")
    get(first.address("Optuna dashboard") + "/api/meta")
    first.stop()
    again = Ui(home, "--no-mlflow", "--dashboard-port", str(port))
    assert again.port("Optuna dashboard") == port
    again.stop()


def test_two_at_once_get_different_ports() -> None:
    """Neither listens yet, as while MLflow starts."""
    with PortLease(0) as first, PortLease(first.port) as second:
        assert second.port > first.port
    with PortLease(first.port) as again:
        assert again.port == first.port


class _Tracking(http.server.BaseHTTPRequestHandler):
    """As much of a tracking server as `hpo ui` asks for."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def test_a_tracking_server_is_pointed_to_and_none_started(home: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Tracking) as server:
        threading.Thread(target=server.serve_forever).start()
        uri = f"http://user:secret@127.0.0.1:{server.server_port}/"
        running = Ui(home, "--dashboard-port", "0", env={**ENV, "MLFLOW_TRACKING_URI": uri})
        assert running.port("MLflow UI") == server.server_port
        assert not any("mlflow" in process.cmdline() for process in running.family)
        assert "secret" not in running.said
        assert running.stop() == (0, "")
        server.shutdown()
    silent = Ui(home, "--dashboard-port", "0", env={**ENV, "MLFLOW_TRACKING_URI": uri})
    assert re.search(r"^MLflow UI  .*\(does not answer: .*refused", silent.said, re.MULTILINE)
    silent.stop()


def refusal(*arguments: str, cwd: Path) -> str:
    answer = subprocess.run([HPO, "ui", *arguments], env=ENV, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    return answer.stderr


def test_without_a_study_it_says_how_to_make_one(tmp_path: Path) -> None:
    assert "hpo sweep search_spaces/binary.yaml" in refusal(cwd=tmp_path)
    assert "hpo sweep search_spaces/binary.yaml" in refusal("--home", "missing", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_refuses_to_show_nothing(home: Path) -> None:
    assert "nothing to show" in refusal("--home", str(home), "--no-mlflow", "--no-dashboard", cwd=home)


def test_sees_trials_that_come_later(home: Path) -> None:
    """The dashboard reads on in the journal; it is no copy of what was there when it started."""
    running = Ui(home, "--no-mlflow", "--dashboard-port", "0")
    address = running.address("Optuna dashboard") + "/api/studies/0"

    def trials() -> int:
        return len(json.loads(get(address)[1])["trials"])

    assert trials() == TRIALS
    Place(home.parent).sweep(home.parent / "quick.yaml", "--extend", "2")
    wait_for(lambda: trials() == TRIALS + 2, "the trials that came later")
    running.stop()
