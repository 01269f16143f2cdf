"""Both dashboards are open and reload all the time, over the stores that a sweep writes: neither breaks the other."""

from __future__ import annotations

import json
import re
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import TimeoutExpired

import pytest
from e2e.support import Place
from postgresql import postgresql
from running_ui import Ui
from waiting import wait_for

from .support import LONG, everybody, finish, kill, started

pytestmark = pytest.mark.slow

TRIALS = 2000 if LONG else 30


class Reloading:
    """Clients that load what a dashboard's pages load, each as soon as it has the last answer."""

    def __init__(self, ui: Ui) -> None:
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._over = threading.Event()
        mlflow, dashboard = ui.address("MLflow UI"), ui.address("Optuna dashboard")
        runs = {"experiment_ids": ["1"], "max_results": 1000, "order_by": ["attributes.start_time DESC"]}
        pages = {
            "runs": (f"{mlflow}/ajax-api/2.0/mlflow/runs/search", json.dumps(runs).encode()),
            "experiments": (f"{mlflow}/ajax-api/2.0/mlflow/experiments/search?max_results=25", None),
            "study": (f"{study_page(ui)}?after=0", None),
            "studies": (f"{dashboard}/api/studies", None),
        }
        self._threads = [
            threading.Thread(target=self._reload, args=(name, *page), daemon=True) for name, page in pages.items()
        ]

    def _reload(self, name: str, url: str, body: bytes | None) -> None:
        while not self._over.is_set():
            try:
                self.load(url, body)
            except OSError as error:  # an answer of 500, too
                self.faults.append(f"{name}: {error}")
                return
            self.counts[name] += 1

    @staticmethod
    def load(url: str, body: bytes | None = None) -> str:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return str(answer.read().decode())

    def __enter__(self) -> Reloading:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(120)


def study_page(ui: Ui) -> str:
    """Return where the Optuna dashboard's page of the study gets its trials."""
    (number,) = re.findall(r"/dashboard/studies/(\d+)$", ui.said, re.MULTILINE)
    return f"{ui.address('Optuna dashboard')}/api/studies/{number}"


def completed(ui: Ui) -> int:
    """Return how many complete trials the Optuna dashboard shows."""
    study = json.loads(Reloading.load(study_page(ui)))
    return [trial["state"] for trial in study["trials"]].count("Complete")


@contextmanager
def dashboards(place: Place, *arguments: str) -> Iterator[Ui]:
    ports = ("--mlflow-port", "0", "--dashboard-port", "0")
    ui = Ui(place.home.path, *ports, *arguments, seconds=3600 if LONG else 300)
    try:
        yield ui
    finally:
        kill(everybody(ui.process.pid))
        with suppress(TimeoutExpired, ValueError):
            ui.finish()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(params=["journal", "sqlite", *(["postgresql"] if LONG else [])])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """The options that say where studies are."""
    if request.param == "postgresql":
        with postgresql() as url:
            yield ["--storage", url]
    else:
        yield ["--storage", f"sqlite:///{tmp_path / 'studies.db'}"] if request.param == "sqlite" else []


def test_open_dashboards_break_no_sweep(place: Place, storage: list[str]):
    path = place.write("parabola")
    finish(place, path, *storage, "-o", "budget.trials=2")  # so that there is something to show
    with dashboards(place, *storage) as ui:
        with Reloading(ui) as reloading:
            wait_for(lambda: len(reloading.counts) == 4 or bool(reloading.faults), "a first answer to each")
            before = Counter(reloading.counts)
            with started(place, "sweep", path, *storage, "-o", f"budget.trials={TRIALS}") as process:
                output, errors = process.communicate(timeout=900 if LONG else 240)
            assert process.returncode == 0, output + errors
            assert errors == ""  # "can't be written for now", "database is locked"
            during = reloading.counts - before
        wait_for(lambda: completed(ui) == TRIALS, "all trials in the dashboard, which keeps answers for some seconds")
    assert reloading.faults == []
    assert set(during) == set(reloading.counts), "nobody reloaded while the sweep ran"
    for log in place.home.logs.rglob("*.log"):
        assert "database is locked" not in log.read_text(), log

    doctor = place.run("doctor", "small", *storage)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert f"{TRIALS:,} trials" in doctor.stdout
    assert f"{TRIALS} complete" in output
