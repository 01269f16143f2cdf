"""Runs the studies' commands in a home, as a user types them, and keeps how long each took in the home's times.json."""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import hpo
from hpo.files import write_whole
from hpo.spec.faults import UserError
from reproduction.records import Records
from reproduction.study import Run, Study, Then

_SAMPLE = 12  # trials that are trained one by one to say what all would take


class CommandFailed(Exception):
    """A command of a study ended otherwise than well."""


@dataclass(frozen=True)
class Time:
    """What a command took. seconds: from its start to its end; None if it went on with what an earlier one began.

    alone: the mean seconds of a trial that trains by itself on one of `workers` processes at a time, measured on
    `sampled` random trials; None: not measured.
    """

    command: str
    seconds: float | None
    trials: int = 0
    workers: int = 0
    alone: float | None = None
    sampled: int = 0

    @property
    def one_by_one(self) -> float | None:
        """The seconds that all trials would train one by one, without what a command takes besides."""
        return None if self.alone is None or not self.workers else self.alone * self.trials / self.workers


Command = Callable[[Sequence[str], Path, Mapping[str, str]], "subprocess.CompletedProcess[str]"]


def as_a_user(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `hpo ...` in a folder."""
    command = [sys.executable, "-m", "hpo", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


class Runner:
    """Runs studies in a home, as far as they are not recorded there yet."""

    def __init__(
        self, home: Path, quick: bool = False, cifar10: Path | None = None, command: Command = as_a_user
    ) -> None:
        """quick: a small share of each. cifar10: the folder with its pictures. command: runs `hpo ...`."""
        self.home = home.absolute()
        self.quick = quick
        self._cifar10 = cifar10.absolute() if cifar10 is not None else None  # commands run in the home
        self._command = command
        self.home.mkdir(parents=True, exist_ok=True)
        self.records = Records(self.home)
        self._file = self.home / "times.json"
        self._known = json.loads(self._file.read_text()) if self._file.exists() else {}

    def run(self, study: Study, say: Callable[[str], None]) -> None:
        """Run what a study has not recorded yet. Raises CommandFailed."""
        for step in study.steps_of(self.quick):
            if self._key(step) in self._known:
                continue
            arguments = self._arguments(step)
            say(f"hpo {shlex.join(arguments)}")
            began, goes_on = time.monotonic(), isinstance(step, Run) and self._recorded(step.study)
            pictures = ["-o", f"data.root={self._cifar10}"] if study.cifar10 and self._cifar10 else []
            self._do([*arguments, *pictures, "--home", str(self.home)])
            seconds = None if goes_on else time.monotonic() - began
            self._note(step, self._timed(step, study, f"hpo {shlex.join(arguments)}", seconds))

    def time_of(self, step: Run | Then) -> Time | None:
        """Return what a command took; None if it was not run."""
        known = self._known.get(self._key(step))
        return None if known is None else Time(**known)

    def _key(self, step: Run | Then) -> str:
        return step.study if isinstance(step, Run) else " ".join(step.arguments)

    def _arguments(self, step: Run | Then) -> list[str]:
        if isinstance(step, Then):
            return [*step.arguments, *((step.quick or ()) if self.quick else ())]
        return step.arguments(self.quick)

    def _recorded(self, name: str) -> bool:
        try:
            return len(self.records.study(name).trials) > 0
        except UserError:
            return False

    def _timed(self, step: Run | Then, study: Study, command: str, seconds: float | None) -> Time:
        if isinstance(step, Then):
            return Time(command, seconds)
        trials = len(self.records.study(step.study).trials)
        noted = Time(command, seconds, trials)
        if not step.timed or self.quick or study.cifar10:  # whose trials train one by one in any case
            return noted
        with tempfile.TemporaryDirectory(prefix="hpo-alone-") as other:
            options = [
                "engine.cohort=off",
                "method=random",
                f"budget.trials={_SAMPLE}",
                "references=off",
                "confirm=null",
            ]
            words = [word for option in options for word in ("-o", option)]
            self._do([*step.arguments(False), *words, "--home", other])
            alone = hpo.load(step.study, other).trials
        workers = int(alone["worker"].nunique())
        return Time(command, seconds, trials, workers, statistics.fmean(alone["duration"]), len(alone))

    def _note(self, step: Run | Then, found: Time) -> None:
        self._known[self._key(step)] = asdict(found)
        write_whole(self._file, json.dumps(self._known, indent=1).encode())

    def _do(self, arguments: Sequence[str]) -> None:
        done = self._command(arguments, self.home, os.environ)
        with (self.home / "said.log").open("a") as log:
            log.write(f"$ hpo {shlex.join(arguments)}\n{done.stdout}{done.stderr}\n")
        if done.returncode:
            raise CommandFailed(
                f"hpo {shlex.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
