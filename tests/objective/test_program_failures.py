"""What is said of a program that fails."""

from __future__ import annotations

from pathlib import Path

from hpo.events import Failed, FailureKind

from .program_support import run


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
    assert ending.kind is FailureKind.ERROR


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
