"""How a program is called: W&B's macros, arguments, environment, and what is wrong with a command."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hpo.events import Assignment, Failed, Finished, TrialSpec
from hpo.objective.build import inspect
from hpo.objective.program import ProgramObjective
from hpo.spec.faults import SpecError
from hpo.spec.load import load_sweep
from hpo.spec.yaml_text import dump_source

from .program_support import RecordingChannel, run, script

SHOW_ARGS = "import json, sys; print(json.dumps(sys.argv)); print(json.dumps({'acc': 1}))"
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


def test_a_trial_has_a_folder_and_a_file_of_its_hyperparameters_which_are_gone_then(tmp_path: Path) -> None:
    body = """
        from pathlib import Path
        folder = Path(os.environ["HPO_FOLDER"])
        assert folder.is_dir() and not list(folder.iterdir())
        (folder / "logs" / "deep").mkdir(parents=True)
        (folder / "logs" / "deep" / "a.csv").write_text("1")
        (folder / "logs" / "deep").chmod(0o500)
        print(Path(os.environ["HPO_PARAMS_FILE"]).read_text())
        print('{"acc": 1}')
    """
    channel = run(
        tmp_path,
        body,
        {"optimizer.lr": 0.5, "long": "x" * 200_000},
        command=["python", "${program}", "-${args_json_file}"],
    )
    assert json.loads(channel.logs[7].splitlines()[0]) == {"optimizer.lr": 0.5, "long": "x" * 200_000}
    assert channel.ending == Finished(7)


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


@pytest.mark.parametrize(
    ("command", "values", "told"),
    [
        (None, [1, "1"], "1 and '1'"),
        (None, [True, "true"], ""),  # W&B's way: `True`, and the text
        (None, [True, "True", 3], "true and 'True'"),
        (None, [None, "None"], "null and None"),
        (None, [[1, 2], "[1, 2]"], "[1, 2] and '[1, 2]'"),
        (None, [{"a": 1}, '{"a": 1}'], "{'a': 1} and"),
        (None, [0.1, "0.1"], "0.1 and '0.1'"),
        (["python", "${program}", "${args_no_boolean_flags}"], [True, "True"], ""),
        (["python", "${program}", "${args_no_equals}"], [False, "False"], "false and 'False'"),
        (["python", "${program}", "${args_json}"], [1, "1"], ""),
        (["python", "${program}"], [1, "1"], ""),
        (["python", "${program}", "${args}", "${args_json_file}"], [1, "1"], ""),
    ],
)
def test_choices_that_are_one_to_a_program(tmp_path: Path, command: list[str] | None, values: list, told: str) -> None:
    (tmp_path / "train.py").touch()
    keys = {"metric": {"name": "acc"}, "program": str(tmp_path / "train.py"), "budget": {"trials": 1}}
    keys |= {"parameters": {"x": {"values": values}}, **({"command": command} if command else {})}
    path = tmp_path / "sweep.yaml"
    path.write_text(dump_source(keys))
    if not told:
        load_sweep(path, inspect)
        return
    with pytest.raises(SpecError) as caught:
        load_sweep(path, inspect)
    [fault] = caught.value.faults
    assert fault.line and told in fault.message and "${args_json}" in fault.remedy


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


def test_a_program_that_declares_the_outer_name_gets_a_group_as_one_argument(tmp_path: Path) -> None:
    body = """
        import argparse
        parser = argparse.ArgumentParser()
        parser.add_argument("--optimizer", type=str)
        parser.add_argument("--head.width", type=int)
        parser.add_argument("--head")
        print(json.dumps(vars(parser.parse_args())))
        print('{"acc": 1}')
    """
    params = {"optimizer.lr": 0.5, "optimizer.sgd.momentum": 0.9, "head.width": 3}
    channel = run(tmp_path, body, params)
    assert json.loads(channel.logs[7].splitlines()[0]) == {
        "optimizer": '{"lr": 0.5, "sgd": {"momentum": 0.9}}', "head.width": 3, "head": None,
    }  # fmt: skip
    assert channel.ending == Finished(7)
    channel = run(tmp_path, body, params, command=["python", "-c", SHOW_ARGS, "${program}", "${args_json}"])
    assert json.loads(channel.logs[7].splitlines()[0])[-1] == json.dumps(params)


FLAGS = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int)
parser.add_argument("--augment", action="store_true")
parser.add_argument("--bias", action=argparse.BooleanOptionalAction)
parser.add_argument("--deep", type=bool)
parser.parse_args()
print('{"acc": 1}')
"""


def test_flags_that_would_get_a_value_are_told_with_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(FLAGS)
    booleans = {name: {"values": [True, False]} for name in ("augment", "bias", "deep", "other")}
    sweep = {
        "program": str(tmp_path / "train.py"), "metric": {"name": "acc"},
        "parameters": {"width": {"values": [1, 2]}} | booleans,
    }  # fmt: skip

    def notes(**keys: Any) -> list[str]:
        (tmp_path / "a.yaml").write_text(dump_source(sweep | keys))
        return [note for note in load_sweep(tmp_path / "a.yaml", inspect).notes if "as a flag" in note]

    found = notes()
    assert [note.split()[3] for note in found] == ["--augment", "--bias"]
    remedy = found[0].partition("write ")[2]
    assert remedy == 'command: ["${env}", "${interpreter}", "${program}", "${args_no_boolean_flags}"]'
    command = json.loads(remedy.removeprefix("command: "))
    assert notes(command=command) == []
    body, params = FLAGS.replace("\n", "\n        "), {"width": 1, "augment": True}
    assert run(tmp_path, body, params, command=command).ending == Finished(7)
    ending = run(tmp_path, body, params).ending
    assert isinstance(ending, Failed) and "write ${args_no_boolean_flags} for ${args} in 'command'" in ending.error


def test_a_sweep_without_a_metric_has_one_for_each_trial_that_comes_to_its_end(tmp_path: Path) -> None:
    from hpo.spec.names import COMPLETED

    for body, ending, reports in (
        ("print(json.dumps({'epoch': 3, 'loss': 2}))", Finished, [(3, {"loss": 2.0}), (4, {COMPLETED: 1.0})]),
        ("pass", Finished, [(1, {COMPLETED: 1.0})]),
        ("sys.exit(3)", Failed, []),
    ):
        channel = RecordingChannel()
        objective = ProgramObjective(script(tmp_path, body), None, COMPLETED, {}, folder=tmp_path)
        objective.run(Assignment(1, (TrialSpec(7, {}, 42),)), channel)
        assert isinstance(channel.ending, ending) and channel.reports == reports


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["${env}", "python", "${program}"], "passes no hyperparameters (it has no ${args})"),
        (["python", "${program}", "${args_json}"], """W&B nests it: {"optimizer": {"lr.decay": ...}}"""),
        (["python", "${program}", "${args}"], ""),
    ],
)
def test_how_a_program_gets_its_hyperparameters_is_told(tmp_path: Path, command: list[str], told: str) -> None:
    script(tmp_path, "")
    parameters = {"x": {"values": [1, 2]}, "optimizer.lr.decay": {"values": [1, 2]}}
    keys = {"metric": {"name": "acc"}, "program": str(tmp_path / "train.py"), "parameters": parameters}
    (tmp_path / "sweep.yaml").write_text(dump_source({**keys, "command": command}))
    notes = load_sweep(tmp_path / "sweep.yaml", inspect).notes
    assert any(told in note for note in notes) if told else not any("W&B" in note or "args" in note for note in notes)


def test_a_program_without_arguments_has_its_hyperparameters(tmp_path: Path) -> None:
    body = "import wandb; wandb.init(); assert len(sys.argv) == 1; wandb.log({'acc': wandb.config.lr})"
    channel = run(tmp_path, body, {"lr": 0.5}, command=["${env}", sys.executable, "${program}"])
    assert channel.reports == [(1, {"acc": 0.5})]
