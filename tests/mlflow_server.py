"""MLflow's own server for tests: its command line and its application, in one process in place of two, which is a fork
of one that has loaded both (tests/forks.py).

The command `mlflow server` loads MLflow, only to start uvicorn, which loads it again. Here uvicorn gets the same
arguments and the same environment in the process of the command: six seconds less for each server.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from forked_command import ForkedProcess
from forks import serve
from shared import server
from waiting import wait_for

from hpo.lazy import keep_imports, quick_imports


class MlflowServer:
    """A server at a free port, not started, on a database that stays when it is stopped."""

    def __init__(self, tracking: str, folder: Path) -> None:
        """tracking: the address of its database; folder: for artefacts and what it says."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._tracking = tracking
        self._folder = folder
        self._process: ForkedProcess | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = ["server", "--workers", "1", "--port", str(self.port)]
        command += ["--backend-store-uri", self._tracking, "--artifacts-destination", str(self._folder / "artifacts")]
        env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        log = self._folder / "server.log"
        with log.open("a") as output:
            servers = server("mlflow-servers", [__file__])
            self._process = ForkedProcess(servers, command, self._folder, env, output, output)
        wait_for(self._answers, f"a server; see {log}", process=self._process)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server, and to what it started."""
        if self._process is not None:
            os.killpg(self._process.pid, number)

    def stop(self) -> None:
        """Kill it, if it runs."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=5):
                return True
        except OSError:
            return False


@contextmanager
def mlflow_server(tracking: str, folder: Path) -> Iterator[str]:
    """Run a server; yield its address."""
    server = MlflowServer(tracking, folder)
    try:
        server.start()
        yield server.address
    finally:
        server.stop()


_AT_IMPORT = {
    "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
    "_MLFLOW_SGI_NAME": "uvicorn",
}  # what the application reads then


def _serve_here(command: list[str], extra_env: dict[str, str], **_: Any) -> NoReturn:
    """Be the process that MLflow's command would start: `python -m uvicorn ...`."""
    import uvicorn
    from mlflow.server import fastapi_app

    assert command[:3] == [sys.executable, "-m", "uvicorn"], command
    assert extra_env.items() >= _AT_IMPORT.items(), extra_env
    os.environ.update(extra_env)
    assert command[-1] == f"{fastapi_app.__name__}:app", command
    uvicorn.main(command[3:])
    raise AssertionError("uvicorn returned")


def _run() -> None:
    os.environ.update(_AT_IMPORT)
    with quick_imports():
        import mlflow.cli
        import mlflow.server.fastapi_app
        import uvicorn  # noqa: F401
    keep_imports()
    assert callable(mlflow.server._exec_cmd)  # MLflow 3.17: what starts the server
    mlflow.server._exec_cmd = _serve_here
    sys.argv[1:] = serve(*map(int, sys.argv[1:]))
    os.setsid()  # what it starts ends with it, as a group
    mlflow.cli.cli()


if __name__ == "__main__":
    _run()
