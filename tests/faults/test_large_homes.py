"""`hpo ui` over a home of 46,000 trials, as a sweep leaves it: both UIs answer in bounds. Only with HPO_LONG=1."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from running_ui import ENV, Ui

from .support import LONG
from .test_dashboards import Reloading, study_page

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not LONG, reason="takes ten minutes: HPO_LONG=1")]

TRIALS = 46_000
SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """Both UIs over what a sweep of simulated workers has recorded."""
    folder = tmp_path_factory.mktemp("large")
    command = [sys.executable, "-m", "benchmarks", "scale", "--methods", "random", "--mlflow", "with"]
    command += ["--trials", str(TRIALS), "--keep", str(folder)]
    paths = [str(SCRIPTS.parent), str(SCRIPTS)]
    subprocess.run(command, env={**ENV, "PYTHONPATH": ":".join(paths)}, check=True, timeout=3600)
    running = Ui(folder / "random-with-mlflow", "--mlflow-port", "0", "--dashboard-port", "0")
    yield running
    running.stop()


def test_the_dashboard_answers_with_all_trials(ui: Ui):
    text = Reloading.load(f"{study_page(ui)}?after=0")
    trials = json.loads(text)["trials"]
    assert len(trials) >= TRIALS  # and some that failed
    assert {trial["state"] for trial in trials} == {"Complete", "Pruned", "Fail"}
    assert len(text) / len(trials) < 2_000
    assert len(Reloading.load(f"{study_page(ui)}?after={len(trials)}")) < 20_000
    servers = [psutil.Process(process.pid).memory_info().rss for process in ui.family]
    assert max(servers) < 2**30


def test_mlflow_answers_page_by_page_in_any_order(ui: Ui):
    mlflow = ui.address("MLflow UI")
    (experiment,) = re.findall(r"/#/experiments/(\d+)/runs", ui.said)

    def runs(**more: Any) -> dict[str, Any]:
        body = {"experiment_ids": [experiment], "max_results": 100, **more}
        # Within the two minutes that it took to order them when each run was compared with each.
        return dict(json.loads(Reloading.load(f"{mlflow}/ajax-api/2.0/mlflow/runs/search", json.dumps(body).encode())))

    for order in ("attributes.start_time DESC", "metrics.`val_accuracy` DESC", "params.`rate` ASC"):
        first = runs(order_by=[order])
        second = runs(order_by=[order], page_token=first["next_page_token"])
        names = [run["info"]["run_id"] for answer in (first, second) for run in answer["runs"]]
        assert len(set(names)) == 200
    best = runs(order_by=["metrics.`val_accuracy` DESC"])["runs"][0]["data"]["metrics"]
    (accuracy,) = [metric["value"] for metric in best if metric["key"] == "val_accuracy"]
    over = runs(filter=f"metrics.val_accuracy > {accuracy}")
    assert over.get("runs", []) == []
