"""How long a person waits for each page of `hpo ui` over a large study, in a real Chromium.

The study is that of `scale`: random search with ASHA in simulated time, with all that a sweep writes into MLflow. Each
page is opened by the link that the first page or a note has, in a browser that was never there, until what it is opened
for is seen. `first`: after `hpo ui` has started; the others come when the servers have read the study.

`--keep FOLDER` makes the study there, or takes the one that is there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ui_browser import Uis, chromium, hpo_ui

from benchmarks.common import PYTHON, CheckFailed, Stat, print_table, say, temporary
from benchmarks.scale import METRIC, Job, alone, measure, prepare

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

STUDY = "scale"
PATIENCE = 120_000  # milliseconds
BOUND = 10.0  # seconds that a page may take
Seen = Callable[["Page"], "Locator"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own option."""
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the home there, and measure it again later")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`. Raises CheckFailed if a page takes longer than BOUND."""
    trials = options.trials or (300 if options.quick else 10_000)
    with temporary() if options.keep is None else nullcontext(options.keep) as folder:
        made(folder, trials)
        best = best_trial(folder)
        began = time.monotonic()
        with hpo_ui(folder) as uis, chromium() as browser:
            started = time.monotonic() - began
            times: dict[str, list[float]] = {}
            for repeat in range(1 + options.repeats):
                for name, address, seen in pages(uis, best):
                    times.setdefault(name, []).append(opened(browser, address, seen))
                    say(f"{name}: {times[name][-1]:.1f} s" + ("" if repeat else " (the first time)"))
    results["pages"] = {"started": started, "seconds": times}
    rows = [[name, took[0], Stat(tuple(took[1:]))] for name, took in times.items()]
    title = f"a study of {trials:,} trials; hpo ui was there after {started:.1f} s"
    print_table(title, ["page", "first s", f"s, {options.repeats} times"], rows)
    if late := {name: max(took) for name, took in times.items() if max(took) > BOUND}:
        raise CheckFailed(f"longer than {BOUND:.0f} s: {late}")


def made(folder: Path, trials: int) -> None:
    """Make the study, unless it is there."""
    if (folder / "studies.journal").exists():
        say(f"the study in {folder} is taken")
        return
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    alone(prepare, folder)
    alone(measure, Job("random", mlflow=True, workers=1000, trials=trials), folder)
    say(f"{trials:,} trials made in {time.monotonic() - began:.0f} s")


def best_trial(folder: Path) -> int:
    """Return the number of the best trial."""
    command = [PYTHON, "-m", "hpo", "best", STUDY, "--format", "json", "--home", folder]
    return int(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["number"])


def pages(uis: Uis, best: int) -> list[tuple[str, str, Seen]]:
    """Return each page: its name, its address, and what is waited for."""
    plot = ".js-plotly-plot .scatterlayer path"
    return [
        ("all studies", uis.front, lambda page: page.get_by_role("row").filter(has_text=STUDY)),
        ("MLflow: the sweep's run", uis.page("mlflow", STUDY), lambda page: page.get_by_text(f"best {METRIC} ").first),
        ("MLflow: table of runs", uis.page("runs", STUDY), lambda page: page.get_by_text(f"{STUDY} {best:04d}").first),
        ("MLflow: charts", uis.page("charts", STUDY), lambda page: page.get_by_text("Parallel Coordinates").first),
        (
            "MLflow: a trial's run",
            uis.page("mlflow", STUDY, best),
            lambda page: page.get_by_text(f"Trial {best}: complete").first,
        ),
        ("dashboard: the study", uis.page("dashboard", STUDY), lambda page: page.locator(plot).first),
        (
            "dashboard: a trial",
            uis.page("dashboard", STUDY, best),
            lambda page: page.get_by_text("rank 1 of").first,
        ),
    ]


def opened(browser: Browser, address: str, seen: Seen) -> float:
    """Return the seconds until what a page is opened for is seen, in a browser that knows nothing of it."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    began = time.monotonic()
    page.goto(address, timeout=PATIENCE)
    seen(page).wait_for(timeout=PATIENCE)
    took = time.monotonic() - began
    context.close()
    return took
