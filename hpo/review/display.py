"""What a person sees while a sweep runs: a live panel on a terminal, plain lines when piped, nothing when quiet."""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections.abc import Mapping
from typing import IO, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpo.ledger.study.records import TrialRecord
from hpo.ledger.study.urls import masked
from hpo.review.sparkline import BLOCKS, blocks_for, sparkline
from hpo.spec.space import show
from hpo.standing import Activity, BusyWorker, Standing

_LINE_SECONDS, _LINE_MOST = 5.0, 600.0  # between progress lines when piped, at least and at most
_LINE_SHARE = 0.05  # of the time that has passed, in between: a day has some 250 lines
_SAME_SECONDS = 60.0  # until a line that says nothing new is said again
_BESTS = 20  # new best trials that get a line of their own; later ones are in the next progress line
_FAILURES = 20  # kinds of failures that are shown
_CURVE = 30  # characters
_NAME = 20  # characters of a study's name that the panel shows
_WORKERS = 3  # that are shown with what they do


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
    """One line for each new best, each new kind of failure, and every few seconds: the longer it takes, the fewer."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = self._shown = time.monotonic()
        self._bests = 0
        self._said = ""

    def note(self, text: str, warning: bool = False) -> None:
        self._print(f"{'warning' if warning else 'note'}: {masked(text)}")

    def trial(self, record: TrialRecord, standing: Standing) -> None:
        if standing.best is record:
            self._bests += 1
            if self._bests <= _BESTS:
                self._line(f"{progress_text(standing)}  best {best_text(standing)}")
        elif failure := new_failure(record, standing):
            self._line(failure)

    def tick(self, standing: Standing) -> None:
        now = time.monotonic()
        wait = min(_LINE_MOST, max(_LINE_SECONDS, _LINE_SHARE * (now - self._began)))
        if now - self._shown >= wait:
            best = f", best {show(standing.best.value)}" if standing.best is not None else ""
            text = f"{progress_text(standing)}  {rate_text(standing)}{best}"
            if text != self._said or now - self._shown >= _SAME_SECONDS:
                self._line(text)

    def _line(self, text: str) -> None:
        self._shown, self._said = time.monotonic(), text
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
        self._live.update(panel(standing, blocks=blocks_for(self._console.file)))


def new_failure(record: TrialRecord, standing: Standing) -> str:
    """Return what to say of a trial that failed as none before it; "" of any other."""
    errors = standing.counts.errors
    known = errors.total() != len(errors) or len(errors) > _FAILURES
    if record.state != "failed" or record.interrupted or known:
        return ""
    last = " (other kinds of failures that may follow are not shown here)" if len(errors) == _FAILURES else ""
    return f"trial {record.number} failed: {record.error}{last}"


def panel(standing: Standing, ended: bool = False, blocks: str = BLOCKS) -> RenderableType:
    """Return how a sweep stands, a few lines that are cut where the terminal ends. ended: nothing is waited for any
    more; blocks: what a curve is drawn with (hpo.review.sparkline)."""
    name = Text(standing.study, style="bold")
    name.truncate(_NAME, overflow="ellipsis")
    bar = Table.grid(padding=(0, 2))
    for options in ({"no_wrap": True}, {"min_width": 4, "max_width": _NAME}, {"no_wrap": True}, {"no_wrap": True}):
        bar.add_column(**options)  # where room is short, the bar is
    bar.add_row(
        name,
        ProgressBar(total=standing.trials, completed=standing.done),
        f"{standing.done}/{standing.trials}",
        Text(duration(standing.seconds) if ended else rate_text(standing), style="dim"),
    )
    lines = [_line_of(states_text(standing))]
    if curve := curve_text(standing, blocks):
        lines.append(_line_of(f"so far  {curve}"))
    lines.append(_line_of(f"best  {best_text(standing)}", "green"))
    for place, record in zip(("2nd", "3rd"), standing.leaders.top[1:], strict=False):
        lines.append(_line_of(f"{place}   {show(record.value)} (trial {record.number}): {params_text(record.params)}"))
    if not ended and (doing := workers_text(standing.activity)):
        lines.append(_line_of(doing, "dim"))
    return Group(bar, *lines)


def _line_of(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def curve_text(standing: Standing, blocks: str = BLOCKS) -> str:
    """Return the best so far over the trials as a small curve with its ends; "" while there are not two bests."""
    course = standing.leaders.course
    if len(course) < 2:
        return ""
    first, last = course[0][0], max(standing.done, course[-1][0])
    count = min(_CURVE, last - first + 1)
    marks = [first + place * (last - first) / max(1, count - 1) for place in range(count)]
    values = [course[bisect_right(course, mark, key=lambda each: each[0]) - 1][1] for mark in marks]
    return f"{sparkline(values, _CURVE, blocks=blocks)} {show(course[0][1])} to {show(course[-1][1])}"


def workers_text(activity: Activity) -> str:
    """Return what the workers do, those first that have had their trials the longest."""
    if not activity.busy:
        return ""
    doing = [_busy_text(worker) for worker in activity.busy[:_WORKERS]]
    more = activity.working - len(doing)
    rest = f"; {more} more" if more > 0 else ""
    return f"{activity.working} of {activity.workers} workers: {'; '.join(doing)}{rest}"


def _busy_text(worker: BusyWorker) -> str:
    which = f"trial {worker.first}" if worker.trials == 1 else f"{worker.trials} trials from {worker.first}"
    of = f"/{worker.epochs}" if worker.epochs is not None else ""
    step = f"step {worker.step}{of}, " if worker.step else ""
    return f"{which} ({step}{duration(worker.seconds)})"


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
    """Return the rate and the time that is left (hpo/driver/forecast.py), or what is waited for."""
    if standing.activity.phase:
        return standing.activity.phase
    if not standing.counts.ended_here or standing.seconds <= 0:
        begun = "the first trials run" if standing.activity.working else "starting"
        return ", ".join(filter(None, (begun, left_text(standing.activity))))
    rate = standing.counts.ended_here / standing.seconds
    speed = f"{rate:.1f} trials/s" if rate >= 1 else f"{60 * rate:.1f} trials/min"
    left = left_text(standing.activity)
    return f"{speed}, {left}" if left else speed


def left_text(activity: Activity) -> str:
    """Return the time that is left, two numbers where one would say too little; "" while it is not known."""
    if activity.left is None:
        return ""
    if activity.left_between is None:
        return f"about {duration(activity.left)} left"
    (low, low_unit), (high, high_unit) = (_roughly(each) for each in activity.left_between)
    if low == high and low_unit == high_unit:
        return f"about {low} {low_unit} left"
    return f"{low}{f' {low_unit}' if low_unit != high_unit else ''} to {high} {high_unit} left"


def _roughly(seconds: float) -> tuple[str, str]:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f}", unit
    return f"{seconds:.0f}", "s"


def duration(seconds: float) -> str:
    """Return seconds as a person says them: 42 s, 3 min 05 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
