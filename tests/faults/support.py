"""What the fault-injection suites share: who belongs to a sweep, and what must hold after any fault."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import IO

import psutil
from e2e.support import Place, assert_records_agree
from optuna.trial import FrozenTrial
from waiting import wait_for

from hpo.review.doctor import diagnose, lines_of

LONG = os.environ.get("HPO_LONG", "") not in ("", "0")
PARTS = {"workers.log": "server", "mlflow.log": "mirror"}  # by what their processes print into


def family(driver: int) -> dict[str, list[psutil.Process]]:
    """Return the processes below a driver by what they write: `worker`, `server` (whose forks workers are), `mirror`
    (MLflow's writer), `other`."""
    found: dict[str, list[psutil.Process]] = {"worker": [], "server": [], "mirror": [], "other": []}
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(driver).children(recursive=True):
            log = ""
            with suppress(OSError):
                log = Path(f"/proc/{child.pid}/fd/1").readlink().name
            part = "worker" if log.startswith("worker-") else PARTS.get(log, "other")
            found[part].append(child)
    return found


def everybody(driver: int) -> list[psutil.Process]:
    """Return a driver and all processes below it."""
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(driver)
        return [root, *root.children(recursive=True)]
    return []


def kill(processes: Sequence[psutil.Process]) -> int:
    """SIGKILL processes in this order; return how many there were."""
    killed = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
            killed += 1
    return killed


def assert_gone(processes: Sequence[psutil.Process]) -> None:
    """None of these processes stays, whoever of them died first. A zombie is gone: who reaps it is not the point."""
    wait_for(lambda: not any(map(_is_there, processes)), f"the ends of {processes}", seconds=60)


def _is_there(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@contextmanager
def started(place: Place, *arguments: str | Path) -> Iterator[Popen[str]]:
    """Start a command; whatever happens in the block, nothing of it is left after it."""
    process = place.start(*arguments)
    try:
        yield process
    finally:
        kill(everybody(process.pid))
        with suppress(TimeoutExpired, ValueError):
            process.communicate(timeout=30)


class Overheard:
    """What a running process says, as it says it."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._lines)

    def count(self, words: str) -> int:
        return self.text.count(words)

    @contextmanager
    def of(self, process: Popen[str]) -> Iterator[None]:
        """Listen to a process until it ends; `communicate` is not for it then."""
        listeners = [
            threading.Thread(target=self._listen, args=(stream,), daemon=True)
            for stream in (process.stdout, process.stderr)
            if stream is not None
        ]
        for listener in listeners:
            listener.start()
        try:
            yield
        finally:
            kill([] if process.poll() is not None else everybody(process.pid))
            for listener in listeners:
                listener.join(30)

    def _listen(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.append(line)


def finish(place: Place, path: Path, *arguments: str, code: int = 0) -> str:
    """Run a sweep's command to its end, warm, since nobody is killed in it; return what it said."""
    done = replace(place, cold=False).run("sweep", path, *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def how(trial: FrozenTrial) -> str:
    """Return how a trial ended: complete, pruned, diverged, or the kind of its failure."""
    if "diverged" in trial.user_attrs:
        return "diverged" if trial.state.name == "PRUNED" else f"diverged but {trial.state.name}"
    if trial.state.name == "FAIL":
        return str(trial.user_attrs.get("failure") or "failed without a kind")
    return trial.state.name.lower()


def assert_whole(place: Place, budget: int, study: str = "small", all_ids: bool = True) -> Counter[str]:
    """After everything: the exact budget, nothing running anywhere, both records equal. Returns trials by state."""
    states = Counter(trial.state.name for trial in place.trials(study))
    assert states["COMPLETE"] + states["PRUNED"] == budget, states
    assert states["RUNNING"] == states["WAITING"] == 0, states
    _, children = place.runs(study)
    assert "RUNNING" not in {run.info.status for run in children.values()}
    assert_records_agree(place, study, all_ids)
    diagnosis = diagnose(place.home, study, fix=False)
    assert not len(diagnosis.after), lines_of(diagnosis, place.home)
    assert not list(place.home.checkpoints.rglob("*.pt*"))
    return states
