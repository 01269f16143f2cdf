"""Finding objectives by the names that sweep files give them."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpo.objective.build import build, inspect
from hpo.objective.function import FunctionObjective
from hpo.objective.locate import locate, resolve_path
from hpo.spec.faults import SpecError
from hpo.spec.named import Named

FUNCTION = "def objective(trial):\n    return {value!r}\n"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """The working directory and the sweep file's folder; imports are forgotten afterwards."""
    work, folder = tmp_path / "work", tmp_path / "folder"
    for path in (work, folder):
        path.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield work, folder
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def value_of(reference: str, folder: Path) -> Any:
    return locate(reference, folder)(None)


def refused(reference: str, folder: Path) -> str:
    with pytest.raises(SpecError) as caught:
        locate(reference, folder)
    [fault] = caught.value.faults
    assert fault.path == ("objective",)
    return f"{fault.message} ({fault.remedy})"


def test_modules_and_attributes(folders: tuple[Path, Path]) -> None:
    _, folder = folders
    (folder / "locate_one.py").write_text(FUNCTION.format(value=1) + "def other(trial):\n    return 2\n")
    assert value_of("locate_one", folder) == 1
    assert value_of("locate_one:objective", folder) == 1
    assert value_of("locate_one:other", folder) == 2
    assert value_of("locate_one.py", folder) == 1
    assert value_of("locate_one.py:other", folder) == 2
    assert value_of(f"{folder}/locate_one.py:other", folder) == 2


def test_modules_in_packages(folders: tuple[Path, Path]) -> None:
    _, folder = folders
    package = folder / "locate_package" / "inner"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("VALUE = 5\n")
    (package / "task.py").write_text("from .helper import VALUE\ndef objective(trial):\n    return VALUE\n")
    assert value_of("locate_package.inner.task", folder) == 5
    assert "there is no module 'locate_package.inner.tusk'" in refused("locate_package.inner.tusk", folder)


def test_installed_modules(folders: tuple[Path, Path]) -> None:
    assert locate("math:sqrt", folders[1])(9) == 3
    assert locate("objectives.binary", folders[1]).__name__ == "Binary"


def test_the_working_directory_goes_before_the_folder(folders: tuple[Path, Path]) -> None:
    for value, path in enumerate(folders):
        (path / "locate_both.py").write_text(FUNCTION.format(value=value))
    assert value_of("locate_both", folders[1]) == 0
    assert value_of("locate_both.py", folders[1]) == 0
    (folders[1] / "sub").mkdir()
    (folders[1] / "sub" / "locate_deep.py").write_text(FUNCTION.format(value=7))
    assert value_of("sub/locate_deep.py", folders[1]) == 7


def test_a_file_may_import_what_lies_beside_it(folders: tuple[Path, Path]) -> None:
    _, folder = folders
    (folder / "deep").mkdir()
    (folder / "deep" / "locate_beside.py").write_text("VALUE = 3\n")
    (folder / "deep" / "locate_file.py").write_text(
        "from locate_beside import VALUE\ndef objective(trial):\n    return VALUE\n"
    )
    assert value_of("deep/locate_file.py", folder) == 3
    (folder / "deep" / "locate_dots.py").write_text("from .locate_beside import VALUE\n")
    assert "locate_dots.py raised ImportError: attempted relative import" in refused("deep/locate_dots.py", folder)


def test_what_a_file_defines_can_be_pickled(folders: tuple[Path, Path]) -> None:
    (folders[1] / "locate_pickled.py").write_text(FUNCTION.format(value=4))
    function = locate("locate_pickled.py", folders[1])
    assert pickle.loads(pickle.dumps(function)) is function


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            "locate_nowhere",
            "there is no module 'locate_nowhere' (name it module:attribute or path/to/file.py:attribute)",
        ),
        ("locate_nowhere.deep:x", "there is no module 'locate_nowhere.deep'"),
        (
            "objectives.binry",
            "there is no module 'objectives.binry' (shipped: objectives.binary, objectives.cifar10, obj",
        ),
        ("nowhere.py", "there is no file nowhere.py (looked in "),
        ("/nowhere.py", "there is no file /nowhere.py"),
        ("names.py:trian", "names.py has no attribute 'trian' (did you mean 'train'?)"),
        ("names:trian", "names has no attribute 'trian' (did you mean 'train'?)"),
        ("names.py", "names.py has no attribute 'objective' (one of: other, train)"),
        ("names.py:", "names.py has no attribute "),
        ("empty.py", "empty.py has no attribute 'objective' (define it there)"),
        (".relative", "importing .relative raised TypeError"),
        ("", "importing  raised ValueError: Empty module name"),
    ],
)
def test_what_is_not_there(folders: tuple[Path, Path], reference: str, message: str) -> None:
    (folders[1] / "names.py").write_text("def train(trial): ...\ndef other(trial): ...\ndef _own(trial): ...\nX = 1\n")
    (folders[1] / "empty.py").write_text("")
    assert refused(reference, folders[1]).startswith(message)


def test_a_folder_that_is_two_is_said_once(folders: tuple[Path, Path]) -> None:
    assert refused("nowhere.py", Path()).endswith(f"(looked in {Path.cwd()})")
    assert refused("nowhere.py", folders[1]).endswith(f"(looked in {Path.cwd()} and {folders[1]})")


@pytest.mark.parametrize(
    ("content", "error", "line"),
    [
        ("def objective(trial:\n    pass\n", "SyntaxError: '(' was never closed", 1),
        ("x = 1\n\nraise RuntimeError('two\\n  lines')\n", "RuntimeError: two lines", 3),
        ("import sys\nsys.exit('done')\n", "SystemExit: done", 2),
        ("import locate_missing_library\n", "ModuleNotFoundError: No module named 'locate_missing_library'", 1),
        ("def f():\n    return 1 / 0\nf()\n", "ZeroDivisionError: division by zero", 2),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".py"])
def test_what_cannot_be_imported(folders: tuple[Path, Path], content: str, error: str, line: int, suffix: str) -> None:
    path = folders[1] / "locate_broken.py"
    path.write_text(content)
    found = refused(f"locate_broken{suffix}", folders[1])
    assert found.startswith(f"importing locate_broken{suffix} raised {error}")
    assert found.endswith(f" at {path}:{line} ()")


def named(reference: str, folder: Path, **keys: Any) -> Named:
    return Named(reference, None, (), keys.pop("data", {}), "score", ("a",), folder, **keys)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("def objective(): ...", "locate_made.py must take one argument, the trial"),
        ("def objective(trial, more): ...", "locate_made.py must take one argument, the trial"),
        ("def objective(*, trial): ...", "locate_made.py must take one argument, the trial"),
        ("objective = {}", "locate_made.py is no function and no TorchTask, but dict"),
        ("def objective(trial): ...", ""),
        ("def objective(trial, more=1, *rest, **others): ...", ""),
        ("import functools\nobjective = functools.partial(lambda a, trial: 1, 2)", ""),
        ("class Objective:\n    def __call__(self, trial): ...\nobjective = Objective()", ""),
        ("class Objective:\n    def run(self, trial): ...\nobjective = Objective().run", ""),
        ("objective = max", ""),
    ],
)
def test_signatures(folders: tuple[Path, Path], content: str, message: str) -> None:
    (folders[1] / "locate_made.py").write_text(content + "\n")
    inspection = inspect(named("locate_made.py", folders[1]))
    assert [fault.message for fault in inspection.faults] == ([message] if message else [])
    assert inspection.contract is None
    if not message:
        assert isinstance(build(named("locate_made.py", folders[1])), FunctionObjective)


def test_faults_of_the_users_own_task(folders: tuple[Path, Path]) -> None:
    head = "import hpo\nclass objective(hpo.TorchTask):\n    kind = 'binary'\n"
    for body, message in (
        ("    def __init__(self): raise RuntimeError('no')\n", "locate_task.py raised RuntimeError: no"),
        (
            "    parameters = {'momentun': None}\n",
            "locate_task.py raised ValueError: objective.parameters drops 'momentun'",
        ),
        (
            "    def check_data(self, data): return 1 / 0\n",
            "locate_task.py: check_data raised ZeroDivisionError: divis",
        ),
        (
            "    def check_data(self, data): raise hpo.UserError('so')\n",
            "locate_task.py: check_data raised UserError: so",
        ),
    ):
        (folders[1] / "locate_task.py").write_text(head + body)
        [fault] = inspect(named("locate_task.py", folders[1])).faults
        assert fault.path == ("objective",) and fault.message.startswith(message)


def test_paths_of_data_are_resolved_once(folders: tuple[Path, Path]) -> None:
    """A worker may run elsewhere; what is handed to it leads to the file from the working directory."""
    work, folder = folders
    (folder / "locate_data.py").write_text(FUNCTION.format(value=1))
    (folder / "a.csv").write_text("")
    data = {"csv": "a.csv", "root": 3, "other": "a.csv"}
    inspection = inspect(named("locate_data.py", folder, data=data))
    assert inspection.data == {"csv": str(folder / "a.csv"), "root": 3, "other": str(folder / "a.csv")}
    (work / "a.csv").write_text("")
    assert resolve_path("a.csv", folder) == Path("a.csv")
    assert resolve_path("b.csv", folder) == Path("b.csv")
    assert resolve_path(folder / "a.csv", work) == folder / "a.csv"


STUDY = "import optuna\ndef objective(trial):\n    return trial.suggest_float('x', 0, 1)\n"
RUN = "optuna.create_study().optimize(objective, n_trials=3)\n"


@pytest.mark.parametrize("place", ["own_study.py", "own_study", "pack.own_study"])
@pytest.mark.parametrize("run", [RUN, f"def main():\n    {RUN}main()\n"], ids=["open", "in a function"])
def test_a_script_that_runs_a_study_of_its_own_is_refused(place: str, run: str, folders: tuple[Path, Path]) -> None:
    work, _ = folders
    (work / "pack").mkdir()
    (work / "pack" / "__init__.py").touch()
    for folder in (work, work / "pack"):
        (folder / "own_study.py").write_text(STUDY + run)
    with pytest.raises(SpecError, match=r"study\.optimize\(\.\.\.\) of Optuna was called while .*__main__"):
        locate(f"{place}:objective", work)


@pytest.mark.parametrize(
    "more",
    [
        f'if __name__ == "__main__":\n    {RUN}',
        f"def main():\n    {RUN}",
        "class Model:\n    def optimize(self, what):\n        pass\nModel().optimize(3)\n",
    ],
)
def test_a_script_that_would_run_one_elsewhere_is_taken(more: str, folders: tuple[Path, Path]) -> None:
    work, _ = folders
    (work / "guarded.py").write_text(STUDY + more)
    assert callable(locate("guarded.py:objective", work))
