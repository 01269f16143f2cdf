"""Objectives that are given as objects: their names, and how they come to workers."""

from __future__ import annotations

import functools
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hpo
from hpo.objective import live
from hpo.objective.build import build, named_of
from hpo.objective.code_digest import code_digest
from hpo.objective.function import FunctionObjective
from hpo.objective.locate import locate
from hpo.spec.faults import SpecError

from review.recorded import sweep_of  # isort: skip


def of_this_module(trial: Any) -> float:
    return 1.0


def compiled(text: str, name: str = "f", module: str = "__main__") -> Any:
    """Return what a cell of a notebook would define."""
    space: dict[str, Any] = {"__name__": module}
    exec(compile(text, "<cell>", "exec"), space)
    return space[name]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program is a notebook: its module has no file."""
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    return main


@pytest.fixture
def script(notebook: ModuleType, tmp_path: Path) -> Path:
    """The program is a script."""
    path = tmp_path / "train.py"
    path.write_text("def f(trial): return 1.0\n")
    notebook.__file__ = str(path)
    notebook.f = compiled(path.read_text())  # type: ignore[attr-defined]
    return path


def test_what_a_module_has_goes_by_its_name(tmp_path: Path) -> None:
    assert live.refer(of_this_module, tmp_path) == f"{__name__}:of_this_module"
    assert live.packed(f"{__name__}:of_this_module", tmp_path) is None  # workers import it


def test_what_a_script_has_goes_by_its_file_and_is_packed(script: Path, notebook: ModuleType, tmp_path: Path) -> None:
    assert live.refer(notebook.f, script.parent) == "train.py:f"
    assert live.refer(notebook.f, tmp_path / "other") == f"{script}:f"
    content = live.packed("train.py:f", script.parent)
    assert content is not None and live.unpacked(content, "train.py:f", script.parent)(None) == 1.0


def test_a_module_that_is_run_goes_by_its_name(notebook: ModuleType, tmp_path: Path) -> None:
    notebook.__spec__ = type(sys.__spec__)("package.train", None)
    notebook.f = compiled("def f(trial): return 1.0")  # type: ignore[attr-defined]
    assert live.refer(notebook.f, tmp_path) == "package.train:f" and live.script() is None


@pytest.mark.usefixtures("notebook")
def test_what_is_nowhere_goes_by_its_code(tmp_path: Path) -> None:
    first, same = compiled("def f(trial):\n    return 1.0"), compiled("# a word\n\ndef f(trial): return 1.0")
    name = live.refer(first, tmp_path)
    assert name.startswith("__main__:f (code ") and name == live.refer(same, tmp_path)
    assert live.find(name, tmp_path) is same
    assert name != live.refer(compiled("def f(trial): return 2.0"), tmp_path)
    nested = live.refer(lambda trial: 1.0, tmp_path)
    assert nested.startswith(f"{__name__}:test_what_is_nowhere_goes_by_its_code.<locals>.<lambda> (code ")
    del first, same
    with pytest.raises(SpecError, match=r"__main__:f was given to hpo.run as an object.*call hpo.run there again"):
        locate(name, tmp_path)


HELPED = "def g(x): return x + {0}\ndef f(trial): return g(1)"
CLASS = "class f:\n    rate = {0}\n    def __call__(self, trial): return self.rate"


@pytest.mark.parametrize(
    "text",
    ["def f(trial, a={0}): return a", "def f(trial): return [i + {0} for i in (1, 2)]", HELPED, CLASS,
     "def make(a):\n    def g(trial): return a\n    return g\nf = make({0})", "def f(trial): return 1 in {{'a', {0}}}"],
)  # fmt: skip
def test_a_digest_changes_with_the_code_and_what_is_bound_to_it(text: str) -> None:
    one, again, other = (code_digest(compiled(text.format(value))) for value in (1, 1, 2))
    assert one == again != other


def test_a_digest_of_objects(tmp_path: Path) -> None:
    assert code_digest(functools.partial(of_this_module, a=1)) != code_digest(functools.partial(of_this_module, a=2))
    loop: list[Any] = [1]
    loop.append(loop)
    assert code_digest(functools.partial(of_this_module, a=loop))
    kind = compiled(CLASS.format(1))
    assert code_digest(kind()) == code_digest(kind())


def test_what_can_not_be_packed_says_what_to_do(tmp_path: Path) -> None:
    lock = threading.Lock()
    name = live.refer(given := lambda trial: lock.locked(), tmp_path)
    sweep = sweep_of(tmp_path, {"x": {"values": [1, 2]}}, objective=name)
    with pytest.raises(hpo.UserError, match=r"<lambda> can't be sent to worker processes: .*lock.*workers=0"):
        named_of(sweep)
    assert named_of(sweep, travels=False).packed is None
    objective = build(named_of(sweep, travels=False))
    assert isinstance(objective, FunctionObjective) and objective.function is given


def test_a_worker_gets_the_function_with_what_it_uses(tmp_path: Path) -> None:
    scale = 3.0

    def objective(trial: Any) -> float:
        return scale * trial

    name = live.refer(objective, tmp_path)
    named = named_of(sweep_of(tmp_path, {"x": {"values": [1, 2]}}, objective=name))
    del objective
    found = build(named)  # as a worker does, where nothing is known by this name
    assert isinstance(found, FunctionObjective) and found.function(2.0) == 6.0  # type: ignore[arg-type]


def test_an_objective_must_be_something_to_call(tmp_path: Path) -> None:
    with pytest.raises(hpo.UserError, match=r"an objective is a function or a class .* but got 3"):
        live.refer(3, tmp_path)


def test_a_call_at_import_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "unguarded_one.py").write_text("import hpo\ndef f(trial): return 1.0\nhpo.run(objective=f)\n")
    try:
        with pytest.raises(SpecError, match=r"hpo.run was called while unguarded_one.py was imported.*__main__"):
            locate("unguarded_one.py:f", tmp_path)
    finally:
        sys.modules.pop("unguarded_one", None)
