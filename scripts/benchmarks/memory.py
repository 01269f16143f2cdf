"""Memory and threads of all processes of a sweep of 2,000 trials, sampled while it runs.

A page that processes share counts once, in equal parts (Linux's proportional set size): workers are forks. The slope is
a least-squares line from the 25 % mark of the trials to the end.

`--workers 1 8` asks something else: what so many workers take together while they train search_spaces/binary.yaml (400
trials, nothing stopped early), with and without the process that they are forks of; and how many times the first.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import time
from bisect import bisect_right
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import psutil

from benchmarks.common import CheckFailed, print_table, say, temporary
from benchmarks.ours import METRICS_AN_EPOCH, read_stores, sweep_command, write_binary
from benchmarks.spaces import SPACES

MB = 2**20
Sample = tuple[float, str, float, int]  # when, whose, MB, threads


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options."""
    parser.add_argument("--cohort", choices=("auto", "off"), help="one of the two only")
    parser.add_argument("--workers", type=int, nargs="+", metavar="N", help="instead: memory of so many workers each")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`. Runs each sweep once."""
    if options.workers:
        by_workers(options, results)
        return
    trials = options.trials or (12 if options.quick else 2000)
    epochs = 2 if options.quick else 20
    for cohort in (options.cohort,) if options.cohort else ("auto", "off"):
        with temporary() as folder:
            file, home = write_binary(folder, trials, cohort, epochs=epochs), folder / "home"
            samples = watch(sweep_command(file, home), folder, timeout=600 + 3 * trials)
            stores = read_stores(home, "binary", trials, epochs, METRICS_AN_EPOCH)
        ends = sorted(trial.ended or 0.0 for trial in stores.trials)
        say(f"cohort: {cohort}, cohorts of {statistics.median(stores.cohorts()):.0f}")
        results[cohort] = summary = [_row(who, samples, ends) for who in _names(samples)]
        columns = ["processes", "MB at 25 %", "MB at the end", "most MB", "MB per 1,000 trials", "threads at 25 %"]
        rows = [list(row.values()) for row in summary]
        print_table(f"memory: {trials} trials, cohort: {cohort}", [*columns, "threads at the end", "most"], rows)


def by_workers(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Run one sweep for each number of workers; print what the workers held when they held most."""
    space = SPACES["binary"]
    trials = options.trials or (16 if options.quick else 400)
    rows, first = [], None
    for count in options.workers:
        with temporary() as folder:
            file, home = space.write(folder), folder / "home"
            more = [*space.options(trials, 42, options.cohort or "auto"), "--workers", str(count)]
            samples = watch(sweep_command(file, home, *more), folder, timeout=600 + 3 * trials)
            read_stores(home, space.name, trials, space.epochs, space.metrics)
        seen, most, with_server = workers_most(samples)
        everything = max(sum(memory for _, memory in each) for each in _at_once(samples).values())
        if seen != count:
            raise CheckFailed(f"{seen} workers were seen at once, not {count}: more trials are needed (--trials)")
        results[str(count)] = {"workers_mb": most, "with_server_mb": with_server, "all_mb": everything}
        first = first or (most, with_server, everything)
        now = (most, with_server, everything)
        times = [mine / one for mine, one in zip(now, first, strict=True)]
        rows.append([str(count), *chain.from_iterable(zip(now, times, strict=True))])
    columns = ["workers", "their MB", "times the first", "with their server MB", "times the first", "all processes MB"]
    print_table(f"memory of workers, {trials} trials: the most at once", [*columns, "times the first"], rows)


def workers_most(samples: Sequence[Sample]) -> tuple[int, float, float]:
    """Return how many workers were seen at once, the most MB that workers held, and the same with their server."""
    moments = _at_once(samples).values()
    workers = [[memory for who, memory in each if who == "workers"] for each in moments]
    servers = [sum(memory for who, memory in each if who in ("workers", "their server")) for each in moments]
    return max(map(len, workers)), max(map(sum, workers)), max(servers)


def _at_once(samples: Sequence[Sample]) -> dict[float, list[tuple[str, float]]]:
    """Return (whose, MB) of each process by the moment of the sample."""
    moments: dict[float, list[tuple[str, float]]] = {}
    for when, who, memory, _ in samples:
        moments.setdefault(when, []).append((who, memory))
    return moments


def watch(command: Sequence[str | Path], folder: Path, timeout: float) -> list[Sample]:
    """Run a command; return memory and threads of its processes, twice a second."""
    samples: list[Sample] = []
    deadline = time.monotonic() + timeout
    log = folder / "output.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    names: dict[int, str] = {process.pid: "driver"}
    try:
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise CheckFailed(f"the sweep took longer than {timeout:.0f} s")
            samples += _sample(process.pid, names)
            time.sleep(0.5)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode:
        raise CheckFailed(f"the sweep ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    return samples


def _sample(root: int, names: dict[int, str]) -> list[Sample]:
    now, found = time.time(), []
    try:
        parent = psutil.Process(root)
        for process in [parent, *parent.children(recursive=True)]:
            memory, threads = process.memory_full_info().pss / MB, process.num_threads()
            who = names.get(process.pid) or _name(process)
            if who != "helpers":
                names[process.pid] = who
            found.append((now, who, memory, threads))
    except psutil.Error:
        return []  # a process came or went: no whole sample
    return found


def _name(process: psutil.Process) -> str:
    """Say what a child of the driver does, by what it has open; "helpers" as long as that is not known."""
    opened = [Path(file.path).name for file in process.open_files()]
    if any(name.startswith("mlflow.") for name in opened):
        return "MLflow's writer"
    if any(name.startswith("worker-") for name in opened):
        return "workers"
    return "their server" if "workers.log" in opened else "helpers"


def _names(samples: Sequence[Sample]) -> list[str]:
    return [*dict.fromkeys(who for _, who, _, _ in samples), "all"]


def _row(who: str, samples: Sequence[Sample], ends: Sequence[float]) -> dict[str, Any]:
    """Return a line of the table: sums over the processes of a name, by how many trials had ended."""
    sums: dict[float, tuple[float, int]] = {}
    for when, name, memory, threads in samples:
        if who in (name, "all"):
            total = sums.get(when, (0.0, 0))
            sums[when] = total[0] + memory, total[1] + threads
    quarter, last = ends[len(ends) // 4], ends[-1]
    inside = {when: both for when, both in sums.items() if quarter <= when <= last} or sums
    done = [bisect_right(ends, when) / 1000 for when in inside]
    memory = [both[0] for both in inside.values()]
    threads = [both[1] for both in inside.values()]
    slope = statistics.linear_regression(done, memory).slope if len(set(done)) > 1 else float("nan")
    return {
        "processes": who,
        "mb_quarter": memory[0],
        "mb_end": memory[-1],
        "mb_most": max(both[0] for both in sums.values()),
        "mb_per_1000_trials": slope,
        "threads_quarter": threads[0],
        "threads_end": threads[-1],
        "threads_most": max(both[1] for both in sums.values()),
    }
