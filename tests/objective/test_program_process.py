"""A program's process group: ended when the trial stops, when its worker dies, when it leaves children."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from waiting import wait_for

from hpo.events import Assignment, Failed, Finished, Reported, Stopped, TrialSpec
from hpo.objective.program import ProgramObjective

from .program_support import RecordingChannel, alive, run, script, wait_until_dead, worker_environment


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
    wait_until_dead(int(channel.logs[7].split()[1]))


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
    wait_until_dead(int(channel.logs[7].split("child ", 1)[1].split()[0]))


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
        wait_for((tmp_path / "pids").exists, "a program with a child", process=process)
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert all(alive(pid) for pid in pids)
    finally:
        process.send_signal(how)
        process.wait()
    wait_until_dead(*pids)
    assert (tmp_path / "told").exists()  # SIGTERM came first


def test_nothing_is_left_open(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        run(tmp_path, "print('{\"acc\": 1}')")
        run(tmp_path, "", command=["./absent", "${args}"])
    assert len(set(Path("/proc/self/fd").iterdir())) == len(before)
