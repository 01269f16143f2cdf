"""Running a script as a trial, with a channel that records what it is told."""

from __future__ import annotations

import os
import shutil
import tarfile
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from waiting import wait_for

import hpo
from hpo.events import FILES_ARCHIVE, Assignment, Decision, Event, Failed, FilesOrder, Finished, Reported, TrialSpec
from hpo.objective.program import ProgramObjective

HPO = str(Path(hpo.__file__).parents[1])


class RecordingChannel:
    """Keeps what it is told; stops trials that report at or after `stop_at`; breaks at the report of `break_at`."""

    def __init__(self, stop_at: int | None = None, break_at: int | None = None) -> None:
        self.events: list[Event] = []
        self.logs: dict[int, str] = {}
        self.paths: list[Path] = []
        self.files: list[str] = []  # names in the archive of the trial's folder
        self.stop_at = stop_at
        self.break_at = break_at

    def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
        self.events += events
        decisions = {}
        for event in events:
            if isinstance(event, Reported):
                if self.break_at is not None and event.step >= self.break_at:
                    raise BrokenPipeError("the driver is gone")
                stop = self.stop_at is not None and event.step >= self.stop_at
                decisions[event.number] = Decision.STOP if stop else Decision.CONTINUE
        return decisions

    def attach(self, number: int, name: str, path: str) -> None:
        assert not any(isinstance(event, Finished | Failed) and event.number == number for event in self.events)
        if name == FILES_ARCHIVE:
            with tarfile.open(path) as tar:
                self.files = tar.getnames()
            shutil.rmtree(Path(path).parent)
            return
        assert name == "output.log"
        self.paths.append(Path(path))
        self.logs[number] = Path(path).read_text(encoding="utf-8", errors="replace")
        Path(path).unlink()
        Path(path).parent.rmdir()  # the file's own

    @property
    def reports(self) -> list[tuple[int, Mapping[str, float]]]:
        return [(event.step, event.metrics) for event in self.events if isinstance(event, Reported)]

    @property
    def ending(self) -> Event:
        assert sum(not isinstance(event, Reported) for event in self.events) == 1
        return self.events[-1]


def worker_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a Python in another folder that imports hpo."""
    return {**os.environ, "PYTHONPATH": HPO, "TMPDIR": str(folder)}


def script(folder: Path, body: str, name: str = "train.py") -> str:
    (folder / name).write_text("import json, os, signal, sys, time\n" + textwrap.dedent(body), encoding="utf-8")
    return name


def run(
    folder: Path,
    body: str,
    params: Mapping[str, Any] | None = None,
    *,
    command: Sequence[str] | str | None = None,
    channel: RecordingChannel | None = None,
    epochs: int | None = None,
    files: FilesOrder | None = None,
    **options: Any,
) -> RecordingChannel:
    channel = channel or RecordingChannel()
    data = options.pop("data", {})
    objective = ProgramObjective(script(folder, body), command, "acc", data, folder=folder, **options)
    assert objective.contract is None
    assert objective.prepare() == []
    objective.run(Assignment(1, (TrialSpec(7, params or {}, 42, epochs, files=files),)), channel)
    assert list((folder / "temporary").iterdir()) == []
    return channel


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie that nobody waits for is dead)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_until_dead(*pids: int) -> None:
    """Wait until none of these processes runs."""
    wait_for(lambda: not any(map(alive, pids)), f"the ends of {pids}", seconds=10)
