"""Where a report is written, by whom, and what becomes of it in MLflow."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from cli.support import run_hpo
from review.recorded import complete

from hpo.ledger.study.home import Home
from hpo.report import report
from hpo.report.report import write_report
from hpo.review.studies import read_study
from hpo.spec.faults import UserError

from .studies import NAME, home_of

SPACE = {"x": {"min": 0.0, "max": 1.0}}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A study that MLflow does not know."""
    return home_of(tmp_path, [complete(i / 8, x=i / 8) for i in range(4)], SPACE)


def test_the_command(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(home.path.parent)
    done = run_hpo(("report", NAME, "--home", str(home.path)), monkeypatch, capsys)
    page = home.reports / f"{NAME}.html"
    assert done.code == 3 and "not logged to MLflow: MLflow has no run of this study yet" in done.err
    assert done.out.splitlines()[0] == f"report    {page}" and page.read_text().endswith("</html>\n")
    plots = home.reports / f"{NAME}-plots"
    assert done.out.splitlines()[1] == f"plots     {plots} ({len(list(plots.iterdir()))} PNG files)"
    for arguments, said in (
        ((NAME[:-1],), f"there is no study {NAME[:-1]!r}"),
        ((NAME, "--output", "no/such/folder.html"), "folder.html can't be written: No such file or directory"),
        ((NAME, "--output", "."), "can't be written: Is a directory"),
    ):
        failed = run_hpo(("report", *arguments, "--home", str(home.path)), monkeypatch, capsys)
        assert (failed.code, failed.out) == (2, "") and said in failed.err, failed.err
    assert "did you mean" in run_hpo(("report", NAME[:-1], "--home", str(home.path)), monkeypatch, capsys).err


def test_an_earlier_report_is_replaced_with_its_plots(home: Home, tmp_path: Path) -> None:
    page, plots = tmp_path / "mine.html", tmp_path / "mine-plots"
    plots.mkdir()
    (plots / "contour.png").write_bytes(b"of an earlier report")
    (plots / "notes.txt").write_text("mine")
    page.write_text("old")
    done = write_report(home, NAME, page)
    assert page.read_text().startswith("<!DOCTYPE html>") and done.page == page
    assert (plots / "notes.txt").exists() and not (plots / "contour.png").exists()
    assert done.pictures == len(list(plots.glob("*.png"))) > 3


def test_a_full_disk_leaves_the_earlier_page(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "mine.html"
    page.write_text("old")

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(report, "write_whole", full)
    with pytest.raises(UserError, match=r"mine\.html can't be written: No space left on device"):
        write_report(home, NAME, page)
    assert page.read_text() == "old" and not list(tmp_path.glob(".mine*"))


def test_of_a_confirmation_there_is_none(tmp_path: Path) -> None:
    study = home_of(tmp_path, [complete(0.5, x=0.5)], SPACE)
    recorded = read_study(study, NAME)
    confirms: dict[str, Any] = {"study": "first", "study_id": "i", "contenders": [], "seeds": [1], "takes_seed": True}
    confirms |= {"outputs": False}
    recorded.storage.set_study_user_attr(recorded.storage.get_study_id_from_name(NAME), "confirms", confirms)
    with pytest.raises(UserError, match="confirms 'first': the report of that one"):
        write_report(study, NAME)
