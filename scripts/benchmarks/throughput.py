"""Trials a second on the course's binary task, everything logged: this project and its peers, interleaved.

All train the same MLP on the same tensors for 20 epochs, search the same hyperparameters by TPE and prune nothing. The
peers log 3 metrics an epoch, this project 20. Each has run some trials before its time is taken. What is searched:

- `--space single`: 5 hyperparameters, batches of 32, one shape (the default).
- `--space course`: search_spaces/course/binary_search.yaml, with three batch sizes.
- `--space binary`: search_spaces/binary.yaml with all that it searches, four shapes and three batch sizes. This project
  runs the file as it ships (baselines, references, `forbid`), but for early_terminate: none, and no confirmation. The
  peers draw forbidden trials too, end them untrained, and these count nowhere.

How the time is taken:

- This project: N trials after `--extend N` (of a study with 300 trials; with `cohort: 64` or off: 10), over the time
  from the first one's start until the sweep is closed, with every run written to MLflow. So the start of work and its
  slow end (idle workers, the last writes) count.
- Peers: the rate between the end of the warm-up and the moment when the first of their processes has no more work. So
  neither counts; this favours them.
- "whole command": the wall time of the process with its imports, start and end.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any

from benchmarks.common import PYTHON, CheckFailed, Stat, interleaved, print_table, ratios, run_all, temporary
from benchmarks.ours import read_stores, sweep
from benchmarks.programs import (
    PEERS,
    TIMEOUT,
    PeerRun,
    check_peer,
    fresh,
    make_mlflow,
    optuna_loop,
    optuna_mlflow,
)
from benchmarks.spaces import SPACES, Space

SINGLE = SPACES["single"]
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
    spaces = ("single", "course", "binary")
    parser.add_argument("--space", choices=spaces, default="single", help="what is searched (default: single)")
    parser.add_argument("--only", metavar="TEXT", help="the programs with this text in their names, and the first")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`."""
    quick = options.quick
    trials = options.trials or (6 if quick else 400)
    loop, logged, ray = (4, 12, 4) if quick else (100, 60, 40)
    warm = 2 if quick else 10  # a process; Ray: in all
    space = SPACES[options.space]
    learnt = 2 if quick else 300  # the planner has the more trials open, the more have ended
    with temporary() as folder:
        empty = make_mlflow(folder)
        programs: dict[str, Callable[[int], Measured]] = {
            COHORTS: partial(ours, folder, trials, learnt, "auto", space=space),
            GIVEN: partial(ours, folder, trials, warm, "64", space=space),
            # Slower: fewer give as steady a rate.
            ALONE: partial(ours, folder, max(2, trials // 4), warm, "off", space=space),
            "Optuna": partial(loop_rate, folder, space, loop, warm),
            "Optuna + MLflow, 1 process": partial(mlflow_rate, folder, empty, space, logged, warm, 1),
            "Optuna + MLflow, 2 processes": partial(mlflow_rate, folder, empty, space, logged, warm, 2),
        }
        if space is SINGLE:
            programs["Ray Tune + MLflow"] = partial(ray_tune, folder, empty, ray, warm)
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
    print_table(
        f"throughput, space {space.name}: median (range)", [*columns, "whole command s", "trials/s of it"], rows
    )
    print(
        f"median size of cohorts: {measured[COHORTS][0].cohort:.0f}. Every trial's every epoch was found in the stores."
    )


def ours(
    folder: Path, trials: int, warm: int, cohort: str, repeat: int, engine: str = "", space: Space = SINGLE
) -> Measured:
    """Run a warm-up sweep, then go on with it for `trials` trials. engine: in place of the local one."""
    place = fresh(folder, f"ours-{'ray' if engine else 'local'}-{cohort}-{repeat}")
    file, home = space.write(place), place / "home"
    options = [*space.options(warm, 42 + repeat, cohort), *(["-o", f"engine={engine}"] if engine else [])]
    sweep(file, home, *options, timeout=TIMEOUT)
    _, seconds = sweep(file, home, *options, "--extend", str(trials), timeout=TIMEOUT)
    stores = read_stores(home, space.name, warm + trials, space.epochs, space.metrics)
    size = statistics.median(stores.cohorts()[warm:])
    return Measured(trials, trials / stores.seconds_from(warm), seconds, size)


def loop_rate(folder: Path, space: Space, trials: int, warm: int, repeat: int) -> Measured:
    """Run peers/optuna_loop.py."""
    done = optuna_loop(fresh(folder, f"optuna-{repeat}"), space, warm + trials, 42 + repeat)
    return _measured(done, warm)


def mlflow_rate(
    folder: Path, empty: Path, space: Space, trials: int, warm: int, processes: int, repeat: int
) -> Measured:
    """Run peers/optuna_mlflow.py."""
    place = fresh(folder, f"optuna-mlflow-{processes}-{repeat}")
    each = warm + -(-trials // processes)
    return _measured(optuna_mlflow(place, empty, space, each, processes, 42 + repeat), warm)


def _measured(done: PeerRun, warm: int) -> Measured:
    return Measured(done.trained, steady_rate(done.ends, warm), done.cost.seconds)


def ray_tune(folder: Path, empty: Path, trials: int, warm: int, repeat: int) -> Measured:
    """Run peers/ray_tune.py."""
    place = fresh(folder, f"tune-{repeat}")
    copyfile(empty, place / "mlflow.db")
    command = [PYTHON, PEERS / "ray_tune.py", str(warm + trials), str(42 + repeat)]
    (_,), seconds = run_all([command], place, TIMEOUT)
    ends = check_peer(place, warm + trials, 0, SINGLE.epochs, SINGLE.peer_metrics)
    return Measured(warm + trials, steady_rate([ends[:-1]], warm), seconds)  # the last trial ran alone


def steady_rate(ends: list[list[float]], warm: int) -> float:
    """Return trials a second of all processes together, from the moment at which each has done its warm-up until the
    first has no more to do. ends: when the trials of each process ended."""
    begin, end = max(times[warm - 1] for times in ends), min(times[-1] for times in ends)
    inside = [[moment for moment in sorted(times) if begin <= moment <= end] for times in ends]
    if any(len(times) < 2 for times in inside):
        raise CheckFailed("too few trials for a rate")
    return sum((len(times) - 1) / (times[-1] - times[0]) for times in inside)
