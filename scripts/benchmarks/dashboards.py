"""What open dashboards cost a sweep: `hpo ui` beside it, and clients that load its pages again and again.

A trial sleeps as if a GPU trained, so that it is the stores that are measured, and what is left of the processor: the
dashboards use it, too. The time is from the first trial's start until the sweep is closed with all of MLflow written.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import HPO, CheckFailed, Stat, interleaved, print_table, ratios, temporary
from benchmarks.ours import read_stores, sweep

REPORTS, SLEEP = 20, 0.02
WAYS = {"closed": None, "reloaded each second": 1.0, "reloaded without a pause": 0.0}  # seconds between loads

OBJECTIVE = f'''\
"""Reports {REPORTS} times, and waits meanwhile."""

import time


def objective(trial):
    for step in range(1, {REPORTS} + 1):
        time.sleep({SLEEP})
        trial.report(step, score=trial.params["x"] / step)
'''

SWEEP = """\
name: waits
objective: {objective}
metric: {{name: score, goal: minimize}}
method: tpe
budget: {{trials: 1}}
seed: {seed}
engine: {{workers: 2}}
parameters:
  x:    {{min: -1.0, max: 1.0}}
  rate: {{distribution: log_uniform_values, min: 1e-5, max: 1e-1}}
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """This suite has no options of its own."""


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`."""
    trials = options.trials or (10 if options.quick else 100)
    with temporary() as folder:
        ways = {name: partial(measure, folder, trials, pause) for name, pause in WAYS.items()}
        measured = interleaved(ways, options.repeats)
    results["dashboards"] = measured
    closed = [one["seconds"] for one in measured["closed"]]
    rows = [
        [
            name,
            Stat(tuple(one["seconds"] for one in runs)),
            ratios([one["seconds"] for one in runs], closed),
            Stat(tuple(one["loads"] for one in runs)),
        ]
        for name, runs in measured.items()
    ]
    title = f"{trials} trials, 2 workers, {REPORTS} reports and {REPORTS * SLEEP:.1f} s a trial: median (range)"
    print_table(title, ["dashboards", "seconds", "seconds / closed", "answers meanwhile"], rows)


def measure(folder: Path, trials: int, pause: float | None, repeat: int) -> dict[str, float]:
    """Run one sweep in a home of its own, with or without dashboards beside it; return its time."""
    place = folder / f"{pause}-{repeat}"
    place.mkdir()
    (place / "waits.py").write_text(OBJECTIVE)
    file, home = place / "waits.yaml", place / "home"
    file.write_text(SWEEP.format(objective=f"{place / 'waits.py'}:objective", seed=42 + repeat))
    sweep(file, home, timeout=600)  # makes the databases
    loads: Counter[str] = Counter()
    with dashboards(home, pause, loads):
        sweep(file, home, "--extend", str(trials), timeout=600 + trials)
        answered = loads.total()
    stores = read_stores(home, "waits", 1 + trials, REPORTS, 1)
    return {"seconds": stores.seconds_from(1), "loads": answered}


@contextmanager
def dashboards(home: Path, pause: float | None, loads: Counter[str]) -> Iterator[None]:
    """Have both dashboards open and reloaded, unless `pause` is None; count their answers. Raises CheckFailed."""
    if pause is None:
        yield
        return
    command = [HPO, "ui", "--home", home, "--mlflow-port", "0", "--dashboard-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    over, faults = threading.Event(), []

    def reload(url: str, body: bytes | None) -> None:
        while not over.is_set():
            try:
                request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
                with urllib.request.urlopen(request, timeout=120) as answer:
                    answer.read()
            except OSError as error:
                faults.append(f"{url}: {error}")
                return
            loads[url] += 1
            over.wait(pause)

    try:
        pages = _pages(process)
        threads = [threading.Thread(target=reload, args=page, daemon=True) for page in pages]
        for thread in threads:
            thread.start()
        while len(loads) < len(pages) and not faults:
            time.sleep(0.1)
        loads.clear()
        yield
        over.set()
        for thread in threads:
            thread.join(120)
    finally:
        over.set()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    if faults:
        raise CheckFailed(f"a dashboard did not answer: {faults[0]}")


def _pages(process: subprocess.Popen[str]) -> list[tuple[str, bytes | None]]:
    """Wait until the dashboards are there; return what their pages load: addresses, and bodies of POSTs."""
    said = ""
    for line in process.stdout or ():
        said += line
        if line.startswith("Ctrl-C ends"):
            break
    else:
        raise CheckFailed(f"hpo ui ended:\n{said}")
    mlflow = _found(r"^MLflow UI +(\S+)$", said)
    dashboard, study = _found(r"^Optuna dashboard +(\S+)$", said), _found(r"/dashboard/studies/(\d+)$", said)
    runs = {"experiment_ids": ["1"], "max_results": 100, "order_by": ["attributes.start_time DESC"]}
    return [
        (f"{mlflow}/ajax-api/2.0/mlflow/runs/search", json.dumps(runs).encode()),
        (f"{mlflow}/ajax-api/2.0/mlflow/experiments/search?max_results=25", None),
        (f"{dashboard}/api/studies/{study}?after=0", None),
        (f"{dashboard}/api/studies", None),
    ]


def _found(pattern: str, said: str) -> str:
    found = re.search(pattern, said, re.MULTILINE)
    if not found:
        raise CheckFailed(f"hpo ui said:\n{said}")
    return found.group(1)
