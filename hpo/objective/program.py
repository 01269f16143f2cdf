"""A program as objective: it runs once a trial, in its own processes, and prints its reports as lines of JSON."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import signal
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpo.events import (
    Assignment,
    Channel,
    Decision,
    Diverged,
    Failed,
    FailureKind,
    Finished,
    Reported,
    Stopped,
    TrialSpec,
)
from hpo.objective.failures import says_memory, says_pruned
from hpo.objective.program_command import DEFAULT_COMMAND, Command, args_json
from hpo.objective.program_leftovers import sweep_up
from hpo.objective.program_output import OutputLog
from hpo.objective.program_process import ProgramProcess
from hpo.objective.program_reports import Report, ReportReader
from hpo.objective.steps import StepScale
from hpo.output import PROGRAM_LOG
from hpo.spec.faults import Fault, did_you_mean
from hpo.spec.load import Named

Ending = Finished | Stopped | Diverged | Failed

_MOST_NAMES = 50  # names of metrics remembered for the message that the sweep's metric is missing


class ProgramObjective:
    """Runs `program` as W&B does: `--name=value` arguments, or as `command` says with W&B's macros.

    A line on standard output that is a JSON object with a number in it, such as {"epoch": 3, "val_accuracy": 0.91}, is
    a report (program_reports.py: what is taken; steps.py: as which step); all output is kept as the trial's
    `output.log`. What looks like a report and isn't taken, and a number whose name can't be recorded (`a//b`), are
    pointed out there once, and in the trial's `info["notes"]`. The program's environment says the rest: HPO_TRIAL (its
    number), HPO_SEED, HPO_EPOCHS if the sweep sets them, HPO_DATA_JSON (the file's `data` section) if there is one.

    A program that ends with an uncaught hpo.Pruned or optuna.TrialPruned (so says the last line of its standard error)
    has pruned itself.

    A trial that is to stop gets SIGTERM, and after `grace` seconds SIGKILL, as does its whole process group; so it does
    when the worker dies. No process of a trial outlives it.

    folder: where the program runs and what relative paths mean; default: the current folder.
    beside: the sweep file's folder, where a module that is run (`-m`) may be; default: the current folder.
    log_limit: bytes kept of a trial's output.
    """

    contract = None

    def __init__(
        self,
        program: str,
        command: Sequence[str] | str | None,
        metric: str,
        data: Mapping[str, Any],
        *,
        folder: str | Path = "",
        beside: str | Path = "",
        grace: float = 10.0,
        log_limit: int = 10_000_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        items = shlex.split(command) if isinstance(command, str) else [str(item) for item in command or DEFAULT_COMMAND]
        self._folder = Path(folder).absolute()
        self._command = Command(program, tuple(items), self._folder, Path(beside).absolute())
        self._metric = metric
        self._data = dict(data)
        self._grace = grace
        self._log_limit = log_limit
        self._clock = clock

    libraries = ()  # the program loads its own
    folds = 1
    is_table = False

    @property
    def as_text(self) -> Callable[[Any], Hashable] | None:
        return self._command.as_text

    def check_data(self) -> list[Fault]:
        """Return what is wrong with `program` and `command`; the paths are keys of the sweep file, not of `data`."""
        return self._command.faults()

    def prepare(self) -> list[str]:
        sweep_up()  # what workers that were killed have left, on this machine
        return []

    def unread(self, named: Named) -> None:
        return None  # what becomes of its arguments only the program knows

    def run(self, assignment: Assignment, channel: Channel) -> None:
        for trial in assignment.trials:
            log = OutputLog(trial.number, self._log_limit)
            try:
                ending = self._run_trial(trial, channel, log)
                if log.close():
                    channel.attach(trial.number, PROGRAM_LOG, str(log.path))
                else:
                    log.discard()
                channel.exchange([ending])
            except BaseException:
                log.discard()
                raise

    def _run_trial(self, trial: TrialSpec, channel: Channel, log: OutputLog) -> Ending:
        with contextlib.ExitStack() as stack:
            try:
                args_file = Path()
                if self._command.uses("args_json_file"):
                    args_file = log.path.with_name("args.json")
                    stack.callback(args_file.unlink, missing_ok=True)
                    args_file.write_text(args_json(trial.params), encoding="utf-8")
                argv = self._command.argv(trial.params, args_file)
                process = ProgramProcess(argv, self._environment(trial), self._folder, self._grace)
            except (OSError, ValueError) as error:
                return Failed(trial.number, f"the program could not be started: {type(error).__name__}: {error}")
            with process:
                run = _ProgramRun(trial, self._metric, self._clock, channel, log, process)
                ending = run.follow()
                return replace(ending, info={**ending.info, "notes": run.notes}) if run.notes else ending

    def _environment(self, trial: TrialSpec) -> dict[str, str]:
        env = {**os.environ, "PYTHONUNBUFFERED": "1", "HPO_TRIAL": str(trial.number), "HPO_SEED": str(trial.seed)}
        known = {
            "HPO_EPOCHS": None if trial.epochs is None else str(trial.epochs),
            "HPO_DATA_JSON": json.dumps(self._data, default=str) if self._data else None,
        }
        if (place := self._command.python_path) is not None:
            env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(place), env.get("PYTHONPATH"))))
        for name, text in known.items():
            env.pop(name, None)
            if text is not None:
                env[name] = text
        return env


class _ProgramRun:
    """One run of the program, from its first line of output to its ending."""

    def __init__(
        self,
        trial: TrialSpec,
        metric: str,
        clock: Callable[[], float],
        channel: Channel,
        log: OutputLog,
        process: ProgramProcess,
    ) -> None:
        self._trial = trial
        self._metric = metric
        self._clock = clock
        self._channel = channel
        self._log = log
        self._process = process
        self._reader = ReportReader(metric)
        self._steps = StepScale(metric)
        self._noted: set[str] = set()  # kinds of notes that are in the log
        self._seen: set[str] = set()
        self._refused: dict[str, str] = {}  # names that are no metric's, and why

    def follow(self) -> Ending:
        """Read all output, hand over the reports, and return how the trial ended."""
        early: Ending | None = None
        for source, line, whole in self._process.lines():
            self._log.write(source, line)
            if source != "stdout" or early is not None:
                continue
            for report in self._reader.read(line, whole):
                self._note_refused(report)
                early = self._hand_over(report) if report.metrics else None
                if early is not None:
                    self._process.terminate()
                    break
            if len(self._noted) < len(self._reader.doubts) + len(self._steps.notes):
                self._note_in_log()
        return early or self._ending(self._process.exit_code)

    @property
    def notes(self) -> dict[str, str]:
        """What the user should know of the reports, by kind."""
        return {**self._reader.doubts, **self._steps.notes}

    def _note_in_log(self) -> None:
        for kind, text in self.notes.items():
            if kind not in self._noted:
                self._noted.add(kind)
                self._log.note(text)

    def _note_refused(self, report: Report) -> None:
        """Say once in the log why a name is left out."""
        for name, fault in report.refused.items():
            if name not in self._refused and len(self._refused) < _MOST_NAMES:
                self._refused[name] = fault
                self._log.note(f"left out of the report: {fault}")

    def _hand_over(self, report: Report) -> Ending | None:
        """Tell the driver; return an ending if the trial must end now."""
        number = self._trial.number
        step = self._steps.place(report.positions, report.metrics)
        if not math.isfinite(report.metrics.get(self._metric, 0.0)):
            return Diverged(number, max(step, 1))
        metrics = {name: value for name, value in report.metrics.items() if math.isfinite(value)}
        if self._metric in metrics or len(self._seen) < _MOST_NAMES:
            self._seen.update(metrics)
        decisions = self._channel.exchange([Reported(number, step, metrics, self._clock())])
        return Stopped(number) if decisions.get(number) is Decision.STOP else None

    def _ending(self, code: int) -> Ending:
        number = self._trial.number
        if code < 0:
            text = f"the program was killed by {_signal_name(-code)}{self._last()}"
            return Failed(number, text, self._log.tail, FailureKind.DIED)
        if code > 0 and says_pruned(self._log.last_line):
            return Stopped(number)
        if code > 0:
            kind = FailureKind.OUT_OF_MEMORY if says_memory(self._log.last_line) else FailureKind.ERROR
            return Failed(number, f"the program exited with code {code}{self._last()}", self._log.tail, kind)
        if self._metric not in self._seen:
            return Failed(number, self._no_metric(), self._log.tail)
        return Finished(number)

    def _last(self) -> str:
        line = self._log.last_line
        return f": {line[:500]}" if line else ""

    def _no_metric(self) -> str:
        example = json.dumps({"epoch": 1, self._metric: 0.91})
        rule = f"the program never reported {self._metric!r}: it must print lines like {example} to standard output"
        doubt = "".join(f"; {text}" for text in list(self._reader.doubts.values())[:1])
        if not self._seen:
            left_out = next(iter(self._refused.values()), "")
            return f"{rule}; it reported nothing" + (f" that can be recorded: {left_out}" if left_out else doubt)
        hint = did_you_mean(self._metric, self._seen)
        close = f" ({hint})" if hint.startswith("did") else ""
        return f"{rule}; it reported {', '.join(sorted(self._seen))}{close}{doubt}"


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name} (the system may have run out of memory)" if name == "SIGKILL" else name
