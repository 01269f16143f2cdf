"""A study of 10,000 trials: how long it takes to open it, to go on with it and to check it.

The study is made by a sweep of an objective that only reports 20 times, in a journal and MLflow's own database. Then
whole commands are timed: `hpo sweep` when the budget is spent, `hpo sweep --extend 1`, `hpo doctor`, `hpo list` and
`hpo best`. Ends with 1 if one of them takes longer than 30 s.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import HPO, CheckFailed, Stat, print_table, run_all, say, temporary
from benchmarks.ours import sweep_command
from benchmarks.overhead import OBJECTIVE, REPORTS, SWEEP

MOST = 30.0  # seconds a command
TIMEOUT = 3600


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options."""
    parser.add_argument("--storage", metavar="URL", help="keep the study in this database instead of a journal")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`. Raises CheckFailed if a command takes too long."""
    trials = options.trials or (100 if options.quick else 10_000)
    storage = ["--storage", options.storage] if options.storage else []
    with temporary() as folder:
        file, home = folder / "noop.yaml", folder / "home"
        (folder / "noop.py").write_text(OBJECTIVE.format(reports=REPORTS))
        file.write_text(SWEEP.format(objective=f"{folder / 'noop.py'}:objective", trials=trials, seed=42))
        _, seconds = run_all([sweep_command(file, home, *storage)], folder, TIMEOUT)
        say(f"the study of {trials:,} trials was made in {seconds:.0f} s")
        commands: dict[str, Sequence[str | Path]] = {
            "hpo sweep, its budget spent": sweep_command(file, home, *storage),
            "hpo sweep --extend 1": sweep_command(file, home, "--extend", "1", *storage),
            "hpo doctor": [HPO, "doctor", "noop", "--home", home, *storage],
            "hpo list": [HPO, "list", "--home", home, *storage],
            "hpo best": [HPO, "best", "noop", "--home", home, *storage],
        }
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(options.repeats):
            for name, command in commands.items():
                began = time.monotonic()
                run_all([command], folder, TIMEOUT)
                taken[name].append(time.monotonic() - began)
                say(f"{name}: {taken[name][-1]:.1f} s")
    results["ledger"] = taken
    title = f"ledger: a study of {trials:,} trials with {REPORTS} reports each, {options.repeats} repeats, s"
    print_table(title, ["command", "median (range)"], [[name, Stat(tuple(times))] for name, times in taken.items()])
    if slow := [name for name, times in taken.items() if Stat(tuple(times)).median > MOST]:
        raise CheckFailed(f"longer than {MOST:.0f} s: {', '.join(slow)}")
