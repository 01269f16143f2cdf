"""A program as objective: it runs once a trial, in its own processes, and prints its reports as lines of JSON."""

from __future__ import annotations

import contextlib
import json
import math
import re
import shlex
import signal
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from hpo.objective.program_command import DEFAULT_COMMAND, Command
from hpo.objective.program_environment import own_files, setting_faults
from hpo.objective.program_files import ReportFiles, path_faults
from hpo.objective.program_leftovers import sweep_up
from hpo.objective.program_output import OutputLog
from hpo.objective.program_patterns import PatternReader
from hpo.objective.program_process import Line, ProgramProcess
from hpo.objective.program_reports import Report, ReportReader
from hpo.objective.steps import StepScale
from hpo.objective.trial_folder import TrialFolder
from hpo.output import PROGRAM_LOG
from hpo.spec.faults import Fault, did_you_mean
from hpo.spec.names import COMPLETED

if TYPE_CHECKING:
    from hpo.spec.named import Named

Ending = Finished | Stopped | Diverged | Failed

_PAUSE = 0.5  # seconds between two looks at the files that a program reports in
_MOST_NAMES = 50  # names of metrics remembered for the message that the sweep's metric is missing


class ProgramObjective:
    """Runs `program` as W&B does: `--name=value` arguments, or as `command` says with W&B's macros.

    A line on standard output that is a JSON object with a number in it, such as {"epoch": 3, "val_accuracy": 0.91}, is
    a report (program_reports.py: what is taken; steps.py: as which step); all output is kept as the trial's
    `output.log`. What looks like a report and isn't taken, and a number whose name can't be recorded (`a//b`), are
    pointed out there once, and in the trial's `info["notes"]`. The program's environment says the rest
    (program_environment.py). What it leaves in its HPO_FOLDER is kept as a function's files are (trial_folder.py).

    A program that ends with an uncaught hpo.Pruned or optuna.TrialPruned (so says the last line of its standard error)
    has pruned itself.

    A trial that is to stop gets SIGTERM, and after `grace` seconds SIGKILL, as does its whole process group; so it does
    when the worker dies. No process of a trial outlives it.

    folder: where the program runs and what relative paths mean; default: the current folder.
    beside: the sweep file's folder, where a module that is run (`-m`) may be; default: the current folder.
    log_limit: bytes kept of a trial's output.
    reports: where reports are besides lines of JSON (`report` of the sweep file).
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
        reports: Mapping[str, Any] | None = None,
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
        self._reports = dict(reports or {})

    libraries = ()  # the program loads its own
    folds = 1
    is_table = False

    @property
    def as_text(self) -> Callable[[Any], Hashable] | None:
        return self._command.as_text

    @property
    def flags(self) -> dict[str, str]:
        """The program's options that take no value, each with what to write for a boolean of that name."""
        return self._command.flags

    def check_data(self) -> list[Fault]:
        """Return what is wrong with `program` and `command`; the paths are keys of the sweep file, not of `data`."""
        return [*setting_faults(), *path_faults(self._reports), *self._command.faults()]

    def notes(self, names: Sequence[str]) -> list[str]:
        """Return what the user should know of how the program gets its hyperparameters. names: theirs."""
        return list(self._command.notes(names))

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
                folder = TrialFolder(trial.number, trial.files, log.path.with_name("own"))
                stack.callback(folder.remove)
                files = stack.enter_context(own_files(log.path, folder.path, trial.params))
                argv = self._command.argv(trial.params, files.params)
                environment = files.environment(trial, self._data, self._command.python_path)
                reported = ReportFiles(self._reports, environment, self._folder, self._metric)
                process = ProgramProcess(argv, environment, self._folder, self._grace)
            except (OSError, ValueError) as error:
                return Failed(trial.number, f"the program could not be started: {type(error).__name__}: {error}")
            with process:
                patterns = PatternReader(self._reports.get("regex", ()), self._metric)
                run = _ProgramRun(trial, self._metric, self._clock, channel, log, process, patterns, reported)
                ending = run.follow()
            notes = run.notes
            if lost := folder.hand_over(ending, channel, run.last):  # now that no process of it writes any more
                notes["files"] = lost
                log.note(lost)
            return replace(ending, info={**ending.info, "notes": notes}) if notes else ending


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
        patterns: PatternReader,
        files: ReportFiles,
    ) -> None:
        self._trial = trial
        self._metric = metric
        self._clock = clock
        self._channel = channel
        self._log = log
        self._process = process
        self._reader = ReportReader(metric)
        self._patterns = patterns
        self._files = files
        self._steps = StepScale(metric)
        self.last: float | None = None  # report of the sweep's metric
        self._noted: set[str] = set()  # kinds of notes that are in the log
        self._seen: set[str] = set()
        self._refused: dict[str, str] = {}  # names that are no metric's, and why

    def follow(self) -> Ending:
        """Read all output, hand over the reports, and return how the trial ended."""
        early: Ending | None = None
        for line in self._process.lines(_PAUSE):
            if line is not None:
                self._log.write(line.source, line.text, line.ends)
            if early is None:
                early = self._take(self._reports_of(line) if line is not None else self._gathered())
                if early is not None:
                    self._process.terminate()
            self._note_in_log()
        if early is None:
            early = self._take(self._gathered(last=True))
            self._note_in_log()
        return early or self._ending(self._process.exit_code)

    def _reports_of(self, line: Line) -> Iterable[Report]:
        reports: Iterable[Report] = ()
        if line.source == "stdout":
            reports = list(self._reader.read(line.text, line.whole, line.ends))
        return reports or self._own(self._patterns.read(line.text, line.source, line.whole, line.ends))

    def _gathered(self, last: bool = False) -> Iterator[Report]:
        """Yield what has come without a line's end: in files, on lines that are overwritten. last: all has come."""
        yield from self._own(self._patterns.rest())
        if self._files:
            yield from self._own(self._files.read(last))
        yield from self._reader.rest(last)

    def _own(self, reports: Iterable[Report]) -> Iterator[Report]:
        for report in reports:
            self._reader.took(report)
            yield report

    def _take(self, reports: Iterable[Report]) -> Ending | None:
        """Hand over reports; return an ending if the trial must end now."""
        for report in reports:
            self._note_refused(report)
            early = self._hand_over(report) if report.metrics else None
            if early is not None:
                return early
        if self._files.refused:
            return Failed(self._trial.number, self._files.refused, self._log.tail)
        return None

    @property
    def notes(self) -> dict[str, str]:
        """What the user should know of the reports, by kind."""
        return {**self._reader.told, **self._doubts, **self._steps.notes}

    @property
    def _doubts(self) -> dict[str, str]:
        return {**self._reader.doubts, **self._patterns.doubts, **self._files.doubts}

    def _note_in_log(self) -> None:
        told, sources = self._reader.told, (self._reader.told, self._doubts, self._steps.notes)
        if len(self._noted) == sum(map(len, sources)):
            return
        self._noted.update(told)  # its lines are in the log as they came
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
        self.last = metrics.get(self._metric, self.last)
        decisions = self._channel.exchange([Reported(number, step, metrics, self._clock())])
        return Stopped(number) if decisions.get(number) is Decision.STOP else None

    def _ending(self, code: int) -> Ending:
        number = self._trial.number
        if code < 0:
            text = f"the program was killed by {_signal_name(-code)}{self._last()}"
            return Failed(number, text, self._log.tail, FailureKind.DIED)
        if code > 0 and says_pruned(self._log.last_line):
            return Stopped(number, by_itself=True)  # one that is told to stop is ended there
        if code > 0:
            kind = FailureKind.OUT_OF_MEMORY if says_memory(self._log.last_line) else FailureKind.ERROR
            text = f"the program exited with code {code}{self._last()}{_remedy(self._log.last_line)}"
            return Failed(number, text, self._log.tail, kind)
        if self._metric == COMPLETED and COMPLETED not in self._seen:
            return self._hand_over(Report({COMPLETED: 1.0})) or Finished(number)
        if self._metric not in self._seen:
            return Failed(number, self._no_metric(), self._log.tail)
        return Finished(number)

    def _last(self) -> str:
        line = self._log.last_line
        return f": {line[:500]}" if line else ""

    def _no_metric(self) -> str:
        example = json.dumps({"epoch": 1, self._metric: 0.91})
        rule = f"the program never reported {self._metric!r}: it must print lines like {example} to standard output"
        silent = (self._reader.told.get(kind, "") for kind in ("wandb-installed", "wandb-disabled"))
        doubts = [*self._doubts.values(), *silent]
        doubt = "".join(f"; {text}" for text in list(filter(None, doubts))[:1])
        if not self._seen:
            left_out = next(iter(self._refused.values()), "")
            return f"{rule}; it reported nothing" + (f" that can be recorded: {left_out}" if left_out else doubt)
        hint = did_you_mean(self._metric, self._seen)
        close = f" ({hint})" if hint.startswith("did") else ""
        if len([name for name in self._seen if name.endswith(f"/{self._metric}")]) > 1:
            close = " (say in the sweep file which of these is the metric)"  # of training or of validation: not a guess
        return f"{rule}; it reported {', '.join(sorted(self._seen))}{close}{doubt}"


def _remedy(last_line: str) -> str:
    """Return what to do about an error that argparse or click ends a program with; "" if that is not known."""
    if re.search(r"ignored explicit argument '(True|False)'|Option '.*' does not take a value", last_line):
        return " (a flag takes no value: write ${args_no_boolean_flags} for ${args} in 'command')"
    return ""


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name} (the system may have run out of memory)" if name == "SIGKILL" else name
