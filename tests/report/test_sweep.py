"""A sweep's report: written at its end, logged to its run, replaced when the study has grown."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.support import Place, environment

import hpo
from hpo.ledger.sharing.ownership import owned
from hpo.ledger.study.home import Home
from hpo.report.report import write_report
from hpo.review.studies import read_study

from .studies import NAME

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("swept"))
    path = place.write("parabola", name=NAME, report=True, engine={"workers": 1})
    done = place.run("sweep", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"report    {place.home.reports / NAME}.html" in done.stdout
    assert "mlflow    report.html, an artefact of the sweep's run" in done.stdout
    return place


def no_luck(trial: hpo.Trial) -> float:
    raise ValueError(f"no luck with {trial.number}")


def test_of_a_sweep_that_failed_there_is_one_too(tmp_path: Path) -> None:
    """And hpo.run writes it before it raises."""
    with pytest.raises(hpo.SweepFailed) as failed:
        hpo.run(
            objective=no_luck, parameters={"x": {"min": 0.0, "max": 1.0}}, metric="loss", budget={"failures": 2},
            trials=4, workers=0, report=True, progress=False, home=Place(tmp_path).home.path,
        )  # fmt: skip
    page = (failed.value.result.path / "reports" / "no_luck.html").read_text()
    assert "No trial has a value yet: the study has 3 failed trials." in page and "ValueError: no luck with #" in page


def square(trial: hpo.Trial) -> float:
    return float(trial.params["x"]) ** 2


def test_a_fault_of_the_report_costs_no_finished_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def falls(*arguments: object) -> None:
        raise ZeroDivisionError("of our own")

    monkeypatch.setattr("hpo.report.report.rendered", falls)
    with pytest.warns(RuntimeWarning, match="'square' has no report: Traceback(.|\n)*ZeroDivisionError: of our own"):
        result = hpo.run(
            objective=square, parameters={"x": {"min": 0.0, "max": 1.0}}, metric="loss", trials=2,
            workers=0, report=True, progress=False, home=Place(tmp_path).home.path,
        )  # fmt: skip
    assert result.best is not None and result.best.number in (0, 1)


def logged(place: Place) -> str:
    """Return the page that MLflow has."""
    parent, _ = place.runs(NAME)
    folder = Path(place.client().download_artifacts(parent.info.run_id, ""))
    assert (folder / "report" / "best-so-far.png").read_bytes().startswith(b"\x89PNG")
    return (folder / "report.html").read_text()


def test_it_is_written_at_the_end_and_logged(place: Place) -> None:
    page = (place.home.reports / f"{NAME}.html").read_text()
    assert logged(place) == page and "6 of 6 trials" in page
    doctor = place.run("doctor", NAME)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr


def test_a_grown_study_has_another_one(place: Place) -> None:
    result = json.loads(place.run("sweep", place.folder / "sweep.yaml", "--extend", "2", "--json",
                                  "-o", "report=false").stdout)  # fmt: skip
    assert "6 of 6 trials" in logged(place)
    page = hpo.load(NAME, place.home.path).report()
    assert page == place.home.reports / f"{NAME}.html"
    assert "8 of 8 trials" in page.read_text() and logged(place) == page.read_text()
    assert f"trial {result['best']['number']}, complete" in page.read_text()


def test_while_somebody_runs_it_mlflow_is_left_alone(place: Place, tmp_path: Path) -> None:
    study = read_study(place.home, NAME)
    with owned(place.home, study.sweep, study.storage), pytest.warns(RuntimeWarning, match="not logged to MLflow"):
        page = hpo.load(NAME, place.home.path).report(tmp_path / "now.html")
    assert page.exists()


def test_a_server_that_is_away(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Home(place.home.path, tracking="http://me:Pa55wort@127.0.0.1:9")
    done = write_report(away, NAME, tmp_path / "away.html")
    assert "http://127.0.0.1:9 does not answer: " in done.unlogged and done.page.exists()
    assert "Pa55" not in done.unlogged + done.page.read_text()


def test_a_home_that_can_not_be_written(place: Place, tmp_path: Path) -> None:
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs root and unshare: the superuser writes to any other file")
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && ! touch "$0/x" 2>/dev/null || exit 77'
    command = [sys.executable, "-m", "hpo", "report", NAME, "--home", str(place.home.path)]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{mount}; exec "$@"', str(place.home.path), *command],
        env=environment(), text=True, capture_output=True, timeout=240, cwd=tmp_path,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip("no read-only mounts here")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "the home can't be written (Read-only file system): the report is in this folder" in done.stderr
    assert "not logged to MLflow: the home folder" in done.stderr
    assert (tmp_path / f"{NAME}.html").read_text().startswith("<!DOCTYPE html>")
