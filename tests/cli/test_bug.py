"""A bug of hpo's own while a sweep file is read: said in a line, with the traceback in a file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from hpo.cli import main as entry


@pytest.mark.parametrize("place", ["hpo.spec.load._limits", "hpo.review.outline.size_text"])
def test_no_traceback_is_shown_and_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("a slip")

    file = tmp_path / "sweep.yaml"
    file.write_text("program: run.py\nmetric: {name: score, goal: minimize}\nparameters: {x: {values: [1, 2]}}\n")
    (tmp_path / "run.py").write_text("")
    monkeypatch.setattr(place, broken)
    monkeypatch.setattr(entry, "keep_imports", lambda: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["hpo", "check", str(file)])
    with pytest.raises(SystemExit) as left:
        entry.main()
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert f"{file}:1: hpo itself failed here, by ZeroDivisionError: a slip" in said and "Traceback" not in said
    [kept] = tmp_path.glob("hpo-bug-*.txt")
    assert str(kept) in said
    assert "in broken" in kept.read_text() and "ZeroDivisionError: a slip" in kept.read_text()
