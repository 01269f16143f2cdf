"""Several workers on one GPU: processes that train cohorts side by side, from parameters to the last event."""

from __future__ import annotations

import multiprocessing
import time
from typing import Any

from gpu_check.common import EPOCHS, Notes, Options, draw

COHORTS = 2  # that each worker trains, one after the other


def run(options: Options, notes: Notes) -> None:
    """Measure one worker, two, and more; check that what they train is the same."""
    from gpu_check.speed import plain_loop

    alone: dict[int, float] = {}
    core = 0.0
    with notes.going_on("plain loop on a core"):
        import torch

        torch.set_num_threads(1)
        core = plain_loop(torch.device("cpu"), 4)
    for workers, size in ((1, 8), (2, 8)) if options.quick else ((1, 1024), (2, 1024), (4, 1024), (8, 1024), (12, 512)):
        with notes.going_on(f"{workers} workers"):
            took, values = together(options, workers, size)
            for number, value in values.items():
                known = alone.setdefault(number, value)
                # Members of one stack of the same trials: bit for bit, whoever else uses the card.
                assert size != 1024 or repr(known) == repr(value), (
                    f"trial {number}: {known} alone, {value} beside others"
                )
            speed = workers * COHORTS * size / took
            row = {"workers": workers, "K": size, "whole trials/s": speed}
            notes.row("Workers on one GPU", row | ({"x plain loop on a core": speed / core} if core else {}))
    notes.raise_failed()


def together(options: Options, workers: int, size: int) -> tuple[float, dict[int, float]]:
    """Return the seconds from when all are ready to when the last has ended, and each trial's last val_loss."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(workers + 1), context.Queue()
    processes = [
        context.Process(target=work, args=(options, worker, size, barrier, results), daemon=True)
        for worker in range(workers)
    ]
    for process in processes:
        process.start()
    barrier.wait(60)
    began = time.perf_counter()
    found: dict[int, float] = {}
    ends = []
    for _ in processes:
        ended, values = results.get(timeout=60)
        ends.append(ended)
        found |= values
    for process in processes:
        process.join(10)
    assert len(found) == workers * COHORTS * size, "a trial was lost"
    return max(ends) - began, found


def work(options: Options, worker: int, size: int, barrier: Any, results: Any) -> None:
    """Train this worker's cohorts."""
    from gpu_check.speed import TASK, splits_on
    from hpo.events import Reported
    from hpo.training.device import settle_process
    from hpo.training.run import start
    from hpo.training.stack.cohort import Cohort, train_cohort

    def train(first: int, count: int, epochs: int) -> dict[int, float]:
        runs = [start(TASK, splits, trial, options.device) for trial in draw(count, epochs, first)]
        found = {trial.trial.number: float("nan") for trial in runs}
        for events in train_cohort(Cohort(runs)):
            found |= {e.number: e.metrics["val_loss"] for e in events if isinstance(e, Reported)}
        return found

    settle_process()
    splits = splits_on(options.device)
    train(0, 8, 4)
    barrier.wait(60)
    values: dict[int, float] = {}
    for turn in range(COHORTS):
        values |= train((worker * COHORTS + turn) * size, size, 2 if options.quick else EPOCHS)
    results.put((time.perf_counter(), values))
