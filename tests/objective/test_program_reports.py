"""What a program prints: reports, and a log of the rest."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hpo.events import Assignment, Decision, Diverged, Event, Failed, Finished, Reported, TrialSpec
from hpo.objective.program import ProgramObjective

from .program_support import RecordingChannel, run, script, worker_environment


def test_reports_and_finish(tmp_path: Path) -> None:
    body = """
        for epoch in range(1, 4):
            print("training", epoch)
            print(json.dumps({"epoch": epoch, "acc": epoch / 10, "loss": 1, "note": "x", "ok": True, "none": None}))
    """
    channel = run(tmp_path, body, clock=lambda: 12.5)
    assert channel.reports == [(epoch, {"acc": epoch / 10, "loss": 1.0}) for epoch in (1, 2, 3)]
    assert channel.ending == Finished(7)
    assert all(event.time == 12.5 for event in channel.events if isinstance(event, Reported))
    assert channel.logs[7].startswith('training 1\n{"epoch": 1, "acc": 0.1')
    assert '"note": "x"' in channel.logs[7]


def test_reports_arrive_while_the_program_runs(tmp_path: Path) -> None:
    class Answering(RecordingChannel):
        def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
            (tmp_path / "heard").touch()
            return super().exchange(events)

    body = """
        print('{"acc": 1}')  # unflushed: PYTHONUNBUFFERED is set
        deadline = time.time() + 30
        while not os.path.exists("heard"):
            if time.time() > deadline:
                sys.exit("nobody heard the report")
            time.sleep(0.01)
    """
    assert run(tmp_path, body, channel=Answering()).ending == Finished(7)


def test_steps(tmp_path: Path) -> None:
    lines = [
        '{"acc": 1}',
        '{"acc": 3}',
        '{"epoch": 9.0, "step": 1000, "acc": 4}',
        '{"epoch": "10", "step": 1001, "acc": 5}',
        '{"epoch": 11.5, "acc": 7}',
        '{"epoch": true, "acc": 8}',
        '{"epoch": NaN, "acc": 9}',
        '  {"epoch": 15, "acc": 11}  ',
        '{"epoch": 3, "acc": 12}',
        '{"epoch": 4, "acc": 13}',
    ]
    channel = run(tmp_path, f"for line in {lines!r}: print(line)")
    assert [step for step, _ in channel.reports] == [1, 2, 9, 10, 11, 12, 13, 15, 16, 17]
    assert [metrics["acc"] for _, metrics in channel.reports] == [1, 3, 4, 5, 7, 8, 9, 11, 12, 13]
    assert isinstance(channel.ending, Finished)
    notes = channel.ending.info["notes"]
    assert set(notes) == {"epoch", "fraction", "again"}
    assert all(f"[hpo: {text}]" in channel.logs[7] for text in notes.values())
    assert "line 6 of the output is taken without its step: its epoch is no step" in notes["epoch"]


def test_numbers_in_quotes_are_said_and_not_recorded(tmp_path: Path) -> None:
    """Transformers prints them so. A whole number in quotes may be a name."""
    body = """
        print('{"epoch": 1, "acc": 0.25, "run": "17", "commit": "e5"}')
        print('{"epoch": 2, "acc": 0.5, "loss": "0.6667", "rate": "1e-05"}')
        print('{"epoch": 3, "acc": 0.75, "loss": " 12.5 "}')
    """
    channel = run(tmp_path, body)
    assert channel.reports == [(1, {"acc": 0.25}), (2, {"acc": 0.5}), (3, {"acc": 0.75})]
    (note,) = channel.ending.info["notes"].values()
    assert "line 2 of the output is taken without it: its 'loss' is text ('0.6667'), no number" in note


def test_lines_that_are_no_reports(tmp_path: Path) -> None:
    lines = ["{", "{]", '{"a"', "3", "[1]", "{}", '{"epoch": 3}', '{"acc": "0.5"}', '{"acc": null}', "{" * 100_000]
    lines += ['{"acc": true}', '{"acc": {"x": 1}}', "NaN", '{"acc": 1} trailing', "{'acc': 1}", '{"x":' * 50_000]
    body = f"""
        for line in {lines!r}: print(line)
        sys.stdout.buffer.write(b"\\xff\\xfe\\x00 garbage \\x80\\n{{\\xff}}\\n")
        print('{{"acc": 0.5}}', file=sys.stderr)
        print('{{"epoch": 1, "acc": 0.25}}', end="")
    """
    channel = run(tmp_path, body)
    assert channel.reports == [(1, {"acc": 0.25})]
    assert isinstance(channel.ending, Finished)
    assert set(channel.ending.info["notes"]) == {"json", "value", "followed"}
    assert '{"acc": "0.5"}\n' in channel.logs[7]
    assert "garbage" in channel.logs[7]


def test_progress_bars_on_standard_error_do_not_break_reports(tmp_path: Path) -> None:
    body = """
        for epoch in range(1, 50):
            print(f"\\r{epoch}%|####", end="", file=sys.stderr)
            print(json.dumps({"epoch": epoch, "acc": 0.5}))
    """
    assert len(run(tmp_path, body).reports) == 49


def test_unicode(tmp_path: Path) -> None:
    body = 'print(sys.argv[1:])\nprint(json.dumps({"acc": 1, "précision": 2}, ensure_ascii=False))'
    channel = run(tmp_path, body, {"modèle": "größe 模型 'q\" $HOME"})
    assert channel.reports == [(1, {"acc": 1.0, "précision": 2.0})]
    assert "--modèle=größe 模型" in channel.logs[7]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1" + "0" * 400])
def test_a_metric_that_is_not_finite_diverges(tmp_path: Path, value: str) -> None:
    body = f"""
        print('{{"epoch": 1, "acc": 0.5}}')
        print('{{"epoch": 2, "acc": {value}}}')
        time.sleep(60)
        open("finished", "w")
    """
    channel = run(tmp_path, body)
    assert channel.ending == Diverged(7, 2)
    assert len(channel.reports) == 1
    assert not (tmp_path / "finished").exists()  # it was ended, not waited for


def test_another_metric_that_is_not_finite_is_left_out(tmp_path: Path) -> None:
    channel = run(tmp_path, """print('{"epoch": 1, "acc": 0.5, "grad": NaN, "lr": 1e-3}')""")
    assert channel.reports == [(1, {"acc": 0.5, "lr": 0.001})]
    assert channel.ending == Finished(7)


def test_names_that_cannot_be_recorded_are_left_out_and_said_once(tmp_path: Path) -> None:
    body = """
        for step in 1, 2:
            print(json.dumps({"step": step, "a//b": 1, "": 2, "a_c": 3, "a@c": 4, "acc": 0.5}))
        print(json.dumps({"/only": 1}))
        print(json.dumps({"step": 2**63, "acc": 0.6}))
        print(json.dumps({"step": 2**70, "acc": 0.7}))
    """
    channel = run(tmp_path, body)
    first = {"a_c": 3, "acc": 0.5}
    assert channel.reports == [(1, first), (2, first), (3, {"acc": 0.6}), (4, {"acc": 0.7})]
    assert isinstance(channel.ending, Finished)
    notes = [line for line in channel.logs[7].splitlines() if line.startswith("[hpo: ")]
    assert len(notes) == 5 and "its step is no step" in notes.pop()
    assert "'a//b'" in notes[0] and "must not be empty" in notes[1] and "'a_c' and 'a@c'" in notes[2]


def test_the_sweeps_metric_keeps_its_name(tmp_path: Path) -> None:
    objective = ProgramObjective(
        script(tmp_path, """print('{"a_c": 1, "a@c": 2}')"""), None, "a@c", {}, folder=tmp_path
    )
    channel = RecordingChannel()
    objective.run(Assignment(1, (TrialSpec(7, {}, 42),)), channel)
    assert channel.reports == [(1, {"a@c": 2})]


def test_only_names_that_cannot_be_recorded(tmp_path: Path) -> None:
    ending = run(tmp_path, """print('{"a//b": 1}')""").ending
    assert isinstance(ending, Failed) and "reported nothing that can be recorded" in ending.error
    assert "'a//b'" in ending.error


def test_each_log_has_its_name_and_a_folder_of_its_own(tmp_path: Path) -> None:
    first, second = run(tmp_path, "print('{\"acc\": 1}')"), run(tmp_path, "print('{\"acc\": 1}')")
    [one], [other] = first.paths, second.paths
    assert one.name == other.name == "output.log"
    assert one.parent != other.parent


def test_much_output_needs_little_memory(tmp_path: Path) -> None:
    body = """
        line = "x" * 999 + "\\n"
        for _ in range(40):
            sys.stdout.write(line * 1000)
        sys.stderr.write("y" * 60_000_000)  # one line
        print('{"acc": 1}')
        print("the end")
    """
    channel_code = """
        import json, resource, sys
        from hpo.events import Assignment, TrialSpec
        from hpo.objective.program import ProgramObjective
        class Keeping:
            def __init__(self): self.events = []
            def exchange(self, events):
                self.events += events
                return {}
            def attach(self, number, name, path): self.path = path
        channel = Keeping()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ProgramObjective("train.py", None, "acc", {}, log_limit=100_000).run(
            Assignment(1, (TrialSpec(1, {}, 0),)), channel)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps([after - before, channel.path, [type(event).__name__ for event in channel.events]]))
    """
    script(tmp_path, body)
    code = [sys.executable, "-c", textwrap.dedent(channel_code)]
    done = subprocess.run(
        code, cwd=tmp_path, env=worker_environment(tmp_path), capture_output=True, text=True, check=True
    )
    kilobytes, path, events = json.loads(done.stdout)
    unit = 1024 if sys.platform == "darwin" else 1
    assert kilobytes / unit < 20_000
    assert events == ["Reported", "Finished"]
    log = Path(path).read_text()
    assert len(log) < 200_000
    assert "more lines are not kept: the log's limit is 100000 bytes" in log
    assert "\nthe end\n" in log


def test_a_flood_of_lines_is_cut_and_finishes(tmp_path: Path) -> None:
    body = """
        sys.stdout.write("some words of a log file, with a number\\n" * 500_000)
        print('{"acc": 1}')
    """
    channel = run(tmp_path, body)
    assert channel.ending == Finished(7)
    assert len(channel.logs[7]) < 10_100_000


def test_which_of_two_folders_is_meant_is_no_guess(tmp_path: Path) -> None:
    ending = run(tmp_path, """print('{"train/acc": 1, "validation/acc": 0.5}')""").ending
    assert isinstance(ending, Failed) and ending.error.endswith("(say in the sweep file which of these is the metric)")
