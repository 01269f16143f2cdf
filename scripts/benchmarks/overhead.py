"""What a trial costs besides its training: an objective that only reports 20 times, logged in both stores.

6 hyperparameters, one of them conditional, TPE, both cores. The time is from the first trial's start until the sweep is
closed with all of MLflow written. `--long` adds 10,000 trials, which take minutes.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import Stat, interleaved, print_table, ratios, temporary
from benchmarks.ours import read_stores, sweep

REPORTS = 20

OBJECTIVE = '''\
"""Reports 20 times, and does nothing else."""


def objective(trial):
    gap = sum(abs(value) for value in trial.params.values() if isinstance(value, float))
    for step in range(1, {reports} + 1):
        trial.report(step, score=gap + 1 / step)
'''

SWEEP = """\
name: noop
objective: {objective}
metric: {{name: score, goal: minimize}}
method: tpe
budget: {{trials: {trials}}}
seed: {seed}
parameters:
  kind: {{values: [a, b, c]}}
  x:    {{min: -1.0, max: 1.0}}
  y:    {{min: -1.0, max: 1.0}}
  rate: {{distribution: log_uniform_values, min: 1e-5, max: 1e-1}}
  size: {{distribution: int_uniform, min: 1, max: 64}}
  z:    {{min: 0.0, max: 1.0, when: {{kind: a}}}}
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options."""
    parser.add_argument("--long", action="store_true", help="also 10,000 trials")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`."""
    counts = [10, 20] if options.quick else [100, 1000, 10_000] if options.long else [100, 1000]
    counts = [options.trials] if options.trials else counts
    with temporary() as folder:
        measured = interleaved({str(count): partial(measure, folder, count) for count in counts}, options.repeats)
    results["overhead"] = measured
    columns = {name: {key: [one[key] for one in runs] for key in runs[0]} for name, runs in measured.items()}
    first = columns[str(counts[0])]["a trial"]
    rows = [
        [f"{int(name):,}", *(Stat(tuple(values)) for values in each.values()), ratios(each["a trial"], first)]
        for name, each in columns.items()
    ]
    titles = ["trials", "ms a trial", "ms a trial, last tenth", "s of writing after the last", "whole command s"]
    title = f"overhead: median (range) of {options.repeats} repeats, {REPORTS} reports a trial"
    print_table(title, [*titles, f"ms a trial / at {counts[0]}"], rows)


def measure(folder: Path, trials: int, repeat: int) -> dict[str, float]:
    """Run one sweep in a home of its own; return its times."""
    place = folder / f"{trials}-{repeat}"
    place.mkdir()
    (place / "noop.py").write_text(OBJECTIVE.format(reports=REPORTS))
    file, home = place / "noop.yaml", place / "home"

    def write(trials: int) -> None:
        file.write_text(SWEEP.format(objective=f"{place / 'noop.py'}:objective", trials=trials, seed=42 + repeat))

    write(1)
    sweep(file, home, timeout=600)  # makes the databases
    _, seconds = sweep(file, home, "--extend", str(trials), timeout=600 + trials)
    stores = read_stores(home, "noop", 1 + trials, REPORTS, 1)
    ends = sorted(trial.ended or 0.0 for trial in stores.trials)
    tail = max(1, trials // 10)
    return {
        "a trial": stores.seconds_from(1) / trials * 1000,
        "last tenth": (ends[-1] - ends[-1 - tail]) / tail * 1000,
        "writing after the last trial": stores.closed() - ends[-1],
        "whole command": seconds,
    }
