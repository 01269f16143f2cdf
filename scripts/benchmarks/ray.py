"""The Ray engine on a Ray of this machine: against Ray Tune, with two workers against one, and its results a second.

- Trials a second: the course's binary task as in the suite `throughput`, everything logged; this project's Ray engine
  in cohorts and without, its local engine, Ray Tune with OptunaSearch, MLflowLoggerCallback and actor reuse, and Ray
  Tune with this project's adapter.
- Two workers against one: equal trials of CIFAR-10's network, each worker the same number; the rate of each from the
  end of its first trial to the end of its last one. Efficiency: two workers' rate over twice that of one.
- Results a second: trials that do nothing but report, from the first one's start until all is in MLflow.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.cifar import pictures
from benchmarks.common import PYTHON, Stat, interleaved, print_table, ratios, run_all, say, temporary
from benchmarks.ours import METRICS_AN_EPOCH, read_stores, sweep
from benchmarks.programs import PEERS, TIMEOUT, make_mlflow
from benchmarks.throughput import Measured, ours, ray_tune, steady_rate
from hpo.places import CIFAR10_FILES, CIFAR10_FOLDER

TUNE = "Ray Tune + OptunaSearch + MLflow"
REPORTS = 200  # of a trial that does nothing else
ENGINE = "{{type: ray, address: local, workers: {workers}, cohort: {cohort}}}"
PICTURES = """\
name: pictures
objective: objectives.cifar10
data: {{root: {root}, limit: {limit}}}
metric: {{name: val_accuracy, goal: maximize}}
method: random
budget: {{trials: {trials}, epochs: {epochs}}}
seed: {seed}
parameters:
  learning_rate: {{distribution: log_uniform_values, min: 1e-4, max: 1e-2}}
  optimizer: {{value: adam}}
  batch_size: {{value: 64}}
"""
REPORTING = """\
def objective(trial):
    for step in range(1, {reports} + 1):
        trial.report(step, score=trial.params["x"] + 1 / step)
"""
RESULTS = """\
name: results
objective: reporting.py:objective
metric: {{name: score, goal: minimize}}
method: random
budget: {{trials: {trials}}}
seed: {seed}
parameters: {{x: {{min: -1.0, max: 1.0}}}}
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options."""
    parser.add_argument("--only", choices=("trials", "workers", "results"), help="one of the three parts")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`."""
    parts = {"trials": trials_a_second, "workers": two_workers, "results": results_a_second}
    for name, part in parts.items():
        if options.only in (None, name):
            with temporary() as folder:
                results[name] = part(folder, options)


def trials_a_second(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The engine against Ray Tune."""
    quick = options.quick
    trials, learnt, warm, peer = (6, 2, 2, 4) if quick else (options.trials or 400, 300, 10, 40)
    empty = make_mlflow(folder)
    names = ("Ray engine, cohorts", "Ray engine, cohort: 64", "Ray engine, cohort: off", "local engine, cohort: 64")
    on_ray = {cohort: ENGINE.format(workers=2, cohort=cohort) for cohort in ("auto", "64", "off")}
    programs: dict[str, Callable[[int], Measured]] = {
        names[0]: partial(ours, folder, trials, learnt, "auto", engine=on_ray["auto"]),
        names[1]: partial(ours, folder, trials, warm, "64", engine=on_ray["64"]),
        names[2]: partial(ours, folder, max(2, trials // 4), warm, "off", engine=on_ray["off"]),
        names[3]: partial(ours, folder, trials, warm, "64"),
        TUNE: partial(ray_tune, folder, empty, peer, warm),
        "Ray Tune + this project's adapter": partial(adapter, folder, peer, warm),
    }
    measured = interleaved(programs, options.repeats)
    rates = {name: [one.rate for one in runs] for name, runs in measured.items()}
    rows = [
        [
            name,
            f"{runs[0].trials} x {len(runs)}",
            Stat(tuple(rates[name])),
            ratios(rates[name], rates[TUNE]),
            Stat(tuple(one.command_seconds for one in runs)),
        ]
        for name, runs in measured.items()
    ]
    columns = ["program", "trials x repeats", "trials/s", "times Ray Tune's", "whole command s"]
    print_table("trials a second, everything logged: median (range)", columns, rows)
    return {name: [asdict(one) for one in runs] for name, runs in measured.items()}


def adapter(folder: Path, trials: int, warm: int, repeat: int) -> Measured:
    """Run peers/ray_adapter.py."""
    place = folder / f"adapter-{repeat}"
    place.mkdir()
    (_,), seconds = run_all([[PYTHON, PEERS / "ray_adapter.py", str(warm + trials), str(42 + repeat)]], place, TIMEOUT)
    stores = read_stores(place / "home", "binary", warm + trials, 20, 3)
    ends = sorted(trial.ended or 0.0 for trial in stores.trials)
    return Measured(warm + trials, steady_rate([ends[:-1]], warm), seconds)


def two_workers(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What a second worker brings on trials of seconds each."""
    each, epochs, limit = (5, 1, 1000) if options.quick else (6, 2, 4500)
    root, source = _pictures(folder, limit)
    programs = {f"{workers}": partial(_pictures_rate, folder, root, limit, workers, each, epochs) for workers in (1, 2)}
    rates = interleaved(programs, options.repeats)
    efficiency = [two / one / 2 for one, two in zip(rates["1"], rates["2"], strict=True)]
    rows = [
        ["1", f"{each} x {options.repeats}", Stat(tuple(rates["1"])), "-"],
        ["2", f"{2 * each} x {options.repeats}", Stat(tuple(rates["2"])), Stat(tuple(efficiency))],
    ]
    title = f"workers: median (range); {limit} pictures ({source}), {epochs} epochs a trial"
    print_table(title, ["workers", "trials x repeats", "trials/s", "efficiency"], rows)
    return {"source": source, "efficiency": efficiency, **rates}


def _pictures(folder: Path, limit: int) -> tuple[Path, str]:
    """Return a folder with CIFAR-10, or with noise in its layout where there is none."""
    from hpo.spec.faults import UserError
    from hpo.training.data.cifar import RECORD, find_cifar10

    try:
        return find_cifar10(), "CIFAR-10"
    except UserError:
        _, source = pictures(0.001)
    place = folder / CIFAR10_FOLDER
    place.mkdir()
    for name in CIFAR10_FILES:
        rows = bytearray(os.urandom(RECORD * max(limit, 1000)))
        rows[::RECORD] = bytes(index % 10 for index in range(len(rows) // RECORD))
        (place / name).write_bytes(rows)
    return place, source


def _pictures_rate(folder: Path, root: Path, limit: int, workers: int, each: int, epochs: int, repeat: int) -> float:
    place = folder / f"pictures-{workers}-{repeat}"
    place.mkdir()
    file, trials = place / "pictures.yaml", workers * each
    file.write_text(PICTURES.format(root=root, limit=limit, trials=trials, epochs=epochs, seed=repeat))
    engine = ENGINE.format(workers=workers, cohort="off")
    sweep(file, place / "home", "-o", f"engine={engine}", timeout=TIMEOUT)
    ends: dict[str, list[float]] = defaultdict(list)
    for trial in read_stores(place / "home", "pictures", trials, epochs, METRICS_AN_EPOCH).trials:
        ends[trial.info["worker"]].append(trial.ended or 0.0)
    return steady_rate([sorted(times) for times in ends.values()], 1)


def results_a_second(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """How many reports the driver takes in and both stores hold."""
    trials = 4 if options.quick else 200
    rates = interleaved({"Ray engine": partial(_results_rate, folder, trials)}, options.repeats)["Ray engine"]
    rows = [["Ray engine, 2 workers", f"{trials} x {REPORTS} x {options.repeats}", Stat(tuple(rates))]]
    print_table("results: median (range)", ["", "trials x reports x repeats", "results/s"], rows)
    return {"results/s": rates}


def _results_rate(folder: Path, trials: int, repeat: int) -> float:
    place = folder / f"results-{repeat}"
    place.mkdir()
    (place / "reporting.py").write_text(REPORTING.format(reports=REPORTS))
    file, home = place / "results.yaml", place / "home"
    engine = ENGINE.format(workers=2, cohort="auto")

    def write(trials: int) -> None:
        file.write_text(RESULTS.format(trials=trials, seed=repeat))

    write(2)
    sweep(file, home, "-o", f"engine={engine}", timeout=TIMEOUT)  # makes the databases
    sweep(file, home, "-o", f"engine={engine}", "--extend", str(trials), timeout=TIMEOUT)
    stores = read_stores(home, "results", 2 + trials, REPORTS, 1)
    say(json.dumps({"reports": trials * REPORTS, "seconds": round(stores.seconds_from(2), 2)}))
    return trials * REPORTS / stores.seconds_from(2)
