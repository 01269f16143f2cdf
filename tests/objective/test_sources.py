"""Which files an objective's values depend on, and what of a change to them counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo.objective.sources import sources_of
from hpo.spec.load import Named


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Named]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(
        "import numpy\nfrom lib import net\ndef objective(trial):\n    return net.size\n"
    )
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
    assert set(sources_of(named("lib.net:thing"))) == files - {"train.py"}
    assert set(sources_of(named(None, "train.py"))) == files


def test_the_platforms_own_code_is_none_of_them(named: Callable[..., Named]) -> None:
    Path("mine.py").write_text("import hpo\nfrom hpo import TorchTask\nimport os, json, sklearn.base\n")
    assert set(sources_of(named("mine.py:Mine"))) == {"mine.py"}
    assert sources_of(named("__main__:objective (code 1a2b3c4d)")) == {}


CHANGES = {
    "a value": ("lib/parts.py", "size = 4\n", True),
    "a comment": ("lib/parts.py", "# it\nsize = 3\n\n", False),
    "a file that nobody imports": ("lib/unused.py", "x = 2\n", False),
    "a function": ("train.py", "from lib import net\ndef objective(trial):\n    return 100 + net.size\n", True),
    "an import": (
        "train.py",
        "import numpy\nfrom lib import net, unused\ndef objective(trial):\n    return net.size\n",
        True,
    ),
    "what runs as a program": (
        "train.py",
        "import numpy\nfrom lib import net\ndef objective(trial):\n    return net.size\n"
        "if __name__ == '__main__':\n    print(objective(None))\n",
        False,
    ),
    "a script's own sweep": (
        "train.py",
        "import numpy\nfrom lib import net\ndef objective(trial):\n    return net.size\n"
        "result = hpo.run(objective=objective, trials=30)\nprint(result)\n",
        False,
    ),
}


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


def test_files_and_folders_of_data(named: Callable[..., Named], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("rows.csv").write_text("a,y\n1,2\n")
    Path("pictures").mkdir()
    Path("pictures/1.bin").write_bytes(b"12")
    data = {"csv": "rows.csv", "more": [{"root": "pictures"}], "target": "y", "source": "synthetic", "rows": 5}
    before = sources_of(named(data=data))
    assert {"rows.csv", "pictures"} <= set(before)
    Path("rows.csv").write_text("a,y\n1,3\n")
    after = sources_of(named(data=data))
    assert {name for name in after if before[name] != after[name]} == {"rows.csv"}
    Path("pictures/2.bin").write_bytes(b"")
    assert sources_of(named(data=data))["pictures"] != before["pictures"]

    monkeypatch.setattr("hpo.objective.sources._WHOLE", 1000)
    monkeypatch.setattr("hpo.objective.sources._BLOCK", 64)
    content = bytearray(range(256)) * 100
    Path("rows.csv").write_bytes(content)
    large = sources_of(named(data=data))["rows.csv"]
    content[-1] ^= 1
    Path("rows.csv").write_bytes(content)
    assert sources_of(named(data=data))["rows.csv"] != large
