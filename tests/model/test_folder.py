"""A model's folder is there whole or not at all, whatever ends the process that writes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpo.model.folder import CONFIG, drafted, read_config, write_config
from hpo.spec.faults import UserError

# A description, as far as reading one needs it.
WHOLE = {
    "format": 1, "kind": "binary", "input": {}, "outputs": 1, "classes": None, "preprocessing": None, "weights": "w",
    "program": None,
}  # fmt: skip
KILLED = """
import os, pathlib, sys
from hpo.model.folder import drafted, write_config
if sys.argv[2] == "between":  # the old one is aside, the new one not there yet
    rename = pathlib.Path.rename
    def killed(path, target):
        if ".draft-" in path.name:
            os._exit(9)
        return rename(path, target)
    pathlib.Path.rename = killed
with drafted(pathlib.Path(sys.argv[1])) as draft:
    write_config(draft.folder, {**eval(sys.argv[3]), "which": "new"})
    if sys.argv[2] == "writing":
        os._exit(9)
"""


def put(target: Path, which: str) -> None:
    with drafted(target) as draft:
        write_config(draft.folder, {**WHOLE, "which": which})
        (draft.folder / which).touch()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["model", "mödel [1] *"])
def test_one_that_is_there_is_replaced_in_one_piece(tmp_path: Path, name: str) -> None:
    target = tmp_path / "deep" / name
    put(target, "old")
    put(target, "new")
    assert names(target) == [CONFIG, "new"] and names(target.parent) == [name]
    assert read_config(target)["which"] == "new"
    with pytest.raises(RuntimeError), drafted(target) as draft:
        (draft.folder / "half").touch()
        raise RuntimeError
    with drafted(target) as draft:
        draft.kept = False
    assert names(target) == [CONFIG, "new"] and names(target.parent) == [name]


@pytest.mark.parametrize("when", ["writing", "between"])
@pytest.mark.parametrize("before", [True, False])
def test_a_killed_writer_leaves_no_half_model(tmp_path: Path, when: str, before: bool) -> None:
    target = tmp_path / "model"
    if before:
        put(target, "old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(target), when, repr(WHOLE)], check=False)
    assert done.returncode == 9
    assert target.exists() == (before and when == "writing")
    with drafted(target) as draft:  # whoever comes next clears up
        draft.kept = False
        assert names(tmp_path) == sorted([f".model.draft-{os.getpid()}", *(["model"] if before else [])])
    if before:
        assert read_config(target)["which"] == "old" and names(target) == [CONFIG, "old"]


def test_nothing_else_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    with pytest.raises(UserError, match="is there and is no model"), drafted(tmp_path / "thesis"):
        pass
    (tmp_path / "empty").mkdir()
    put(tmp_path / "empty", "new")
    assert names(tmp_path / "empty") == [CONFIG, "new"]


def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist: a model is a folder that `hpo model STUDY` wrote"):
        read_config(tmp_path / "none")
    with pytest.raises(UserError, match="has no model"):
        read_config(tmp_path)
    for text in ("{", "[]", "{}", "1"):
        (tmp_path / CONFIG).write_text(text)
        with pytest.raises(UserError, match="is no model's description"):
            read_config(tmp_path)
    write_config(tmp_path, {key: value for key, value in WHOLE.items() if key != "preprocessing"})
    with pytest.raises(UserError, match="is no model's description: it has no 'preprocessing'"):
        read_config(tmp_path)
    write_config(tmp_path, {"format": 2})
    with pytest.raises(UserError, match="has format 2, and this release reads 1"):
        read_config(tmp_path)
