"""Programs as objectives: real scripts in real processes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import hpo
from hpo.events import Assignment, Decision, Diverged, Event, Failed, Finished, Reported, Stopped, TrialSpec
from hpo.objective.program import ProgramObjective

HPO = str(Path(hpo.__file__).parents[1])


class RecordingChannel:
    """Keeps what it is told; stops trials that report at or after `stop_at`; breaks at the report of `break_at`."""

    def __init__(self, stop_at: int | None = None, break_at: int | None = None) -> None:
        self.events: list[Event] = []
        self.logs: dict[int, str] = {}
        self.paths: list[Path] = []
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
        assert name == "output.log"
        assert not any(isinstance(event, Finished | Failed) and event.number == number for event in self.events)
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


@pytest.fixture(autouse=True)
def _temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep temporary files apart, so that a test sees whether any is left."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


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
    **options: Any,
) -> RecordingChannel:
    channel = channel or RecordingChannel()
    data = options.pop("data", {})
    objective = ProgramObjective(script(folder, body), command, "acc", data, folder=folder, **options)
    assert objective.contract is None
    assert objective.prepare() == []
    objective.run(Assignment(1, (TrialSpec(7, params or {}, 42, epochs),)), channel)
    assert list((folder / "temporary").iterdir()) == []
    return channel


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie that nobody waits for is dead)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_until_dead(pid: int, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(pid)


# Reports


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
    times: list[float] = []

    class Timing(RecordingChannel):
        def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
            times.append(time.monotonic())
            return super().exchange(events)

    run(tmp_path, "print('{\"acc\": 1}')\ntime.sleep(0.5)", channel=Timing())  # unflushed: PYTHONUNBUFFERED is set
    assert times[1] - times[0] > 0.4


def test_steps(tmp_path: Path) -> None:
    lines = [
        '{"acc": 1}',
        '{"step": 5, "acc": 2}',
        '{"acc": 3}',
        '{"epoch": 9.0, "step": 1000, "acc": 4}',
        '{"epoch": "ten", "step": 10, "acc": 5}',
        '{"epoch": -1, "acc": 6}',
        '{"epoch": 11.5, "acc": 7}',
        '{"epoch": true, "acc": 8}',
        '{"epoch": NaN, "acc": 9}',
        '{"epoch": 0, "acc": 10}',
        '  {"epoch": 3, "acc": 11}  ',
    ]
    channel = run(tmp_path, f"for line in {lines!r}: print(line)")
    assert [step for step, _ in channel.reports] == [1, 5, 6, 9, 10, 11, 12, 13, 14, 0, 3]
    assert [metrics for _, metrics in channel.reports] == [{"acc": float(value)} for value in range(1, 12)]


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
    assert channel.ending == Finished(7)
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
    assert channel.ending == Finished(7)
    notes = [line for line in channel.logs[7].splitlines() if line.startswith("[hpo: ")]
    assert len(notes) == 4
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
    first, second = run(tmp_path, SHOW), run(tmp_path, SHOW)
    [one], [other] = first.paths, second.paths
    assert one.name == other.name == "output.log"
    assert one.parent != other.parent


# Arguments and environment


SHOW = """
    print(json.dumps(sys.argv[1:]))
    print('{"acc": 1}')
"""


def arguments(channel: RecordingChannel) -> list[str]:
    found = json.loads(channel.logs[7].splitlines()[0])
    assert isinstance(found, list)
    return found


PARAMS = {
    "optimizer.lr": 1e-05,
    "momentum": 0.1 + 0.2,
    "layers": [64, 32],
    "names": ["a", "b c"],
    "options": {"x": 1},
    "nesterov": True,
    "amsgrad": False,
    "schedule": None,
    "width": 3,
    "name": "",
}


def test_default_command(tmp_path: Path) -> None:
    assert arguments(run(tmp_path, SHOW, PARAMS)) == [
        "--optimizer.lr=1e-05",
        "--momentum=0.30000000000000004",
        "--layers=[64, 32]",
        '--names=["a", "b c"]',
        '--options={"x": 1}',
        "--nesterov=True",
        "--amsgrad=False",
        "--schedule=None",
        "--width=3",
        "--name=",
    ]


START = ["${env}", "${interpreter}", "${program}"]


@pytest.mark.parametrize(
    ("items", "params", "expected"),
    [
        (["${args_no_hyphens}"], {"a.b": 1, "c": True}, ["a.b=1", "c=True"]),
        (["${args_no_equals}"], {"a": 1}, ["--a", "1"]),
        (["${args_no_boolean_flags}"], {"a": True, "b": False, "c": 0, "d": "False"}, ["--a", "--c=0", "--d=False"]),
        (["run", "${args}", "--x"], {"a": 1}, ["run", "--a=1", "--x"]),
        (["--json=${args_json}"], {"a.b": 1}, ['--json={"a.b": 1}']),
        (["a b", "$HOME ${HOME}", "${args}"], {}, ["a b", "$HOME ${HOME}"]),
        (["${envvar:HPO_TEST_A}/x-${envvar:HPO_TEST_A}", "${args}"], {}, ["some value/x-some value"]),
        ([5, "${args}"], {}, ["5"]),
    ],
)
def test_macros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, items: list[str], params: dict[str, Any], expected: list[str]
) -> None:
    monkeypatch.setenv("HPO_TEST_A", "some value")
    channel = run(tmp_path, SHOW, params, command=[*START, *items])
    assert arguments(channel) == expected


def test_json_macros(tmp_path: Path) -> None:
    body = """
        text, name = sys.argv[1:]
        assert json.loads(text) == json.load(open(name)), name
        print(text)
        print('{"acc": 1}')
    """
    channel = run(tmp_path, body, PARAMS, command=[*START, "${args_json}", "${args_json_file}"])
    assert channel.ending == Finished(7)
    assert json.loads(channel.logs[7].splitlines()[0]) == PARAMS


def test_a_command_in_one_string(tmp_path: Path) -> None:
    command = "${interpreter} -u ${program} --fixed 'a b' ${args}"
    assert arguments(run(tmp_path, SHOW, {"x": 1}, command=command)) == ["--fixed", "a b", "--x=1"]


def test_a_shell_as_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Macros are filled in as they are, so that the shell's line quotes them."""
    (tmp_path / "with space").symlink_to(Path(sys.executable).parent)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "with space" / Path(sys.executable).name))
    line = 'x=3; "${interpreter}" "${program}" --x=${x} "$@"'
    channel = run(tmp_path, SHOW, {"y": "$x"}, command=["sh", "-c", line, "sh", "${args}"])
    assert arguments(channel) == ["--x=3", "--y=$x"]
    assert arguments(run(tmp_path, SHOW, {"y": "$x"})) == ["--y=$x"]


def test_environment_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = """
        names = ("HPO_SEED", "HPO_TRIAL", "HPO_EPOCHS", "HPO_DATA_JSON", "PYTHONUNBUFFERED", "HPO_TEST_A")
        print(json.dumps([os.environ.get(name) for name in names]))
        print(os.getcwd(), sys.stdin.read() == "")
        print('{"acc": 1}')
    """
    monkeypatch.setenv("HPO_TEST_A", "mine")
    channel = run(tmp_path, body, epochs=5, data={"csv": "a.csv"})
    assert json.loads(channel.logs[7].splitlines()[0]) == ["42", "7", "5", '{"csv": "a.csv"}', "1", "mine"]
    assert channel.logs[7].splitlines()[1] == f"{tmp_path} True"
    monkeypatch.setenv("HPO_EPOCHS", "stale")
    assert json.loads(run(tmp_path, body).logs[7].splitlines()[0]) == ["42", "7", None, None, "1", "mine"]


def test_several_trials_of_one_assignment(tmp_path: Path) -> None:
    body = """
        assert "--x=2" not in sys.argv
        print('{"acc": 1}')
    """
    objective = ProgramObjective(script(tmp_path, body), None, "acc", {}, folder=tmp_path)
    channel = RecordingChannel()
    objective.run(Assignment(1, tuple(TrialSpec(number, {"x": number}, 0) for number in (1, 2, 3))), channel)
    endings = [event for event in channel.events if not isinstance(event, Reported)]
    assert [type(event) for event in endings] == [Finished, Failed, Finished]
    assert [event.number for event in endings] == [1, 2, 3]


# Stopping


def test_stop_sends_sigterm(tmp_path: Path) -> None:
    body = """
        def bye(*_):
            print("saved", flush=True)
            sys.exit(3)
        signal.signal(signal.SIGTERM, bye)
        for epoch in range(1, 1000):
            print(json.dumps({"epoch": epoch, "acc": 0.5}))
            time.sleep(0.02)
    """
    channel = run(tmp_path, body, channel=RecordingChannel(stop_at=3))
    assert channel.ending == Stopped(7)
    assert [step for step, _ in channel.reports] == [1, 2, 3]
    assert channel.logs[7].endswith("saved\n")


def test_stop_kills_a_program_that_ignores_sigterm(tmp_path: Path) -> None:
    body = """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("pid", os.getpid())
        epoch = 0
        while True:
            epoch += 1
            print(json.dumps({"epoch": epoch, "acc": 0.5}))
    """
    channel = run(tmp_path, body, channel=RecordingChannel(stop_at=2), grace=0.5)
    assert channel.ending == Stopped(7)
    assert [step for step, _ in channel.reports] == [1, 2]
    assert not alive(int(channel.logs[7].split()[1]))


def test_stop_reaches_children_and_leaves_them_the_grace_period(tmp_path: Path) -> None:
    child = """
        def bye(*_):
            time.sleep(0.3)
            print("child saved", flush=True)
            sys.exit()
        signal.signal(signal.SIGTERM, bye)
        print("child", os.getpid(), flush=True)
        print('{"acc": 1}', flush=True)
        time.sleep(60)
    """
    script(tmp_path, child, "child.py")
    body = "import subprocess\nsubprocess.run([sys.executable, 'child.py'])"
    channel = run(tmp_path, body, channel=RecordingChannel(stop_at=1))
    assert channel.ending == Stopped(7)
    assert "child saved" in channel.logs[7]
    assert wait_until_dead(int(channel.logs[7].split()[1]))


def test_stop_reaches_a_program_that_made_its_own_group(tmp_path: Path) -> None:
    body = """
        os.setpgid(0, 0)
        print("pid", os.getpid())
        print('{"acc": 1}')
        time.sleep(60)
        open("finished", "w")
    """
    channel = run(tmp_path, body, channel=RecordingChannel(stop_at=1))
    assert channel.ending == Stopped(7)
    assert not (tmp_path / "finished").exists()  # it was ended, not waited for
    assert not alive(int(channel.logs[7].split()[1]))


@pytest.mark.parametrize("chatty", [False, True])
def test_children_that_outlive_the_program_are_killed(tmp_path: Path, chatty: bool) -> None:
    child = "while True: print('still here', flush=True)" if chatty else "time.sleep(60); open('finished', 'w')"
    script(tmp_path, child, "child.py")
    body = """
        import subprocess
        print("child", subprocess.Popen([sys.executable, "child.py"]).pid)
        print('{"acc": 1}')
    """
    channel = run(tmp_path, body)
    assert channel.ending == Finished(7)
    assert not (tmp_path / "finished").exists()  # it was ended, not waited for
    assert wait_until_dead(int(channel.logs[7].split("child ", 1)[1].split()[0]))


def test_a_program_that_closes_its_output_is_waited_for(tmp_path: Path) -> None:
    body = """
        print('{"acc": 1}')
        os.close(1); os.close(2)
        time.sleep(0.5)
        os._exit(4)
    """
    channel = run(tmp_path, body)
    assert isinstance(channel.ending, Failed)
    assert "code 4" in channel.ending.error


def test_a_broken_channel_kills_the_program(tmp_path: Path) -> None:
    body = """
        with open("pid", "w") as file: file.write(str(os.getpid()))
        print('{"acc": 1}')
        time.sleep(60)
        open("finished", "w")
    """
    with pytest.raises(BrokenPipeError):
        run(tmp_path, body, channel=RecordingChannel(break_at=1))
    assert not (tmp_path / "finished").exists()  # it was ended, not waited for
    assert not alive(int((tmp_path / "pid").read_text()))
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_program_and_its_children_die_with_the_worker(tmp_path: Path, how: signal.Signals) -> None:
    body = """
        import subprocess
        def bye(*_):
            open("told", "w").close()
        signal.signal(signal.SIGTERM, bye)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        with open("pids.new", "w") as file: file.write(f"{os.getpid()} {child.pid}")
        os.rename("pids.new", "pids")
        while True: time.sleep(60)
    """
    script(tmp_path, body)
    worker = """
        from hpo.events import Assignment, TrialSpec
        from hpo.objective.program import ProgramObjective
        class Silent:
            def exchange(self, events): return {}
            def attach(self, number, name, path): pass
        objective = ProgramObjective("train.py", None, "acc", {}, grace=0.5)
        objective.run(Assignment(1, (TrialSpec(1, {}, 0),)), Silent())
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(worker)], cwd=tmp_path, env=worker_environment(tmp_path)
    )
    try:
        end = time.monotonic() + 20
        while not (tmp_path / "pids").exists() and time.monotonic() < end:
            time.sleep(0.05)
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert all(alive(pid) for pid in pids)
    finally:
        process.send_signal(how)
        process.wait()
    assert [wait_until_dead(pid) for pid in pids] == [True, True]
    assert (tmp_path / "told").exists()  # SIGTERM came first


# Failing


def test_failure_says_code_and_last_line(tmp_path: Path) -> None:
    body = """
        print('{"acc": 1}')
        for number in range(30): print("line", number)
        raise ValueError("bad shape")
    """
    ending = run(tmp_path, body).ending
    assert isinstance(ending, Failed)
    assert ending.error == "the program exited with code 1: ValueError: bad shape"
    assert len(ending.traceback.splitlines()) == 20
    assert ending.traceback.endswith("ValueError: bad shape")
    assert "Traceback" in ending.traceback
    assert not ending.lost


def test_failure_without_output(tmp_path: Path) -> None:
    channel = run(tmp_path, "sys.exit(3)")
    assert channel.ending == Failed(7, "the program exited with code 3")
    assert channel.logs == {}


def test_a_killed_program_names_the_signal(tmp_path: Path) -> None:
    channel = run(tmp_path, "print('working')\nos.kill(os.getpid(), signal.SIGSEGV)")
    assert isinstance(channel.ending, Failed)
    assert channel.ending.error == "the program was killed by SIGSEGV: working"
    channel = run(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    assert isinstance(channel.ending, Failed)
    assert channel.ending.error == "the program was killed by SIGKILL (the system may have run out of memory)"


def test_no_report(tmp_path: Path) -> None:
    ending = run(tmp_path, "print('accuracy: 0.9')").ending
    assert isinstance(ending, Failed)
    assert ending.error == (
        "the program never reported 'acc': it must print lines like "
        '{"epoch": 1, "acc": 0.91} to standard output; it reported nothing'
    )


def test_no_report_of_the_metric(tmp_path: Path) -> None:
    ending = run(tmp_path, """print('{"epoch": 1, "accu": 0.5, "loss": 1}')""").ending
    assert isinstance(ending, Failed)
    assert ending.error.endswith("it reported accu, loss (did you mean 'accu'?)")


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    ending = run(tmp_path, "", command=["./absent", "${args}"]).ending
    assert isinstance(ending, Failed)
    assert "could not be started: FileNotFoundError" in ending.error
    assert "./absent" in ending.error
    ending = run(tmp_path, "", {"x": "a\0b"}).ending
    assert isinstance(ending, Failed)
    assert "could not be started: ValueError" in ending.error
    ending = run(tmp_path, "", {"x": "y" * 3_000_000}).ending
    assert isinstance(ending, Failed)
    assert "Argument list too long" in ending.error
    ending = run(tmp_path, "", command=["${envvar:HPO_TEST_ABSENT}", "${args}"]).ending
    assert isinstance(ending, Failed)
    assert "HPO_TEST_ABSENT" in ending.error


# Much output


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


# Faults


def faults(folder: Path, command: Sequence[str] | str | None, program: str = "train.py") -> list[tuple[str, str]]:
    objective = ProgramObjective(program, command, "acc", {}, folder=folder)
    return [(fault.message, fault.remedy) for fault in objective.check_data()]


def test_no_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "")
    (tmp_path / "train.sh").write_text("#!/bin/sh\n")
    (tmp_path / "train.sh").chmod(0o755)
    monkeypatch.setenv("HPO_TEST_A", "1")
    assert faults(tmp_path, None) == []
    assert faults(tmp_path, ["${env}", "A=1", "python3", "-m", "package", "${args}"], program="") == []
    assert faults(tmp_path, ["./train.sh", "${envvar:HPO_TEST_A}", "${args_json_file}"], program="") == []
    assert faults(tmp_path, ["sh", "-c", "cd ${HOME} && python ${program} $@", "sh", "${args}"]) == []


@pytest.mark.parametrize(
    ("command", "message", "remedy"),
    [
        (["${interpreter}", "${program}", "${arg}"], "unknown macro ${arg}", "did you mean 'args'?"),
        (["${interpreter}", "${program}", "${foo}", "${args}"], "unknown macro ${foo}", "one of: args, "),
        (["python", "--x=${args_jsn}", "${args}"], "unknown macro ${args_jsn}", "did you mean 'args_json'?"),
        (["python", "x ${args}"], "stands for several arguments", "an item of its own"),
        (["python", "${project}", "${args}"], "belongs to W&B's service", "write it out"),
        (["python", "--e=${entity}", "${args}"], "belongs to W&B's service", "write it out"),
        (["python", "${envvar:HPO_TEST_NO}", "${args}"], "variable 'HPO_TEST_NO', which is not set", "export"),
        (["${env}", "${interpreter}", "${program}"], "passes no hyperparameters", "add '${args}'"),
        (["absent-program", "${args}"], "executable 'absent-program' is not found", ""),
        (["${env}", "absent-program", "${args}"], "executable 'absent-program' is not found", ""),
        (["./absent", "${args}"], "executable './absent' is not found", ""),
        (["./train.py", "${args}"], "'./train.py' may not be executed", "chmod +x ./train.py"),
    ],
)
def test_faults_of_the_command(tmp_path: Path, command: list[str], message: str, remedy: str) -> None:
    script(tmp_path, "")
    ((got, hint),) = faults(tmp_path, command)
    assert message in got
    assert remedy in hint


def test_faults_of_the_program(tmp_path: Path) -> None:
    script(tmp_path, "")
    objective = ProgramObjective("trian.py", None, "acc", {}, folder=tmp_path)
    (fault,) = objective.check_data()
    assert fault.path == ("program",)
    assert f"there is no {tmp_path / 'trian.py'}" in fault.message
    assert fault.remedy == "did you mean 'train.py'?"
    assert faults(tmp_path, None, program="") == [
        ("the command uses ${program}, but the file names no program", "program: train.py")
    ]
    assert "there is no" in faults(tmp_path, None, program="no/such/folder/x.py")[0][0]


def test_all_faults_at_once(tmp_path: Path) -> None:
    objective = ProgramObjective("absent.py", ["${x}", "${program}", "${project}"], "acc", {}, folder=tmp_path)
    assert [fault.path for fault in objective.check_data()] == [
        ("command", 0),
        ("command", 2),
        ("program",),
    ]


def test_quoting_survives(tmp_path: Path) -> None:
    awkward = "a'b\"c $(touch hacked) ; `id` \n tab\t"
    channel = run(tmp_path, SHOW, {"x": awkward})
    assert arguments(channel) == [f"--x={awkward}"]
    assert not (tmp_path / "hacked").exists()
    assert shlex.quote(awkward) != awkward


def test_nothing_is_left_open(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        run(tmp_path, "print('{\"acc\": 1}')")
        run(tmp_path, "", command=["./absent", "${args}"])
    assert len(set(Path("/proc/self/fd").iterdir())) == len(before)
