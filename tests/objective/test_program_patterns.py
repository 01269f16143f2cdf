"""Reports in plain lines of a log."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo.events import Diverged, Failed, Finished, Stopped
from hpo.objective.program_patterns import PatternReader
from hpo.objective.program_process import MAX_LINE
from hpo.review.outline import outline
from hpo.spec.sweep import Sweep

from .program_support import RecordingChannel, run

ACC = r"acc=(?P<acc>[0-9.]+)"


def found(lines: str | bytes, *patterns: str) -> list[tuple[dict[str, float], dict[str, float]]]:
    reader = PatternReader(patterns or (ACC,), "acc")
    text = lines if isinstance(lines, bytes) else lines.encode()
    return [
        (dict(report.metrics), dict(report.positions)) for line in text.split(b"\n") for report in reader.read(line)
    ]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("acc=0.5", 0.5), ("INFO acc=0.91.", 0.91), ("acc=1e-5", 1e-5), ("acc=1.2E+03 x", 1200.0), ("acc=.5;", 0.5),
        ("\x1b[32macc=\x1b[0m0.5", 0.5), ("acc=7", 7.0), ("acc=91.5%", 91.5), ("50%|###  | 1/2\racc=0.25", 0.25),
    ],
)  # fmt: skip
def test_numbers(line: str, value: float) -> None:
    assert found(line) == [({"acc": value}, {})]


@pytest.mark.parametrize(
    ("text", "value"), [("91.5%", 0.915), ("91 %", 0.91), ("-3e2", -300.0), ("inf", math.inf), ("-Infinity", -math.inf)]
)
def test_numbers_of_a_wide_group(text: str, value: float) -> None:
    [(metrics, _)] = found(f"acc: {text}", "acc: (?P<acc>.*)")
    assert metrics["acc"] == pytest.approx(value)


def test_several_metrics_and_matches() -> None:
    assert found("acc=0.1 acc=0.2 loss=3 acc=0.3", ACC, r"loss=(?P<loss>\d+)") == [
        ({"acc": 0.1, "loss": 3.0}, {}), ({"acc": 0.2}, {}), ({"acc": 0.3}, {}),
    ]  # fmt: skip
    both = r"epoch (?P<epoch>\d+)(?: loss (?P<loss>\S+))?(?: acc (?P<acc>\S+))?"
    assert found("epoch 1 loss 2 acc 3\nepoch 2 acc 4\nepoch 3", both) == [
        ({"loss": 2.0, "acc": 3.0}, {"epoch": 1}), ({"acc": 4.0}, {"epoch": 2}),
    ]  # fmt: skip


def test_a_step_on_a_line_of_its_own_holds_for_what_follows() -> None:
    lines = "Epoch 1/3\nloss=3\nacc=0.5\nEpoch 2/3\nacc=0.75\n"
    assert found(lines, r"Epoch (?P<epoch>\d+)/", r"loss=(?P<loss>\d+)", ACC) == [
        ({"loss": 3.0}, {"epoch": 1}), ({"acc": 0.5}, {"epoch": 1}), ({"acc": 0.75}, {"epoch": 2}),
    ]  # fmt: skip


def test_what_is_no_number_is_told() -> None:
    reader = PatternReader([r"acc=(?P<acc>\S+) (?P<loss>\d+)"], "acc")
    [report] = reader.read(b"acc=high 3")
    assert report.metrics == {"loss": 3.0}
    assert reader.doubts == {"regex": "what report.regex finds is left out: 'acc' is 'high', no number: acc=high 3"}


def test_a_program_that_prints_plain_lines(tmp_path: Path) -> None:
    body = """
        import logging
        logging.basicConfig(level=logging.INFO)
        for epoch in range(3):
            print(f"epoch {epoch}: acc={epoch / 4:.2f}")
            logging.info("epoch %d: loss=%g", epoch, 10.0 ** -epoch)
        print('{"epoch": 3, "acc": 1, "text": "acc=7"}')
    """
    regex = [rf"epoch (?P<epoch>\d+): {ACC}", r"epoch (?P<epoch>\d+): loss=(?P<loss>[0-9.]+)"]
    channel = run(tmp_path, body, reports={"regex": regex})
    assert channel.ending == Finished(7)
    values = {(step, name): value for step, metrics in channel.reports for name, value in metrics.items()}
    assert [values[step, "acc"] for step in range(4)] == [0, 0.25, 0.5, 1]
    assert {value for (_, name), value in values.items() if name == "loss"} == {1.0, 0.1, 0.01}


def test_nan_is_a_trial_that_diverged_and_words_are_none(tmp_path: Path) -> None:
    reports = {"regex": [r"acc=(?P<acc>\S+)"]}
    assert isinstance(run(tmp_path, "print('acc=nan'); time.sleep(60)", reports=reports).ending, Diverged)
    ending = run(tmp_path, "print('acc=good')", reports=reports).ending
    assert isinstance(ending, Failed) and "'acc' is 'good', no number" in ending.error


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("{regex: 'acc=(?P<acc>[0-9.+'}", "2: report.regex: must be a regular expression of Python's"),
        ("{regex: ['acc=(?P<acc>.*)', '(']}", "2: report.regex[1]: must be a regular expression of Python's"),
        ("{regex: 'acc=([0-9.]+)'}", "2: report.regex: must have a group with a metric's name, such as"),
        ("{regex: []}", "2: report.regex: must be a list of at least 1"),
        ("{regex: 3}", "2: report.regex: must be a list"),
        ("{regx: 'a'}", "2: report.regx: unknown key 'regx' (did you mean 'regex'?)"),
    ],
)
def test_refused(faults: Callable[..., list[str]], report: str, message: str) -> None:
    [fault] = faults(f"program: a.py\nreport: {report}")
    assert fault.startswith(message)


def test_reports_of_a_function_are_known(faults: Callable[..., list[str]]) -> None:
    [fault] = faults("objective: thing\nreport: {page: true, regex: '(?P<acc>.)'}")
    assert fault.startswith("2: report.regex: of a function or a Torch task all reports are known")


@pytest.mark.parametrize(
    ("text", "page", "sources"),
    [
        ("report: true", True, {}),
        ("seed: 1", False, {}),
        ("report: {regex: '(?P<a>.)'}", False, {"regex": ["(?P<a>.)"]}),
    ],
)
def test_the_short_form(load: Callable[..., Sweep], text: str, page: bool, sources: dict[str, Any]) -> None:
    sweep = load(f"program: a.py\n{text}")
    assert (sweep.report.page, sweep.report.sources) == (page, sources)
    assert sweep.identity().get("report", {}) == sources
    assert load(f"program: a.py\n{text}", "report.page=true").report.page


def test_the_outline_says_where_reports_are(load: Callable[..., Sweep]) -> None:
    text = outline(load("program: a.py\nreport: {csv: '${HPO_FOLDER}/a.csv', regex: '(?P<a>.)'}"))
    assert "by csv: ${HPO_FOLDER}/a.csv\n" in text and "by regex: (?P<a>.)\n" in text and "a page" not in text
    assert "report    a page on the sweep" in outline(load("program: a.py\nreport: true"))


def test_no_number_is_cut(tmp_path: Path) -> None:
    for size in (100_000, MAX_LINE):
        for shown in range(1, 7):
            reader = PatternReader([r"acc=(?P<acc>[0-9.]+)"], "acc")
            line = b" " * (size - shown - 4) + b"acc=0.12345"
            assert list(reader.read(line)) == [] and "regex-long" in reader.doubts
    body = f"print('acc=0.25' + ' ' * {MAX_LINE - 16} + 'acc=0.123456'); print('acc=0.5')"
    channel = run(tmp_path, body, reports={"regex": [ACC]})
    assert channel.reports == [(1, {"acc": 0.5})]
    assert "longer than 1 MiB" in channel.ending.info["notes"]["regex-long"]  # type: ignore[union-attr]


def test_many_refreshes_of_a_bar_are_one_report_a_step(tmp_path: Path) -> None:
    body = """
        for epoch in range(3):
            for batch in range(20_000):
                sys.stderr.write(f"\\repoch {epoch} {batch:1>50} acc=0.{batch:05}")
        sys.stderr.write("\\n")
    """
    channel = run(tmp_path, body, reports={"regex": [r"epoch (?P<epoch>\d+) \S+ acc=(?P<acc>\S+)"]})
    assert len(channel.reports) < 50
    last = dict(channel.reports)
    assert last == {epoch: {"acc": 0.19999} for epoch in range(3)}
    assert channel.logs[7].count("acc=0.") >= 60_000


def test_a_bar_is_read_while_its_line_goes_on(tmp_path: Path) -> None:
    body = """
        for epoch in range(10**6):
            print(f"\\repoch {epoch} acc=0.5", end="", flush=True)
            time.sleep(0.02)
    """
    reports = {"regex": [r"epoch (?P<epoch>\d+) acc=(?P<acc>\S+)"]}
    assert run(tmp_path, body, reports=reports, channel=RecordingChannel(stop_at=3)).ending == Stopped(7)


def test_what_overwrites_another() -> None:
    reader = PatternReader([r"(?:epoch (?P<epoch>\d) )?acc=(?P<acc>\S+)", r"loss=(?P<loss>\S+)"], "acc")

    def read(text: bytes, ends: bool = False) -> list[tuple[dict[str, float], dict[str, float]]]:
        return [(dict(each.metrics), dict(each.positions)) for each in reader.read(text, "stderr", True, ends)]

    assert read(b"acc=1") == read(b"acc=2 loss=3") == read(b"acc=4") == []
    assert [dict(each.metrics) for each in reader.rest()] == [{"acc": 4.0, "loss": 3.0}]
    assert list(reader.rest()) == [] and read(b"acc=4 loss=3") == [] and list(reader.rest()) == []
    assert read(b"epoch 1 acc=5") == [] and read(b"epoch 2 acc=6") == [({"acc": 5.0}, {"epoch": 1})]
    assert read(b"", ends=True) == [({"acc": 6.0}, {"epoch": 2})]
    assert read(b"acc=7", ends=True) == [({"acc": 7.0}, {"epoch": 2})]
