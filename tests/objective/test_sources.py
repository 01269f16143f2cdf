"""Which files an objective's values depend on, and what of a change to them counts."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo.ledger.study.restored import origin_of
from hpo.objective.build import inspect
from hpo.objective.code_text import Counting
from hpo.objective.sources import sources_of
from hpo.spec.load import load_sweep
from hpo.spec.named import Named


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Named]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("")
    (tmp_path / "lib" / "net.py").write_text("from . import parts\nfrom .parts import size\n")
    (tmp_path / "lib" / "parts.py").write_text("size = 3  # of it\n")
    (tmp_path / "lib" / "unused.py").write_text("x = 1\n")

    def named(objective: str | None = "train.py:objective", program: str | None = None, data: Any = None) -> Named:
        return Named(objective, program, (), data or {}, "score", (), tmp_path)

    return named


def test_files_that_are_imported_from_the_users_folders(named: Callable[..., Named]) -> None:
    files = {"train.py", "lib/__init__.py", "lib/net.py", "lib/parts.py"}
    assert set(sources_of(named())) == files
    assert set(sources_of(named("train:objective"))) == files
    assert set(sources_of(named("lib.parts:size"))) == {"lib/__init__.py", "lib/parts.py"}
    assert set(sources_of(named(None, "train.py"))) == files


def test_the_platforms_own_code_is_none_of_them(named: Callable[..., Named]) -> None:
    Path("mine.py").write_text("import hpo\nfrom hpo import TorchTask\nimport os, json, sklearn.base\n")
    assert set(sources_of(named("mine.py:Mine"))) == {"mine.py"}
    assert sources_of(named("__main__:objective (code 1a2b3c4d)")) == {}


TRAIN = """import numpy
from lib import net
SCALE = 2.0
TABLE = {"a": 1}
TABLE["b"] = 2
TABLE.update(c=3)
def _inner(x):
    return x * SCALE + TABLE["a"]
def objective(trial):
    "Train."
    return _inner(net.size)
"""
CHANGES = {
    "a value of another module": ("lib/parts.py", "size = 4\n", True),
    "a comment": ("lib/parts.py", "# it\nsize = 3\n\n", False),
    "a file that nobody imports": ("lib/unused.py", "x = 2\n", False),
    "a package that holds a module": ("lib/__init__.py", "import os\n", True),
    "the function": ("train.py", TRAIN.replace("return _inner", "return 100 + _inner"), True),
    "what it uses": ("train.py", TRAIN.replace("x * SCALE", "x + SCALE"), True),
    "a constant that this uses": ("train.py", TRAIN.replace("SCALE = 2.0", "SCALE = 3.0"), True),
    "a key of a constant": ("train.py", TRAIN.replace('TABLE["b"] = 2', 'TABLE["b"] = 4'), True),
    "a method of a constant": ("train.py", TRAIN.replace("update(c=3)", "update(c=4)"), True),
    "a constant behind a sweep": ("train.py", TRAIN.replace("SCALE = 2.0\n", "hpo.run(f)\nSCALE = 2.0\n"), False),
    "its docstring": ("train.py", TRAIN.replace("Train.", "It trains."), False),
    "layout": ("train.py", TRAIN.replace("return _inner(net.size)", "return _inner(\n        net.size)"), False),
    "another function": ("train.py", TRAIN + "def plot():\n    return 1\n", False),
    "what runs as a program": ("train.py", TRAIN + "if __name__ == '__main__':\n    import lib.unused\n", False),
    "a script's own sweep": ("train.py", TRAIN + "N = 30\nresult = hpo.run(objective=objective, trials=N)\n", False),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_counts_as_a_change(named: Callable[..., Named], change: str) -> None:
    file, text, counts = CHANGES[change]
    before = sources_of(named())
    Path(file).write_text(text)
    assert (sources_of(named()) != before) is counts


def test_all_of_a_program_counts(named: Callable[..., Named]) -> None:
    Path("run.py").write_text("if __name__ == '__main__':\n    print(1)\n")
    before = sources_of(named(None, "run.py"))
    Path("run.py").write_text("if __name__ == '__main__':\n    print(2)\n")
    assert sources_of(named(None, "run.py")) != before
    Path("run.sh").write_text("echo 1\n")
    before = sources_of(named(None, "run.sh"))
    Path("run.sh").write_text("echo 2\n")
    assert set(before) == {"run.sh"} and sources_of(named(None, "run.sh")) != before


def test_files_of_data(named: Callable[..., Named], monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("one", "two", "csv"):
        Path(folder).mkdir()
        Path(folder, "rows.csv").write_text("a,y\n1,2\n")
    os.mkfifo("pipe.csv")
    others = ["csv", "pipe.csv", "/dev/zero", "~", ".", "none.csv"]
    data = {"csv": "one/rows.csv", "more": [{"csv": "two/rows.csv"}, *others],
            "target": "y", "rows": 5}  # fmt: skip
    code = set(sources_of(named()))
    before = sources_of(named(data=data))
    assert set(before) - code == {"one/rows.csv", "two/rows.csv"}
    Path("two/rows.csv").write_text("a,y\n1,3\n")
    after = sources_of(named(data=data))
    assert {name for name in after if before[name] != after[name]} == {"two/rows.csv"}

    monkeypatch.setattr("hpo.objective.sources._WHOLE", 1000)
    monkeypatch.setattr("hpo.objective.sources._BLOCK", 64)
    content = bytearray(range(256)) * 100
    Path("one/rows.csv").write_bytes(content)
    large = sources_of(named(data=data))["one/rows.csv"]
    content[-1] ^= 1
    Path("one/rows.csv").write_bytes(content)
    assert sources_of(named(data=data))["one/rows.csv"] != large


def test_files_of_one_name_from_elsewhere_are_told_apart(named: Callable[..., Named], tmp_path: Path) -> None:
    folders = [tmp_path / "elsewhere" / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "rows.csv").write_text("1\n")
    inside = tmp_path / "inside"
    inside.mkdir()
    given = dataclasses.replace(named(None, "true", [str(folder / "rows.csv") for folder in folders]), folder=inside)
    os.chdir(inside)
    for folder in folders:
        before = sources_of(given)
        assert set(before) == {"rows.csv"}
        (folder / "rows.csv").write_text("2\n")
        assert sources_of(given) != before


def test_deep_code_and_what_is_no_code(named: Callable[..., Named]) -> None:
    terms = " + ".join(["x"] * 3000)
    Path("deep.py").write_text(f"def objective(trial):\n    return {terms}\n")
    before = sources_of(named("deep.py:objective"))
    Path("deep.py").write_text(f"def objective(trial):\n    return {terms} + y\n")
    assert before != sources_of(named("deep.py:objective")) != {}


def test_the_text_of_code_is_the_same_in_each_release_of_python() -> None:
    module = ast.parse(
        "class A(B):\n    def f(self, x: int = 3, *y) -> str:\n        return f'{x!r:>4}' if x else None\n"
    )
    digest = hashlib.sha256(Counting("A", False).text(module).encode()).hexdigest()
    assert digest[:8] == "539d4db2"


def test_data_beside_the_sweep_file_wherever_it_is_run_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The objective gets its path whole; the study's identity and digests know it as it is written."""
    (tmp_path / "rows").write_text("1 2 3")
    (tmp_path / "reads.py").write_text(
        "def objective(trial):\n    return float(open(trial.data['train_file']).read()[0])\n"
    )
    (tmp_path / "sweep.yaml").write_text(
        "objective: reads.py\nmetric: {name: y, goal: maximize}\nparameters: {x: {min: 0.0, max: 1.0}}\n"
        "data: {train_file: rows, source: rows}\nbudget: {trials: 1}\n"
    )
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        sweep = load_sweep(tmp_path / "sweep.yaml", inspect, ())
        assert dict(sweep.data) == {"train_file": str(tmp_path / "rows"), "source": "rows"}
        found.append((sweep.identity(), dict(sweep.written.sources), origin_of(sweep)["data"]))
    assert found[0] == found[1]
    assert found[0][0]["data"] == {"train_file": "rows", "source": "rows"}
    assert found[0][1].keys() == {"reads.py", "rows"}
    assert str(tmp_path) not in str(found[0])
