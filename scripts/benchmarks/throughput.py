"""Trials a second on the course's binary task, everything logged: this project and its peers, interleaved.

All train the same MLP on the same tensors for 20 epochs in batches of 32, search the same 5 hyperparameters by TPE and
prune nothing. The peers log 3 metrics an epoch, this project 14. Each has run some trials before its time is taken.

- This project: N trials after `--extend N` (of a study with 300 trials; with `cohort: 64` or off: 10), over the time
  from the first one's start until the sweep is closed, with every run written to MLflow. So the start of work and its
  slow end (idle workers, the last writes) count.
- Peers: the rate between the end of the warm-up and the moment when the first of their processes has no more work. So
  neither counts; this favours them.
- "whole command": the wall time of the process with its imports, start and end.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any

from benchmarks.common import (
    PYTHON,
    CheckFailed,
    Stat,
    interleaved,
    print_table,
    ratios,
    run_all,
    temporary,
)
from benchmarks.ours import METRICS_AN_EPOCH, all_runs, metric_rows, read_stores, sweep, write_binary

PEERS = Path(__file__).parent / "peers"
EPOCHS = 20
TIMEOUT = 3600.0
COHORTS, ALONE, GIVEN = "this project, cohorts", "this project, cohort: off", "this project, cohort: 64"


@dataclass
class Measured:
    """One run of one program."""

    trials: int
    rate: float
    command_seconds: float
    cohort: float = 0.0  # median size


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options."""
    parser.add_argument("--only", metavar="TEXT", help="the programs with this text in their names, and the first")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`."""
    quick = options.quick
    trials = options.trials or (6 if quick else 400)
    loop, logged, ray = (4, 12, 4) if quick else (100, 60, 40)
    warm = 2 if quick else 10  # a process; Ray: in all
    learnt = 2 if quick else 300  # the planner has the more trials open, the more have ended
    with temporary() as folder:
        empty = make_mlflow(folder)
        programs: dict[str, Callable[[int], Measured]] = {
            COHORTS: partial(ours, folder, trials, learnt, "auto"),
            GIVEN: partial(ours, folder, trials, warm, "64"),
            ALONE: partial(ours, folder, max(2, trials // 4), warm, "off"),  # slower: fewer give as steady a rate
            "Optuna": partial(optuna_loop, folder, loop, warm),
            "Optuna + MLflow, 1 process": partial(optuna_mlflow, folder, empty, logged, warm, 1),
            "Optuna + MLflow, 2 processes": partial(optuna_mlflow, folder, empty, logged, warm, 2),
            "Ray Tune + MLflow": partial(ray_tune, folder, empty, ray, warm),
        }
        if options.only:
            programs = {k: v for k, v in programs.items() if k == COHORTS or options.only in k}
        measured = interleaved(programs, options.repeats)
    results["throughput"] = {name: [asdict(one) for one in runs] for name, runs in measured.items()}
    rates = {name: [one.rate for one in runs] for name, runs in measured.items()}
    rows = []
    for name, runs in measured.items():
        seconds = Stat(tuple(one.command_seconds for one in runs))
        whole = Stat(tuple(one.trials / one.command_seconds for one in runs))
        first = ratios(rates[COHORTS], rates[name])
        second = ratios(rates[ALONE], rates[name]) if ALONE in rates else "-"
        rows.append([name, f"{runs[0].trials} x {len(runs)}", Stat(tuple(rates[name])), first, second, seconds, whole])
    columns = ["program", "trials x repeats", "trials/s", "cohorts are x times as fast", "cohort: off is x times"]
    print_table("throughput: median (range)", [*columns, "whole command s", "trials/s of it"], rows)
    print(
        f"median size of cohorts: {measured[COHORTS][0].cohort:.0f}. Every trial's every epoch was found in the stores."
    )


def make_mlflow(folder: Path) -> Path:
    """Make an MLflow database with an experiment, which takes seconds; every peer begins with a copy."""
    program = "from mlflow import MlflowClient; MlflowClient('sqlite:///empty.db').create_experiment('binary')"
    run_all([[PYTHON, "-c", program]], folder, TIMEOUT)
    return folder / "empty.db"


def ours(folder: Path, trials: int, warm: int, cohort: str, repeat: int, engine: str = "") -> Measured:
    """Run a warm-up sweep, then go on with it for `trials` trials. engine: in place of the local one."""
    place = _fresh(folder, f"ours-{'ray' if engine else 'local'}-{cohort}-{repeat}")
    file, home = write_binary(place, warm, cohort, seed=42 + repeat), place / "home"
    options = ["-o", f"engine={engine}"] if engine else []
    sweep(file, home, *options, timeout=TIMEOUT)
    _, seconds = sweep(file, home, *options, "--extend", str(trials), timeout=TIMEOUT)
    stores = read_stores(home, "binary", warm + trials, EPOCHS, METRICS_AN_EPOCH)
    size = statistics.median(stores.cohorts()[warm:])
    return Measured(trials, trials / stores.seconds_from(warm), seconds, size)


def optuna_loop(folder: Path, trials: int, warm: int, repeat: int) -> Measured:
    """Run peers/optuna_loop.py."""
    place = _fresh(folder, f"optuna-{repeat}")
    command = [PYTHON, PEERS / "optuna_loop.py", str(warm + trials), str(42 + repeat)]
    (printed,), seconds = run_all([command], place, TIMEOUT)
    ends = json.loads(printed.splitlines()[-1])["ends"]
    return Measured(warm + trials, steady_rate([ends], warm), seconds)


def optuna_mlflow(folder: Path, empty: Path, trials: int, warm: int, processes: int, repeat: int) -> Measured:
    """Run peers/optuna_mlflow.py, as many times at once as there are to be processes."""
    place = _fresh(folder, f"optuna-mlflow-{processes}-{repeat}")
    copyfile(empty, place / "mlflow.db")
    storage = "sqlite" if processes == 1 else "journal"
    each = warm + -(-trials // processes)
    program = [PYTHON, PEERS / "optuna_mlflow.py", str(each)]
    commands = [[*program, str(1000 * index + 42 + repeat), storage] for index in range(processes)]
    printed, seconds = run_all(commands, place, TIMEOUT)
    _check_peer(place, each * processes, parents=processes)
    ends = [json.loads(text.splitlines()[-1])["ends"] for text in printed]
    return Measured(each * processes, steady_rate(ends, warm), seconds)


def ray_tune(folder: Path, empty: Path, trials: int, warm: int, repeat: int) -> Measured:
    """Run peers/ray_tune.py."""
    place = _fresh(folder, f"tune-{repeat}")
    copyfile(empty, place / "mlflow.db")
    command = [PYTHON, PEERS / "ray_tune.py", str(warm + trials), str(42 + repeat)]
    (_,), seconds = run_all([command], place, TIMEOUT)
    ends = _check_peer(place, warm + trials, parents=0)
    return Measured(warm + trials, steady_rate([ends[:-1]], warm), seconds)  # the last trial ran alone


def steady_rate(ends: list[list[float]], warm: int) -> float:
    """Return trials a second of all processes together, from the moment at which each has done its warm-up until the
    first has no more to do. ends: when the trials of each process ended."""
    begin, end = max(times[warm - 1] for times in ends), min(times[-1] for times in ends)
    inside = [[moment for moment in sorted(times) if begin <= moment <= end] for times in ends]
    if any(len(times) < 2 for times in inside):
        raise CheckFailed("too few trials for a rate")
    return sum((len(times) - 1) / (times[-1] - times[0]) for times in inside)


def _check_peer(place: Path, trials: int, parents: int) -> list[float]:
    """Raise CheckFailed unless MLflow has all that the peer was to log; return when the trials' runs ended."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("binary")
    runs = [run for run in all_runs(client, experiment.experiment_id) if run.info.status == "FINISHED"]
    rows = metric_rows(place / "mlflow.db")
    names = ("train_loss", "val_loss", "val_accuracy")
    wanted = {(name, epoch) for name in names for epoch in range(1, EPOCHS + 1)}
    full = [run for run in runs if wanted <= rows.get(run.info.run_id, {}).keys()]
    if len(full) != trials or len(runs) != trials + parents:
        raise CheckFailed(f"{place.name}: MLflow has {len(full)} whole trials of {trials}, {len(runs)} finished runs")
    return sorted(run.info.end_time / 1000 for run in full)


def _fresh(folder: Path, name: str) -> Path:
    place = folder / name
    place.mkdir()
    return place
