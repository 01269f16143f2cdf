"""What a person sees while a sweep runs: a live panel on a terminal, plain lines when piped, nothing when quiet."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import IO, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpo.ledger.study.records import TrialRecord
from hpo.ledger.study.urls import masked
from hpo.spec.space import show
from hpo.standing import Standing

_LINE_SECONDS = 5.0  # between progress lines when piped


def make_display(stream: IO[str], quiet: bool) -> Display:
    """Return the display that fits the stream."""
    if quiet:
        return Display()
    console = Console(file=stream, highlight=False)
    if console.is_jupyter:
        from hpo.review.notebook import NotebookDisplay

        return NotebookDisplay(console)
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


class Display:
    """Shows nothing (hpo.standing.SweepListener)."""

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def note(self, text: str, warning: bool = False) -> None:
        """Say something once."""

    def trial(self, record: TrialRecord, standing: Standing) -> None:
        """Show that a trial ended."""

    def tick(self, standing: Standing) -> None:
        """Show how the sweep stands."""


class PlainDisplay(Display):
    """One line for each new best, each new kind of failure, and every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = time.monotonic()

    def note(self, text: str, warning: bool = False) -> None:
        self._print(f"{'warning' if warning else 'note'}: {masked(text)}")

    def trial(self, record: TrialRecord, standing: Standing) -> None:
        if standing.best is record:
            self._line(f"{progress_text(standing)}  best {best_text(standing)}")
        elif failure := new_failure(record, standing):
            self._line(failure)

    def tick(self, standing: Standing) -> None:
        if time.monotonic() - self._shown >= _LINE_SECONDS:
            self._line(f"{progress_text(standing)}  {rate_text(standing)}")

    def _line(self, text: str) -> None:
        self._shown = time.monotonic()
        self._print(text)

    def _print(self, text: str) -> None:
        try:
            self._console.file.write(text + "\n")
            self._console.file.flush()
        except BrokenPipeError:  # `hpo sweep ... | head`: nobody reads any more, the sweep goes on
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._console.file.fileno())


class LiveDisplay(Display):
    """A panel that is drawn over and over; notes scroll above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Display:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def note(self, text: str, warning: bool = False) -> None:
        self._console.print(Text(masked(text), style="yellow" if warning else "dim"))

    def trial(self, record: TrialRecord, standing: Standing) -> None:
        if failure := new_failure(record, standing):
            self._console.print(Text(failure, style="red"))

    def tick(self, standing: Standing) -> None:
        self._live.update(panel(standing))


def new_failure(record: TrialRecord, standing: Standing) -> str:
    """Return what to say of a trial that failed as none before it; "" of any other."""
    errors = standing.counts.errors
    if record.state != "failed" or record.interrupted or errors.total() != len(errors):
        return ""
    return f"trial {record.number} failed: {record.error}"


def panel(standing: Standing, ended: bool = False) -> RenderableType:
    """Return how a sweep stands, in three lines. ended: nothing is waited for any more."""
    bar = Table.grid(padding=(0, 2))
    bar.add_row(
        Text(standing.study, style="bold"),
        ProgressBar(total=standing.trials, completed=standing.done, width=30),
        Text(f"{standing.done}/{standing.trials}"),
        Text(duration(standing.seconds) if ended else rate_text(standing), style="dim"),
    )
    return Group(bar, Text(states_text(standing)), Text(f"best  {best_text(standing)}", style="green"))


def progress_text(standing: Standing) -> str:
    """Return trials done of the budget, and by state."""
    return f"[{standing.done}/{standing.trials}] {states_text(standing)}"


def states_text(standing: Standing) -> str:
    """Return trials by state, as in `31 complete, 26 pruned (2 diverged), 1 failed, 2 running`."""
    counts = standing.counts
    diverged = f" ({counts.diverged} diverged)" if counts.diverged else ""
    running = f", {counts.running} running" if counts.running else ""
    return f"{counts.complete} complete, {counts.pruned} pruned{diverged}, {counts.failed} failed{running}"


def best_text(standing: Standing) -> str:
    """Return the best value with its configuration."""
    if standing.best is None:
        return "none yet"
    best = standing.best
    return f"{standing.metric}={show(best.value)} (trial {best.number}): {params_text(best.params)}"


def params_text(params: Mapping[str, Any]) -> str:
    """Return a configuration on one line."""
    return " ".join(f"{name}={show(value)}" for name, value in params.items())


def rate_text(standing: Standing) -> str:
    """Return the rate and the time that is left at this rate, or what is waited for."""
    if standing.phase:
        return standing.phase
    if not standing.counts.ended_here or standing.seconds <= 0:
        return "starting"
    rate = standing.counts.ended_here / standing.seconds
    left = (standing.trials - standing.done) / rate
    speed = f"{rate:.1f} trials/s" if rate >= 1 else f"{60 * rate:.1f} trials/min"
    return f"{speed}, {duration(left)} left"


def duration(seconds: float) -> str:
    """Return seconds as a person says them: 42 s, 3 min 05 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
