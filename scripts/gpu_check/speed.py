"""Trials trained a second: stacks of 1 to 4,096 models, recorded and not, against the plain loop.

The course's binary task: 600 rows, 20-64-32-1, batches of 32, 20 epochs, 14 metrics an epoch. `steady`: from epochs
after the first three alone. `whole`: from the trials' parameters to their last event, everything in it.
"""

from __future__ import annotations

import cProfile
import io
import pstats
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

from gpu_check.common import EPOCHS, Notes, Options, draw, seconds
from hpo.events import Finished, TrialSpec
from hpo.training.device import settle_process
from hpo.training.evaluation import to_device
from hpo.training.loop import train
from hpo.training.run import start
from hpo.training.stack import cohort as cohort_module
from hpo.training.stack.cohort import Cohort, train_cohort
from hpo.training.task import Splits
from objectives.binary import Binary

TASK = Binary()


def run(options: Options, notes: Notes) -> None:
    """Measure, and note."""
    settle_process()
    plain: dict[str, float] = {}
    for where in ("cpu", options.device_name):
        with notes.going_on(f"plain loop on {where}"):
            plain[where] = plain_loop(torch.device(where), 4 if options.quick else 10)
            notes.note(f"plain loop on {where}, trials/s", plain[where])
    splits = splits_on(options.device)
    sizes = (1, 16) if options.quick else (1, 8, 32, 128, 512, 1024, 2048, 4096)
    stack(options, splits, draw(8), True)  # loads what is loaded once
    for size in sizes:
        for replay in (True, False) if size in (1, 16, 128, 1024, 4096) else (True,):
            with notes.going_on(f"stack of {size}, replay {replay}"):
                found = stack(options, splits, draw(size), replay)
                row = {"K": size, "replay": "yes" if replay else "no", **found}
                for name, speed in plain.items():
                    row[f"x plain loop on {name}"] = found["steady trials/s"] / speed
                row["whole x plain loop on cpu"] = found["whole trials/s"] / plain["cpu"]
                notes.row("Trials trained a second", row)
    for size in (16,) if options.quick else (64, 4096):
        with notes.going_on(f"profile of {size}"):
            notes.note(f"profile of {size}", profile(options, splits, size))
    size = 16 if options.quick else 1024
    with notes.going_on(f"Python of {size}"):
        notes.note(f"Python of {size}", python_profile(options, splits, size))
    notes.raise_failed()


def python_profile(options: Options, splits: Splits, size: int) -> str:
    """Return where Python's time goes from the trials' parameters to their last event."""
    profiler, told = cProfile.Profile(), io.StringIO()
    profiler.runcall(stack, options, splits, draw(size), True)
    for order in ("tottime", "cumulative"):
        pstats.Stats(profiler, stream=told).sort_stats(order).print_stats(45)
    return "\n".join(line[:150] for line in told.getvalue().splitlines() if line.strip())


def splits_on(device: torch.device) -> Splits:
    """Return the task's splits on the device, as a worker has them."""
    splits = TASK.splits({"source": "synthetic"}).without_test()
    return Splits(to_device(splits.train, device), to_device(splits.validation, device), splits.test, splits.outputs)


def plain_loop(device: torch.device, trials: int) -> float:
    """Return how many trials a second the plain loop trains; building and the first epoch are left out."""
    splits, taken = splits_on(device), []
    for trial in draw(trials, 4):
        events = train(TASK, splits, trial, device)
        next(events)
        began = time.perf_counter()
        for _ in events:
            pass
        taken.append((time.perf_counter() - began) / 3 * EPOCHS)
    return len(taken) / sum(taken)


def stack(options: Options, splits: Splits, trials: Sequence[TrialSpec], replay: bool) -> dict[str, Any]:
    """Train trials as one stack; return where the time goes."""
    options.wait()
    began = time.perf_counter()
    runs = [start(TASK, splits, trial, options.device) for trial in trials]
    options.wait()
    started = time.perf_counter()
    cohort = Cohort(runs, replay=replay)
    options.wait()
    stacked = time.perf_counter()
    epochs, ends, recorded = [], 0, 0
    training, at = train_cohort(cohort), stacked
    for events in training:
        now = time.perf_counter()
        if not isinstance(events[0], Finished):
            epochs.append(now - at)
        recorded = max(recorded, cohort.recorded)
        ends += sum(isinstance(event, Finished) for event in events)
        at = now
    whole = time.perf_counter() - began
    epoch = statistics.median(epochs[3:])
    size = len(trials)
    return {
        "steady trials/s": size / (epoch * EPOCHS),
        "whole trials/s": size / whole,
        "epoch ms": epoch * 1000,
        "first epochs ms": [round(each * 1000, 1) for each in epochs[:3]],
        "start us a trial": (started - began) / size * 1e6,
        "stack us a trial": (stacked - started) / size * 1e6,
        "kinds of steps recorded": recorded,
        "finished": ends,
    }


def profile(options: Options, splits: Splits, size: int) -> dict[str, Any]:
    """Return what an epoch of a stack consists of: the processor's time by function, the device's by kernel."""
    cohort = Cohort([start(TASK, splits, trial, options.device) for trial in draw(size)])
    training = train_cohort(cohort)
    for _ in range(4):
        next(training)
    parts: dict[str, float] = {}
    names = ("draw_epoch", "rates_of_epoch")
    before = {name: getattr(cohort_module, name) for name in names}

    def timed(name: str, act: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return act(*given, **named)
            finally:
                parts[name] = parts.get(name, 0) + time.perf_counter() - began

        return call

    for name, act in before.items():
        setattr(cohort_module, name, timed(name, act))
    for name in ("train_epoch", "validate", "_measured"):
        setattr(cohort, name, timed(name, getattr(cohort, name)))
    began = time.perf_counter()
    next(training)
    parts["epoch"] = time.perf_counter() - began
    for name, act in before.items():
        setattr(cohort_module, name, act)
    activities = [torch.profiler.ProfilerActivity.CPU]
    if options.device_name == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiler:
        spent = seconds(options, lambda: next(training))
    key = "self_device_time_total" if options.device_name == "cuda" else "self_cpu_time_total"
    events = sorted(profiler.key_averages(), key=lambda each: -getattr(each, key))
    return {
        "processor ms": {name: round(value * 1000, 2) for name, value in parts.items()},
        "profiled epoch ms": round(spent * 1000, 2),
        "launches": sum(each.count for each in events if "Launch" in each.key),
        "kernels": [[each.key[:120], each.count, round(getattr(each, key) / 1000, 3)] for each in events[:40]],
    }
