"""docs/tutorial.md does what it says: each of its commands is run, in its order, as it stands."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.support import Place, environment

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SAVED = re.compile(r"Save this as `([^`]+)`")


def commands(shell: str) -> list[str]:
    """Return the commands of a block: a line each, but for what stands between quotes."""
    found: list[str] = []
    for line in shell.splitlines():
        whole = found and found[-1].count('"') % 2 == 0
        if not found or whole:
            found.append(line)
        else:
            found[-1] += f"\n{line}"
    return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path, torch=True)
    (place.folder / "mlruns").symlink_to("home")  # where commands look that are not told of a home
    return place


def shell(place: Place, command: str, seconds: float = 120) -> str:
    """Run a command as it stands, where `python`, `hpo` and `mlflow` are those of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = environment() | {"PATH": path, "MLFLOW_TRACKING_URI": "sqlite:///mlruns/mlflow.db"}
    done = subprocess.run(
        ["bash", "-ec", command], cwd=place.folder, env=env, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_each_command_does_what_the_page_says(place: Place) -> None:
    text, port = PAGE.read_text(encoding="utf-8"), free_port()
    said: dict[str, str] = {}
    servers: list[subprocess.Popen[bytes]] = []
    try:
        for found in BLOCK.finditer(text):
            kind, block = found.groups()
            block = block.replace("5001", str(port))
            if kind == "yaml":
                (*_, name) = SAVED.findall(text[: found.start()])
                (place.folder / name).write_text(block, encoding="utf-8")
            elif kind == "python":
                said["python"] = shell(place, f"python -c {shlex.quote(block)}")
            for command in commands(block) if kind == "sh" else ():
                if command.startswith("hpo "):
                    done = place.run(*shlex.split(command)[1:])
                    assert done.returncode == 0, done.stdout + done.stderr
                    said[" ".join(shlex.split(command)[:2])] = done.stdout
                elif command.endswith("&"):
                    servers.append(started(place, command.removesuffix("&")))
                elif not command.startswith("export "):  # as `shell` has it
                    said[command.split()[0]] = shell(place, command)
    finally:
        for server in servers:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
    assert "30 complete" in said["hpo sweep"] and "the baseline's is" in said["hpo sweep"]
    assert "how sure:" in said["hpo best"] and "better: the winner is better" in said["hpo confirm"]
    assert (
        "from the weights that the sweep kept" in said["hpo model"]
        and "models:/churn@champion, version 1" in said["hpo model"]
    )
    head, *rows = said["hpo predict"].splitlines()
    assert head == "prediction,probability_no,probability_yes"
    answers = json.loads(said["curl"]).get("predictions", said["curl"])
    assert len(answers) == 2 and answers[0].keys() == {"prediction", "probability_no", "probability_yes"}, answers
    assert answers[0]["prediction"] == rows[0].split(",")[0]  # the table's first row
    assert "probability_yes" in said["python"]
    assert place.run("doctor", "churn").returncode == 0


def started(place: Place, command: str) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, so that all of it can be ended."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = environment() | {"PATH": path, "MLFLOW_TRACKING_URI": "sqlite:///mlruns/mlflow.db"}
    with (place.folder / "server.log").open("w") as log:
        return subprocess.Popen(
            ["bash", "-ec", command], cwd=place.folder, env=env, stdout=log, stderr=log, start_new_session=True
        )


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
