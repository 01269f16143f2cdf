"""`hpo ui` as a real process, for tests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

HPO = str(Path(sys.executable).with_name("hpo"))
ENV = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}


# Of a sweep over `x` and `kind` whose metric is `score`.
OBJECTIVE = """
def objective(trial):
    for epoch in range(1, 4):
        trial.report(epoch, score=trial.params["x"] * epoch + (trial.params["kind"] == "a"))
"""


class Ui:
    """`hpo ui` as a process that has said where it is."""

    started: ClassVar[list[subprocess.Popen[str]]] = []

    def __init__(self, home: Path, *arguments: str, env: dict[str, str] | None = None, seconds: float = 300) -> None:
        """seconds: after which it is killed, should nobody have ended it."""
        command = [HPO, "ui", "--home", str(home), *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env or ENV, start_new_session=True
        )
        self.started.append(self.process)
        self._watchdog = threading.Timer(seconds, self.process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()
        self.said = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:  # through a pipe: seen at once only if flushed
            self.said += line
            if line.startswith("Ctrl-C ends"):
                break
        else:
            _, error = self.finish()
            pytest.fail(f"hpo ui ended:\n{self.said}{error}")
        self.family = psutil.Process(self.process.pid).children(recursive=True)

    def address(self, name: str) -> str:
        found = re.search(rf"^{name} +(http://127\.0\.0\.1:\d+)(?:/dashboard)?$", self.said, re.MULTILINE)
        assert found, self.said
        return found.group(1)

    def port(self, name: str) -> int:
        return int(self.address(name).rpartition(":")[2])

    def finish(self) -> tuple[int, str]:
        """Wait for its end; return its exit code and standard error."""
        _, error = self.process.communicate(timeout=30)
        self._watchdog.cancel()
        return self.process.returncode, error

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(number)
        return self.finish()


def get(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
