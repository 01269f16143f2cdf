"""Which of a program's lines are reports, and what is said of those that only look like one."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from hpo.events import Failed, Finished
from hpo.objective.program_reports import Report, ReportReader

from .program_support import run

GOOD = '{"epoch": 2, "acc": 0.5}'
REPORT = Report({"acc": 0.5}, {"epoch": 2})


def read(line: str | bytes, whole: bool = True) -> tuple[list[Report], dict[str, str]]:
    reader = ReportReader("acc")
    found = list(reader.read(line if isinstance(line, bytes) else line.encode(), whole))
    return found, reader.doubts


TAKEN = {
    "by itself": GOOD,
    "blanks": f"  {GOOD}\t ",
    "a carriage return after it": GOOD + "\r",
    "a bar that a carriage return overwrites": f"\r 10%|#    | 1/10 [00:01<00:09]\r{GOOD}",
    "a bar after a carriage return": f"{GOOD}\r100%|##########|",
    "a bar without one": f" 70%|#######   | 7/10 [00:07<00:03,  1.0it/s]{GOOD}",
    "words": f"evaluating ... done {GOOD}",
    "a logger's prefix": f"2026-11-27 10:00:00,123 INFO train: {GOOD}",
    "braces before it": f"{{epoch}} {{}} {{'a': 1}} {GOOD}",
    "colours": f"\x1b[32m{GOOD}\x1b[0m",
    "colours inside": '{"epoch": \x1b[1m2\x1b[0m, "acc": 0.5}',
    "a title and a cleared line": f"\x1b]0;training\x07\x1b[2K\x1b[1G{GOOD}",
    "a BOM": "\ufeff" + GOOD,
    "a BOM in the middle": f"[\ufeff] {GOOD}",
    "a nested object": '{"epoch": 2, "acc": 0.5, "config": {"lr": 1, "acc": 3}}',
    "numbers in quotes as the step": '{"epoch": "2", "acc": 0.5}',
}


@pytest.mark.parametrize("case", TAKEN)
def test_taken(case: str) -> None:
    assert read(TAKEN[case]) == ([REPORT], {})


def test_bytes_that_are_no_utf8() -> None:
    assert read(b"dur\xe9e: " + GOOD.encode()) == ([REPORT], {})
    [report], _ = read(b'{"epoch": 2, "dur\xe9e": 3, "acc": 0.5}')
    assert report.metrics == {"acc": 0.5}
    assert ["is not UTF-8" in fault for fault in report.refused.values()] == [True]


def test_several_on_a_line() -> None:
    found, doubts = read('{"epoch": 1, "acc": 0.25}' + GOOD)
    assert found == [Report({"acc": 0.25}, {"epoch": 1}), REPORT] and not doubts
    assert [report.metrics for report in read('{"lr": 1} {"acc": 2}')[0]] == [{"lr": 1}, {"acc": 2}]


@pytest.mark.parametrize(
    "line",
    [
        "no brace at all: acc 0.5",
        "{}",
        '{"epoch": 3}',
        'settings: {"lr": 0.1, "batch": 32}',  # without the metric or an epoch, after other text
        'settings: {"step": 5, "gamma": 0.1}',
        "loss {'nll': 0.5}",
        "function() { return 3; }",
        '{"note": "words"}',
    ],
)
def test_what_is_no_report_and_looks_like_none(line: str) -> None:
    assert read(line) == ([], {})


DOUBTED = {
    "{'epoch': 2, 'acc': 0.5}": "json",
    "epoch 2: {'acc': tensor(0.5)}": "json",
    '{"epoch": 2, "acc": 0.5': "json",
    '{"epoch": 2, "acc": .5}': "json",
    '{"epoch": 2, "acc": "0.5"}': "value",
    '{"epoch": 2, "acc": null}': "value",
    '{"epoch": 2, "acc": true}': "value",
    '{"epoch": 2, "acc": [0.5]}': "value",
    '{"val": {"acc": 0.5}}': "value",
    GOOD + " (best so far)": "followed",
    f"[{GOOD}]": "followed",
}


@pytest.mark.parametrize("line", DOUBTED)
def test_what_looks_like_a_report(line: str) -> None:
    found, doubts = read(line)
    assert found == []
    assert list(doubts) == [DOUBTED[line]]
    assert doubts[DOUBTED[line]].startswith("line 1 of the output looks like a report, but is not taken: ")
    assert doubts[DOUBTED[line]].endswith(f": {line}")


def test_a_line_of_a_megabyte(tmp_path: Path) -> None:
    """Its pieces are no lines, and nothing in them is a report."""
    body = """
        rows = [{"epoch": 1, "acc": 0.125}] * 200_000
        print(json.dumps({"epoch": 1, "acc": 0.25, "rows": rows}))
        print('{"epoch": 2, "acc": 0.5}')
    """
    channel = run(tmp_path, body)
    assert channel.reports == [(2, {"acc": 0.5})]
    assert isinstance(channel.ending, Finished)
    assert "it is longer than 1 MiB" in channel.ending.info["notes"]["long"]


def test_a_report_without_a_newline_at_the_end_while_a_child_has_the_pipe(tmp_path: Path) -> None:
    body = """
        import subprocess
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print('{"acc": 0.5}', end="")
    """
    assert run(tmp_path, body).reports == [(1, {"acc": 0.5})]


def test_a_failure_says_what_was_not_taken(tmp_path: Path) -> None:
    ending = run(tmp_path, 'print("begin")\nprint({"epoch": 1, "acc": 0.5})').ending
    assert isinstance(ending, Failed)
    assert "never reported 'acc'" in ending.error
    assert "line 2 of the output looks like a report" in ending.error and "print(json.dumps(...))" in ending.error


def test_odd_lines_are_read_in_little_time() -> None:
    lines = [
        "{" * 1_000_000,
        '{"x":' * 100_000,
        '{"a ' * 200_000,
        "{'epoch" * 100_000,
        '{"acc": ' + "9" * 900_000 + "}",
    ]
    reader, began = ReportReader("acc"), time.process_time()
    found = [report for line in lines for report in reader.read(line.encode())]
    assert time.process_time() - began < 2
    assert [report.metrics for report in found] == [{"acc": float("inf")}]


def test_each_kind_of_doubt_is_said_once(tmp_path: Path) -> None:
    body = """
        for epoch in range(5):
            print({"epoch": epoch, "acc": 0.5})
            print(json.dumps({"epoch": epoch, "acc": 0.5}))
    """
    log = run(tmp_path, body).logs[7]
    assert log.count("[hpo: ") == 1
    assert json.dumps({"epoch": 4, "acc": 0.5}) in log
