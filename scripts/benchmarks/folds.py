"""One core: what a trial of five folds, or of five seeds, costs beside a trial of one training.

The trials are those of `training`: drawn at random from the space of `throughput`, 4 epochs in batches of 32, of which
the first is the warm-up. A fold trains on 640 rows, one training on 600. Each program trains the same trials: one after
the other by the plain loop, each as a stack of its own members, or all in one stack.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from benchmarks.common import CheckFailed, Stat, interleaved, print_table, ratios, say
from benchmarks.training import CPU, TASK, draw
from hpo.events import Reported, TrialSpec
from hpo.training.cuts import Fold
from hpo.training.device import settle_process
from hpo.training.epochs import Trainee, train_epochs
from hpo.training.loop import Loops
from hpo.training.members import Member
from hpo.training.run import Run, start
from hpo.training.stack.cohort import Cohort
from hpo.training.task import Splits

DATA = {"source": "synthetic"}
ONE = [TASK.splits(DATA).without_test()]
FOLDS = [TASK.splits(DATA, Fold(index, 5)).without_test() for index in range(5)]
TRIALS, EPOCHS, BATCH_SIZE = 24, 4, 32  # 120 runs in the largest stack, as a sweep's has at most 128
PLAIN, STACK = "1 training: plain loop", "1 training: all in one stack"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options: none."""


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, whatever the threads
    settle_process()
    trials = draw(4 if options.quick else options.trials or TRIALS, BATCH_SIZE, 2 if options.quick else EPOCHS)
    seeds = ONE * len(FOLDS)
    programs: dict[str, Callable[[int], float]] = {
        PLAIN: partial(_seconds, trials, ONE, Loops, 1),
        STACK: partial(_seconds, trials, ONE, Cohort, len(trials)),
        "5 folds: plain loops in turn": partial(_seconds, trials, FOLDS, Loops, 1),
        "5 folds: a stack for each trial": partial(_seconds, trials, FOLDS, Cohort, 1),
        "5 folds: all in one stack": partial(_seconds, trials, FOLDS, Cohort, len(trials)),
        "5 seeds: all in one stack": partial(_seconds, trials, seeds, Cohort, len(trials)),
    }
    for program in programs.values():
        program(0)  # compiles, allocates and fills caches
    seconds = interleaved(programs, options.repeats)
    epochs = len(trials) * ((trials[0].epochs or 1) - 1)
    millis = {name: [one / epochs * 1e3 for one in values] for name, values in seconds.items()}
    results["millis"] = millis
    rows = [
        [name, Stat(tuple(values)), ratios(values, millis[PLAIN]), ratios(values, millis[STACK])]
        for name, values in millis.items()
    ]
    title = f"folds: median (range) of {options.repeats} repeats, {len(trials)} trials of {trials[0].epochs} epochs"
    columns = ["one core", "ms an epoch of a trial", "times one training, plain loop", "times one training, one stack"]
    print_table(title, columns, rows)


def _seconds(
    trials: Sequence[TrialSpec], rows: Sequence[Splits], make: Callable[[Sequence[Run]], Trainee], size: int, _: int
) -> float:
    """Train trials, so many at a time; return the seconds of all epochs but the first."""
    seconds, reports = 0.0, 0
    for at in range(0, len(trials), size):
        members = [Member(index, len(rows)) for index in range(len(rows))]
        runs = [
            start(TASK, its, trial, CPU, member=member)
            for trial in trials[at : at + size]
            for its, member in zip(rows, members, strict=True)
        ]
        events = train_epochs(make(runs))
        next(events)  # the first epoch
        began = time.perf_counter()
        found = [event for several in events for event in several]
        seconds += time.perf_counter() - began
        reports += sum(isinstance(event, Reported) for event in found)
    if reports != (expected := sum((trial.epochs or 1) - 1 for trial in trials)):
        raise CheckFailed(f"{reports} of {expected} epochs were trained")
    say(f"{seconds:.2f} s")
    return seconds
