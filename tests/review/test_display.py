"""What a sweep shows while it runs: the panel on a terminal, and lines in a log. (test_notebook.py: a notebook.)"""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from rich.console import Console

from hpo.ledger.study.records import Outcome, TrialRecord
from hpo.review import display as module
from hpo.review.display import PlainDisplay, curve_text, left_text, make_display, panel, workers_text
from hpo.review.sparkline import PLAIN, blocks_for, sparkline
from hpo.standing import Activity, BusyWorker, Counts, Standing


def record(number: int, value: float) -> TrialRecord:
    params = {"größe": 0.125, "activation": "leaky_relu", "note": "[bold]" * 20}
    return TrialRecord(number, params, 1, outcome=Outcome("complete", value=value))


def standing() -> Standing:
    found = Standing("a study with a very long name, größe 1", "val_accuracy", "maximize", 60, seconds=30.0)
    found.counts = Counts(complete=20, pruned=11, failed=1, diverged=2, running=5, ended_here=31)
    found.leaders.top = [record(17, 0.95), record(9, 0.93), record(21, 0.92)]
    found.leaders.course = [(1, 0.5), (4, 0.8), (20, 0.95)]
    busy = [BusyWorker(31, 1, 4, 20, 12.0), BusyWorker(32, 8, 0, None, 65.0), BusyWorker(41, 1, 3, None, 1.0)]
    found.activity = Activity("", 5, 4, busy, left=14.2)
    return found


def drawn(width: int, of: Standing | None = None, **options: str | bool) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(panel(of or standing(), **options))  # type: ignore[arg-type]
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_the_panel_has_a_line_each(width: int) -> None:
    lines = drawn(width)
    assert len(lines) == 7 and max(map(len, lines)) <= width
    assert "31/60" in lines[0] and lines[0].endswith("1.0 trials/s, about 14 s left")
    assert lines[1] == "20 complete, 11 pruned (2 diverged), 1 failed, 5 running"
    assert lines[2].startswith("so far  ▁") and lines[2].endswith("█ 0.5 to 0.95")
    assert [line.split()[0] for line in lines[3:6]] == ["best", "2nd", "3rd"]
    assert lines[4].startswith("2nd   0.93 (trial 9): größe=0.125 activation=leaky_relu note=")
    assert lines[6].startswith("4 of 5 workers: trial 31 (step 4/20, 12 s); 8 trials from 32 (1 min 05 s); tria")


def test_what_is_said_last_is_never_cut() -> None:
    """The bar gives way to a long budget and two numbers."""
    found = standing()
    found.trials, found.counts.complete, found.counts.ended_here, found.seconds = 12000, 10000, 9000, 60000.0
    found.activity.left, found.activity.left_between = 9000.0, (3000.0, 20000.0)
    line = drawn(80, of=found)[0]
    assert (
        line.endswith("10011/12000  9.0 trials/min, 50 min to 6 h left")
        and line.startswith("a study with")
        and "━" in line
    )


def test_a_log_says_nothing_twice_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first trials run for minutes, the same line comes once a minute."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    display = PlainDisplay(Console(file=stream))
    found = Standing("slow", "loss", "minimize", 4, activity=Activity("", 2, 2))
    for second in range(180):
        now[0] = float(second)
        display.tick(found)
    assert len(stream.getvalue().splitlines()) == 3
    found.activity.left = 100.0
    now[0] += 10
    display.tick(found)
    assert stream.getvalue().splitlines()[-1].endswith("the first trials run, about 1 min 40 s left")


@pytest.mark.parametrize(
    ("left", "between", "text"),
    [
        (None, None, ""),
        (14.2, None, "about 14 s left"),
        (200.0, (100.0, 400.0), "2 to 7 min left"),
        (100.0, (20.0, 400.0), "20 s to 7 min left"),
        (9000.0, (3000.0, 20000.0), "50 min to 6 h left"),
        (3.0, (2.6, 3.4), "about 3 s left"),
    ],
)
def test_the_time_that_is_left_has_two_ends_where_one_number_says_too_little(
    left: float | None, between: tuple[float, float] | None, text: str
) -> None:
    assert left_text(Activity(left=left, left_between=between)) == text


def test_the_end_waits_for_nothing() -> None:
    assert "30 s" in drawn(80, ended=True)[0] and "workers" not in "".join(drawn(80, ended=True))


def test_the_curve_is_of_trials_and_fits_what_can_be_written() -> None:
    assert curve_text(standing()).split(" ")[0].count("▆") == 16  # trials 4 to 19 of 1 to 31
    found = standing()
    found.leaders.course = found.leaders.course[:1]
    assert curve_text(found) == ""
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert blocks_for(ascii_only) == PLAIN and set(sparkline([1, 2, 3], 9, blocks=PLAIN)) <= set(PLAIN)
    assert len(sparkline(list(range(1000)), 7)) == 7 and sparkline([2.0], 5) != "" == sparkline([], 5)


def test_more_workers_than_are_shown() -> None:
    activity = Activity("", 9, 9, [BusyWorker(number, 1, 0, None, 1.0) for number in range(8)])
    assert workers_text(activity).endswith("trial 2 (1 s); 6 more") and workers_text(Activity()) == ""


def test_the_lines_of_a_log_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day with a look each second, where every thousandth trial is a new best and each failure is of its own kind."""
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    stream = io.StringIO()
    display, found = make_display(stream, quiet=False), standing()
    assert type(display) is PlainDisplay
    moments = []
    for second in range(86_400):
        now = float(second)
        found.counts.running = second  # so that there is something new to say
        said = stream.tell()
        display.tick(found)
        if stream.tell() > said:
            moments.append(now)
        if second % 1000 == 0:
            found.leaders.top = [record(second, 0.5 + second / 1e6)]
            display.trial(found.leaders.top[0], found)
            found.counts.errors[f"error {'x' * (second // 1000)}"] += 1
            display.trial(TrialRecord(1, {}, 1, outcome=Outcome("failed", error="no")), found)
    lines = stream.getvalue().splitlines()
    assert len(lines) < 300 and "\x1b" not in stream.getvalue()
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert min(gaps) == 5.0 and max(gaps) <= 1200.0  # a new best is a line, too
    assert lines[-1].endswith("trials/s, about 14 s left, best 0.586")
    assert sum(" failed: no" in line for line in lines) == 20
    assert sum("other kinds of failures" in line for line in lines) == 1
