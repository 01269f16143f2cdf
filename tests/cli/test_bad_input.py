"""Bad input: exit code 2, file and line and remedy on standard error, no traceback, and nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .support import Hpo

pytestmark = pytest.mark.slow

SOUND = """\
name: bad
objective: objectives.binary
data: {source: synthetic}
metric: {name: val_accuracy, goal: maximize}
budget: {trials: 2, epochs: 1}
parameters:
  optimizer: {values: [sgd, adagrad]}
  learning_rate: {distribution: log_uniform_values, min: 1e-5, max: 1e-1}
  momentum: {min: 0.0, max: 0.9, when: {optimizer: sgd}}
  loss: {values: [bce, focal]}
engine: {workers: 0}
"""


def assert_refused(hpo: Hpo, tmp_path: Path, *arguments: str) -> list[str]:
    """Both `sweep` and `check` refuse, alike; returns the lines of the faults."""
    home = tmp_path / "home"
    outcome = hpo("sweep", *arguments, "--home", str(home))
    assert (outcome.code, outcome.out) == (2, "")
    assert not home.exists()
    assert not Path("mlruns").exists()
    checked = hpo("check", *arguments)
    assert (checked.code, checked.out, checked.err) == (2, "", outcome.err)
    return outcome.err.splitlines()


def fault_of(hpo: Hpo, tmp_path: Path, text: str | bytes, *overrides: str) -> str:
    """The one fault of a sweep file, from the file's name on."""
    path = tmp_path / "bad.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    options = [word for override in overrides for word in ("-o", override)]
    fault, end = assert_refused(hpo, tmp_path, str(path), *options)
    assert end == "hpo: one fault; nothing was started"
    return fault.removeprefix(f"{tmp_path}/")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("budget:", "bugdet:", "bad.yaml:5: bugdet: unknown key 'bugdet' (did you mean 'budget'?)"),
        ("trials:", "trails:", "bad.yaml:5: budget.trails: unknown key 'trails' (did you mean 'trials'?)"),
        (
            "learning_rate:",
            "leraning_rate:",
            "bad.yaml:8: parameters.leraning_rate: the objective knows no hyperparameter 'leraning_rate' "
            "(did you mean 'learning_rate'?)",
        ),
        (
            "when: {optimizer: sgd}",
            "when: {optimizer: [sgd, adagrad]}",
            "bad.yaml:9: parameters.momentum: momentum means nothing while optimizer is adagrad "
            "(add when: {optimizer: [sgd]})",
        ),
        (
            "min: 0.0, max: 0.9",
            "min: 0.9, max: 0.0",
            "bad.yaml:9: parameters.momentum.min: min < max must hold, but got min=0.9, max=0 (swap",
        ),
        (
            "min: 1e-5",
            "min: 0",
            "bad.yaml:8: parameters.learning_rate.min: min > 0 must hold on a log scale, but got min=0 "
            "(a small number such as 1e-6)",
        ),
        (
            "when: {optimizer: sgd}",
            "when: {optimiser: sgd, optimizer: sgd}",
            "bad.yaml:9: parameters.momentum.when.optimiser: 'when' names the unknown parameter 'optimiser' "
            "(did you mean 'optimizer'?)",
        ),
        (
            "engine:",
            "forbid: [{optimizer: sgd}, {optimizer: adagrad}]\nengine:",
            "bad.yaml:11: forbid: no configuration is left: 'forbid' excludes them all "
            "(loosen a clause, or widen the parameters)",
        ),
        (
            "name: val_accuracy",
            "name: val_acuracy",
            "bad.yaml:4: metric.name: the objective reports no metric 'val_acuracy' (did you mean 'val_accuracy'?)",
        ),
        (
            "{name: val_accuracy, goal: maximize}",
            "{name: val_loss, goal: minimize}",
            "bad.yaml:4: metric.name: val_loss can't be compared across trials: its scale changes with what is "
            "searched (loss) (use one of ",
        ),
        (
            "engine: {workers: 0}",
            "engine: {type: ray, address: head}",
            "bad.yaml:11: engine.address: must be auto, local or host:port (the port of `ray start --head`), but got "
            "'head'",
        ),
        (
            "objectives.binary",
            "objectives.binry",
            "bad.yaml:2: objective: there is no module 'objectives.binry' (shipped: objectives.binary,",
        ),
        (
            "source: synthetic",
            "source: syntetic",
            "bad.yaml:3: data.source: must be one of synthetic, make_classification, separable, xor, breast_cancer, "
            "but got 'syntetic' (did you mean 'synthetic'?)",
        ),
    ],
)
def test_faults_of_a_sweep_file(hpo: Hpo, tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert SOUND.count(old) == 1
    assert fault_of(hpo, tmp_path, SOUND.replace(old, new)).startswith(fault)


def test_the_sound_file_is_sound(hpo: Hpo, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(SOUND)
    outcome = hpo("check", str(tmp_path / "good.yaml"))
    assert (outcome.code, outcome.err) == (0, "")


def test_a_circle(hpo: Hpo, tmp_path: Path) -> None:
    text = SOUND.replace("[sgd, adagrad]}", "[sgd], when: {nesterov: true}}").replace(
        "  loss:", "  nesterov: {value: true, when: {optimizer: sgd}}\n  loss:"
    )
    fault = fault_of(hpo, tmp_path, text)
    assert fault == (
        "bad.yaml:7: parameters.optimizer.when: 'when' goes round in a circle: optimizer -> nesterov -> optimizer "
        "(drop one of these conditions)"
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "bad.yaml: the file is empty (see search_spaces/binary.yaml for an example)"),
        ("- a\n- b\n", "bad.yaml:1: a sweep file is a mapping of keys like 'objective:' and 'parameters:'"),
        ("a: [1\nb: 2\n", "bad.yaml:2: not valid YAML: "),
        (bytes(range(256)), "bad.yaml: this is not a text file: byte 128 is not UTF-8 (a sweep file is YAML text)"),
        (b"\x00\x01\x02", "bad.yaml: not a YAML text file: "),
        (b"\x89PNG\r\n\x1a\n\x00", "bad.yaml: this is not a text file: byte 0 is not UTF-8"),
    ],
)
def test_what_is_no_sweep_file(hpo: Hpo, tmp_path: Path, text: str | bytes, fault: str) -> None:
    assert fault_of(hpo, tmp_path, text).startswith(fault)


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("bugdet.trials=3", "bugdet: unknown key 'bugdet' (did you mean 'budget'?)"),
        ("budget.trials=many", "budget.trials: must be a whole number, but got 'many'"),
        ("parameters.lerning_rate={value: 0.1}", "parameters.lerning_rate: the objective knows no hyperpar"),
        ("engine.type=spark", "engine.type: unknown type 'spark' (one of: local, ray)"),
        ("budget", "an override is written key.path=value"),
    ],
)
def test_overrides(hpo: Hpo, tmp_path: Path, override: str, fault: str) -> None:
    first = fault_of(hpo, tmp_path, SOUND.replace("engine: {workers: 0}\n", ""), override)
    assert first.startswith(f"-o {override}: ") and fault in first


def test_engine_and_workers_options(hpo: Hpo, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(SOUND.replace("engine: {workers: 0}\n", ""))
    for options, fault in (
        (("--engine", "spark"), "engine.type: unknown type 'spark'"),
        (("--engine", "ray", "--workers", "0"), "engine.workers: must be auto or greater than 0, but got 0"),
        (("--workers", "many"), "engine.workers: must be "),
        (("--extend", "0"), "Invalid value for '--extend'"),
    ):
        outcome = hpo("sweep", str(path), *options, "--home", str(tmp_path / "home"))
        assert outcome.code == 2 and fault in outcome.err
        assert not (tmp_path / "home").exists()


def test_many_faults_at_once(hpo: Hpo, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        SOUND.replace("budget:", "bugdet:")
        .replace("learning_rate:", "leraning_rate:")
        .replace("max: 0.9", "max: -1.0")
        .replace("val_accuracy", "val_acuracy")
        .replace("synthetic", "syntetic")
        .replace("workers: 0", "type: spark")
    )
    *faults, end = assert_refused(hpo, tmp_path, str(path))
    assert [int(fault.split(":")[1]) for fault in faults] == [3, 4, 5, 8, 9, 11]
    assert end == "hpo: 6 faults; nothing was started"


OBJECTIVES = {
    "nowhere": (None, "there is no module 'nowhere' (name it module:attribute or path/to/file.py:attribute)"),
    "nowhere.py": (None, "there is no file nowhere.py (looked in "),
    "broken_syntax.py": (
        "x = 1\ndef objective(trial:\n",
        "importing broken_syntax.py raised SyntaxError: '(' was never",
    ),
    "raises_at_import.py": (
        "x = 1\n\nx / 0\n",
        "importing raises_at_import.py raised ZeroDivisionError: division by z",
    ),
    "exits_at_import.py": ("import sys\nsys.exit(3)\n", "importing exits_at_import.py raised SystemExit: 3 at "),
    "lacks_module.py": (
        "import no_such_library\n",
        "importing lacks_module.py raised ModuleNotFoundError: No module na",
    ),
    "other_name.py:objektive": (
        "def objective(trial): return 1\n",
        "other_name.py has no attribute 'objektive' (did you mean 'objective'?)",
    ),
    "no_function.py": ("objective = 3\n", "no_function.py is no function and no TorchTask, but int"),
    "two_arguments.py": (
        "def objective(a, b): ...\n",
        "two_arguments.py must take one argument, the trial (def objective(trial): ...)",
    ),
    "bad_task.py": (
        "import hpo\nclass objective(hpo.TorchTask):\n    kind = 'binary'\n"
        "    def __init__(self): raise RuntimeError('no luck')\n",
        "bad_task.py raised RuntimeError: no luck",
    ),
    "bad_check.py": (
        "import hpo\nclass objective(hpo.TorchTask):\n    kind = 'binary'\n"
        "    def check_data(self, data): return data['missing']\n",
        "bad_check.py: check_data raised KeyError: 'missing'",
    ),
}


@pytest.mark.parametrize("reference", OBJECTIVES)
def test_objectives_that_cannot_be_had(hpo: Hpo, tmp_path: Path, reference: str) -> None:
    content, fault = OBJECTIVES[reference]
    if content is not None:
        (tmp_path / reference.partition(":")[0]).write_text(content)
    found = fault_of(
        hpo, tmp_path, f"metric: {{name: x, goal: minimize}}\nobjective: {reference}\nparameters: {{a: {{value: 1}}}}\n"
    )
    assert found.startswith(f"bad.yaml:2: objective: {fault}")
    for word, line in (("syntax", 2), ("raises", 3), ("exits", 2)):  # where in the user's own file
        if word in reference:
            assert found.endswith(f"{tmp_path / reference}:{line}")


GOOD_ROWS = "\n".join(f"{n},{n % 3},{n % 2}" for n in range(30))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "data.csv: must name a CSV file, but "),
        (
            f"a,b,lfet\n{GOOD_ROWS}\n",
            "data.target: there is no column 'left' (did you mean 'lfet'? columns: a, b, lfet)",
        ),
        ("a,left\n" + "1,\n" * 30, "data.target: the target 'left' must have values, but it is empty in all 30 rows"),
        ("a,left\n" + "1,yes\n" * 30, "data.target: the target 'left' must vary, but it is 'yes' in every row"),
        (
            "a,left\n" + "1,a\n2,b\n3,c\n" * 20,
            "data.target: binary needs exactly two classes, but 'left' has 3: a, b, c ",
        ),
        ("a,left\n", "data.csv: must have rows, but "),
        ("", "data.csv: must have a header and rows, but "),
        (b"\x89PNG\r\n\x1a\n\x00", "data.csv: must be text in UTF-8, but "),
        (b"a,left\n\x00\x01,1\n", "data.csv: must be a CSV file, but "),
        ("a;left\n1;0\n2;1\n", "data.csv: fields must be separated by ',', but the header looks separated by ';'"),
    ],
)
def test_tables(hpo: Hpo, tmp_path: Path, content: str | bytes | None, fault: str) -> None:
    if content is not None:
        (tmp_path / "table.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    text = SOUND.replace("{source: synthetic}", "{csv: table.csv, target: left}")
    assert fault_of(hpo, tmp_path, text).startswith(f"bad.yaml:3: {fault}")


def test_a_home_that_cannot_be_written(hpo: Hpo, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "good.yaml").write_text(SOUND)
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        outcome = hpo("sweep", str(tmp_path / "good.yaml"), "--home", str(home))
        assert (outcome.code, outcome.out) == (2, "")
        assert f"hpo: the home folder {home} can't be written: " in outcome.err
        assert "(choose another with --home DIR)" in outcome.err
    assert (tmp_path / "file").read_text() == ""


def test_no_such_sweep_file(hpo: Hpo, tmp_path: Path) -> None:
    [line] = assert_refused(hpo, tmp_path, "nowhere.yaml")
    shipped = "(shipped: binary, cifar10, multiclass, regression, sequence, table, and "
    assert line.startswith(f"hpo: nowhere.yaml: there is no such file {shipped}")
    [fault] = assert_refused(hpo, tmp_path, str(tmp_path))
    assert fault == f"hpo: {tmp_path}: this is a folder, not a sweep file"
    [long] = assert_refused(hpo, tmp_path, "x" * 300)
    assert "there is no such file" in long


@pytest.mark.parametrize("arguments", [("sweep", "bad.yaml"), ("check", "bad.yaml"), ("sweep",), ("chek",)])
def test_as_a_process(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "bad.yaml").write_text(SOUND.replace("budget:", "bugdet:"))
    command = [sys.executable, "-c", "from hpo.cli.main import main; main()", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean" in done.stderr or "Missing argument 'FILE'" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]
