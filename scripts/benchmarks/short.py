"""Whole commands from start to exit, as users run them: sweeps of 20, 100, 400 and 2,000 trials, wall and CPU time.

The spaces are those of search_spaces/course/binary_search.yaml and search_spaces/binary.yaml (as they ship, but for
early_terminate: none, and no confirmation), TPE, 20 epochs a trial. All programs take turns.

- This project: `hpo sweep` in a new home, then another study in the same home. A machine that has run `hpo` before
  keeps an empty MLflow database in its cache, which a new home begins with.
- Peers: Optuna + MLflow in one process and in two, and Optuna alone; up to 400 trials. Their MLflow database is made
  before, outside of the time, which favours them against a new home. They draw forbidden trials too, and end them
  untrained (about 1 in 25 of `binary`), which favours them as well: "trained" says how many were left.
- `python -c "import torch"`: what no program that trains can be faster than.

CPU seconds are user and system time of all processes of a command, grandchildren included (cost.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import PYTHON, Stat, interleaved, print_table, ratios, temporary
from benchmarks.cost import Cost, cost_of
from benchmarks.ours import read_stores, sweep_command
from benchmarks.programs import TIMEOUT, fresh, make_mlflow, optuna_loop, optuna_mlflow
from benchmarks.spaces import SPACES, Space

COUNTS, PEERS_UP_TO = (20, 100, 400, 2000), 400
NEW, AGAIN = "this project, new home", "this project, the same home again"
PLAIN, ONE, TWO = "Optuna", "Optuna + MLflow, 1 process", "Optuna + MLflow, 2 processes"
IMPORT = 'python -c "import torch"'


@dataclass(frozen=True)
class Run:
    """One whole command. trained: its trials, but for those that a peer ended untrained."""

    seconds: float
    cpu: float
    trained: int

    @classmethod
    def of(cls, cost: Cost, trained: int) -> Run:
        """Return what a command cost."""
        return cls(cost.seconds, cost.cpu, trained)


Runs = Mapping[str, Run]  # by program; one turn may hold several commands


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options."""
    parser.add_argument("--space", choices=("course", "binary"), help="one of the two only")
    parser.add_argument("--only", metavar="TEXT", help="of the peers those with this text in their names")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`."""
    counts = (options.trials,) if options.trials else (3,) if options.quick else COUNTS
    for name in (options.space,) if options.space else ("course", "binary"):
        for count in counts:
            with temporary() as folder:
                turns = interleaved(programs(folder, SPACES[name], count, options.only or ""), options.repeats)
            measured = by_program(turns.values())
            results[f"{name}, {count}"] = {who: [asdict(one) for one in runs] for who, runs in measured.items()}
            print_runs(f"short, space {name}, {count:,} trials: median (range) of {options.repeats}", measured)
    print("Every trial's every epoch was found in the stores.")


def programs(folder: Path, space: Space, trials: int, only: str) -> dict[str, Callable[[int], Runs]]:
    """Return what takes turns. only: a text that the names of peers hold."""
    found: dict[str, Callable[[int], Runs]] = {"import torch": partial(import_torch, folder)}
    found["this project"] = partial(ours, folder, space, trials)
    if trials <= PEERS_UP_TO:
        empty = make_mlflow(folder)
        peers: dict[str, Callable[[int], Runs]] = {
            PLAIN: partial(plain, folder, space, trials),
            ONE: partial(logged, folder, empty, space, trials, 1),
            TWO: partial(logged, folder, empty, space, trials, 2),
        }
        found |= {name: program for name, program in peers.items() if only in name}
    return found


def import_torch(folder: Path, repeat: int) -> Runs:
    """Start Python, import torch, exit."""
    place = fresh(folder, f"import-{repeat}")
    return {IMPORT: Run.of(cost_of([[PYTHON, "-c", "import torch"]], place, TIMEOUT), 0)}


def ours(folder: Path, space: Space, trials: int, repeat: int) -> Runs:
    """Run a sweep in a new home, and another one after it."""
    place = fresh(folder, f"ours-{repeat}")
    file, home = space.write(place), place / "home"
    runs = {}
    for program, study, seed in ((NEW, "first", 42 + repeat), (AGAIN, "second", 1042 + repeat)):
        cost = cost_of([sweep_command(file, home, *space.options(trials, seed, study=study))], place, TIMEOUT)
        read_stores(home, study, trials, space.epochs, space.metrics)
        runs[program] = Run.of(cost, trials)
    return runs


def plain(folder: Path, space: Space, trials: int, repeat: int) -> Runs:
    """Run peers/optuna_loop.py."""
    done = optuna_loop(fresh(folder, f"optuna-{repeat}"), space, trials, 42 + repeat)
    return {PLAIN: Run.of(done.cost, done.trained)}


def logged(folder: Path, empty: Path, space: Space, trials: int, processes: int, repeat: int) -> Runs:
    """Run peers/optuna_mlflow.py; with an odd number of trials, two processes run one more."""
    place = fresh(folder, f"optuna-mlflow-{processes}-{repeat}")
    done = optuna_mlflow(place, empty, space, -(-trials // processes), processes, 42 + repeat)
    return {ONE if processes == 1 else TWO: Run.of(done.cost, done.trained)}


def by_program(turns: Iterable[Sequence[Runs]]) -> dict[str, list[Run]]:
    """Return the runs of each command, in the order of repeats."""
    return {name: [turn[name] for turn in repeats] for repeats in turns for name in repeats[0]}


def print_runs(title: str, measured: Mapping[str, Sequence[Run]]) -> None:
    """Print a row a program. What this project does in a part of a peer's time is a ratio above 1."""

    def seconds(name: str) -> list[float]:
        return [one.seconds for one in measured[name]]

    rows = [
        [
            name,
            Stat(tuple(float(one.trained) for one in runs)),
            Stat(tuple(seconds(name))),
            Stat(tuple(one.cpu for one in runs)),
            ratios(seconds(name), seconds(IMPORT)),
            ratios(seconds(name), seconds(NEW)),
            ratios(seconds(name), seconds(AGAIN)),
            ratios([one.cpu for one in runs], [one.cpu for one in measured[NEW]]),
        ]
        for name, runs in measured.items()
    ]
    columns = ["program", "trained", "whole command s", "CPU s", "times import torch"]
    columns += ["times this project, new home", "times the same home again", "its CPU: times this project's"]
    print_table(title, columns, rows)
