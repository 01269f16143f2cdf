"""Which libraries a server loads for workers: those that the objective's module and its neighbours import."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.objective.build import inspect
from hpo.spec.named import Named

FILES = {
    "plain_one.py": "import json, math\ndef objective(trial): return math.pi",
    "late_one.py": "def objective(trial):\n    import torch\n    return 1.0",
    "neighbour_of_mine.py": "import numpy as np\nfrom scipy import optimize\nimport two_of_mine",
    "two_of_mine.py": "import neighbour_of_mine\nfrom sklearn.pipeline import make_pipeline\nanything = object()",
    "through_one.py": "from neighbour_of_mine import two_of_mine\n"
    "class Mine:\n    def __call__(self, trial): return 1.0\n"
    "objective = Mine()",
    "task_one.py": "import hpo\nclass objective(hpo.TorchTask):\n    kind = 'binary'",
}  # fmt: skip


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)


def libraries(folder: Path, objective: str, **data: object) -> set[str]:
    named = Named(objective, None, (), data, "score", ("x",), folder)
    return {name.partition("._")[0] for name in inspect(named).libraries}


def test_only_what_is_imported_is_loaded(tmp_path: Path) -> None:
    assert libraries(tmp_path, "plain_one.py") == set()
    assert libraries(tmp_path, "late_one.py") == set()
    assert "torch" in libraries(tmp_path, "task_one.py")


def test_what_neighbours_import_counts(tmp_path: Path) -> None:
    assert {name.partition(".")[0] for name in libraries(tmp_path, "through_one.py")} == {"numpy", "scipy", "sklearn"}
    (tmp_path / "all_one.py").write_text("import neighbour_of_mine\ndef objective(trial): return 1.0")
    assert {name.partition(".")[0] for name in libraries(tmp_path, "all_one.py")} == {"numpy", "scipy", "sklearn"}


def test_a_table_needs_more_than_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where no source is kept yet
    (tmp_path / "rows.csv").write_text("a,b\n" + "1,0\n2,1\n" * 20)
    source = libraries(tmp_path, "objectives.binary")
    table = libraries(tmp_path, "objectives.binary", csv=str(tmp_path / "rows.csv"), target="b")
    assert {"torch", "sklearn.datasets"} <= source
    assert table - source >= {"pandas", "sklearn.compose"}
