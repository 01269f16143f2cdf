"""MLflow's own server for tests: its command line and its application, in one process in place of two.

The command `mlflow server` loads MLflow, only to start uvicorn, which loads it again. Here uvicorn gets the same
arguments and the same environment in the process of the command: three seconds less for each server.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from waiting import wait_for

from hpo.lazy import quick_imports


class MlflowServer:
    """A server at a free port, not started, on a database that stays when it is stopped."""

    def __init__(self, tracking: str, folder: Path) -> None:
        """tracking: the address of its database; folder: for artefacts and what it says."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._tracking = tracking
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, __file__, "server", "--workers", "1", "--port", str(self.port)]
        command += ["--backend-store-uri", self._tracking, "--artifacts-destination", str(self._folder / "artifacts")]
        path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
        env = {**os.environ, "PYTHONPATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
        env["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
        log = self._folder / "server.log"
        with log.open("a") as output:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=env, stdout=output, stderr=output, start_new_session=True
            )  # what it starts ends with it, as a group
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


def _serve_here(command: list[str], extra_env: dict[str, str], **_: Any) -> NoReturn:
    """Be the process that MLflow's command would start: `python -m uvicorn ...`."""
    import uvicorn

    assert command[:3] == [sys.executable, "-m", "uvicorn"], command
    os.environ.update(extra_env)
    with quick_imports():
        from mlflow.server import fastapi_app
    assert command[-1] == f"{fastapi_app.__name__}:app", command
    uvicorn.main(command[3:])
    raise AssertionError("uvicorn returned")


def _run_command() -> None:
    with quick_imports():
        from mlflow import cli, server
    assert callable(server._exec_cmd)  # MLflow 3.17: what starts the server
    server._exec_cmd = _serve_here
    cli.cli()


if __name__ == "__main__":
    _run_command()
