"""scripts/sweep, with a setup and an hpo that only say what they are told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "a clone"
    files = {"scripts/setup": "", ".venv/bin/hpo": "printf '%s\\n' \"$@\"", "search_spaces/binary.yaml": ""}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\n{text}\n")
        path.chmod(0o755)
    shutil.copy(SCRIPTS / "sweep", root / "scripts" / "sweep")
    return root


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["binary"], True),
        (["search_spaces/binary"], True),
        (["binary", "-o", "seed=1"], True),
        (["--quiet", "binary"], True),
        (["mine.yaml"], True),
        (["a file"], True),
        ([], False),
        (["--quiet"], False),
        (["--home", "binary"], False),
        (["--engine", "local", "--workers", "2"], False),
        (["-o", "data.csv=binary.yaml"], False),
    ],
)
def test_a_sweep_file_is_found_among_the_arguments(
    root: Path, tmp_path: Path, arguments: list[str], named: bool
) -> None:
    (tmp_path / "a file").write_text("")
    done = subprocess.run(
        [root / "scripts" / "sweep", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    default = [] if named else [f"{root}/search_spaces/binary.yaml"]
    assert done.stdout.splitlines() == ["sweep", *default, *arguments]
