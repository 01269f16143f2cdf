"""One core: what a trial's optimizer step costs in a stack of K models, in the platform's plain loop, in bare PyTorch.

The members of a stack are drawn at random from the space of `throughput`: optimizers, losses and activations mix.
A step's time holds its share of the epoch's validation and metrics (this project: 20, the bare loop: 3). The first
epoch of each trial is the warm-up, so building models is left out; all do the same number of steps. A small K is
measured on several stacks one after the other, so that each K is measured on the very trials of the plain loop.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from benchmarks import cifar
from benchmarks.common import CheckFailed, Stat, interleaved, print_table, ratios, say
from benchmarks.peers import plain_loop
from hpo.events import Reported, TrialSpec
from hpo.training.device import settle_process
from hpo.training.loop import train
from hpo.training.run import start
from hpo.training.stack.cohort import Cohort, train_cohort
from objectives.binary import Binary

CPU = torch.device("cpu")
TASK = Binary()
SPLITS = TASK.splits({"source": "synthetic"}).without_test()
SIZES, BATCH_SIZES = (1, 8, 32, 128, 256), (32, 64, 128)
HEALTH_SIZES = (8, 32, 128)
SINGLES = 32  # trials that the loops train: they take seconds each
PLAIN, BARE = "plain loop", "bare PyTorch loop"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options."""
    parser.add_argument("--part", choices=("stack", "cifar", "health"), help="one part only")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, whatever the threads
    settle_process()
    if options.part in (None, "stack"):
        batch_sizes, sizes = ((32,), (1, 8)) if options.quick else (BATCH_SIZES, SIZES)
        epochs, singles = (2, 8) if options.quick else (4, SINGLES)
        for batch_size in batch_sizes:
            results[f"batch {batch_size}"] = measure(batch_size, sizes, epochs, singles, options.repeats)
    if options.part in (None, "health"):
        sizes, epochs, count = ((8,), 5, 8) if options.quick else (HEALTH_SIZES, 20, SINGLES)
        results["health"] = measure_health(sizes, epochs, count, options.repeats)
    if options.part in (None, "cifar"):
        results["cifar"] = cifar.measure(options.repeats, options.quick)


def measure(batch_size: int, sizes: Sequence[int], epochs: int, singles: int, repeats: int) -> dict[str, list[float]]:
    """Measure one batch size and print its table; return microseconds by program and repeat."""
    members = draw(max(*sizes, singles), batch_size, epochs)
    steps = (epochs - 1) * math.ceil(len(SPLITS.train) / batch_size)
    programs = {
        PLAIN: lambda _: plain_seconds(members[:singles]) / singles,
        BARE: lambda _: bare_seconds(members[:singles]) / singles,
        **{f"stack, K = {size}": partial(_stack, members[: max(size, singles)], size) for size in sizes},
    }
    say(f"batch size {batch_size}")
    for program in programs.values():
        program(0)  # compiles, allocates and fills caches
    seconds = interleaved(programs, repeats)
    micros = {name: [one / steps * 1e6 for one in values] for name, values in seconds.items()}
    rows = [
        [name, Stat(tuple(values)), ratios(micros[PLAIN], values), ratios(micros[BARE], values)]
        for name, values in micros.items()
    ]
    columns = ["one core", "us a trial-step", "times the plain loop's speed", "times the bare loop's"]
    title = f"training, batch size {batch_size}: median (range) of {repeats} repeats, {steps} steps a trial each"
    print_table(title, columns, rows)
    return micros


def measure_health(sizes: Sequence[int], epochs: int, singles: int, repeats: int) -> dict[str, list[float]]:
    """Measure what `health: true` costs, print the table; return seconds a trial by program and repeat."""
    members = draw(max(*sizes, singles), 32, epochs)
    programs = {}
    for health in (False, True):
        trials = [replace(trial, health=health) for trial in members]
        told = " with health" if health else ""
        programs[PLAIN + told] = partial(_plain, trials[:singles])
        programs |= {f"stack, K = {size}{told}": partial(_stack, trials[: max(size, singles)], size) for size in sizes}
    say("health")
    for program in programs.values():
        program(0)
    seconds = interleaved(programs, repeats)
    rows = []
    for name in [name for name in programs if not name.endswith("health")]:
        off, on = seconds[name], seconds[f"{name} with health"]
        rows.append([name, Stat(tuple(off)), Stat(tuple(on)), ratios(on, off)])
    columns = ["one core", "seconds a trial", "with health", "times as many"]
    print_table(f"health of training, batch size 32, {epochs} epochs: {repeats} repeats", columns, rows)
    return seconds


def _plain(trials: Sequence[TrialSpec], repeat: int) -> float:
    return plain_seconds(trials) / len(trials)


def draw(count: int, batch_size: int, epochs: int) -> list[TrialSpec]:
    """Return trials drawn at random from the space, always the same."""
    chance = random.Random(0)

    def log_uniform(low: float, high: float) -> float:
        return math.exp(chance.uniform(math.log(low), math.log(high)))

    return [
        TrialSpec(
            number,
            {
                "optimizer": chance.choice(list(plain_loop.OPTIMIZERS)),
                "learning_rate": log_uniform(*plain_loop.LEARNING_RATE),
                "weight_decay": log_uniform(*plain_loop.WEIGHT_DECAY),
                "activation": chance.choice(list(plain_loop.ACTIVATIONS)),
                "loss": chance.choice(plain_loop.LOSSES),
                "batch_size": batch_size,
                "hidden_layers": [64, 32],
            },
            seed=number,
            epochs=epochs,
        )
        for number in range(count)
    ]


def _stack(members: Sequence[TrialSpec], size: int, repeat: int) -> float:
    """Return the seconds a trial in stacks of `size`."""
    stacks = [members[at : at + size] for at in range(0, len(members), size)]
    return sum(stack_seconds(stack) for stack in stacks if len(stack) == size) / (len(members) // size * size)


def stack_seconds(trials: Sequence[TrialSpec]) -> float:
    """Train trials as one stack; return the seconds of all epochs but the first."""
    events = train_cohort(Cohort([start(TASK, SPLITS, trial, CPU) for trial in trials]))
    next(events)  # the first epoch
    began = time.perf_counter()
    reports = [event for several in events for event in several if isinstance(event, Reported)]
    seconds = time.perf_counter() - began
    _check(len(reports), trials)
    return seconds


def plain_seconds(trials: Sequence[TrialSpec]) -> float:
    """Train trials one by one by the platform's plain loop; return the seconds of all epochs but the first."""
    seconds, reports = 0.0, 0
    for trial in trials:
        events = train(TASK, SPLITS, trial, CPU)
        next(events)  # the first epoch
        began = time.perf_counter()
        rest = list(events)
        seconds += time.perf_counter() - began
        reports += sum(isinstance(event, Reported) for event in rest)
    _check(reports, trials)
    return seconds


def bare_seconds(trials: Sequence[TrialSpec]) -> float:
    """Train trials one by one as the peers of `throughput` do; return the seconds of all epochs but the first."""
    data = (SPLITS.train.x, SPLITS.train.y, SPLITS.validation.x, SPLITS.validation.y)
    seconds = 0.0
    for trial in trials:
        epochs = plain_loop.train(data, dict(trial.params), trial.epochs or 1, trial.params["batch_size"])
        next(epochs)
        began = time.perf_counter()
        for _ in itertools.islice(epochs, trial.epochs):
            pass
        seconds += time.perf_counter() - began
    return seconds


def _check(reports: int, trials: Sequence[TrialSpec]) -> None:
    expected = sum((trial.epochs or 1) - 1 for trial in trials)
    if reports != expected:
        raise CheckFailed(f"{reports} of {expected} epochs were trained")
