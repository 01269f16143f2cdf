"""What all suites share: the machine, running commands, statistics, tables."""

from __future__ import annotations

import importlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import psutil

from hpo.ledger.study.provenance import git_commit, versions

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(sys.executable)
HPO = PYTHON.with_name("hpo")
T = TypeVar("T")


class CheckFailed(Exception):
    """The measured program did not do what it was measured for."""


def machine() -> dict[str, object]:
    """Return what the numbers depend on besides the code."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "commit": git_commit(ROOT) or "unknown",
        "load": [round(load, 2) for load in os.getloadavg()],  # of others, as the suite has not begun
        "versions": versions(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def print_header(command: str, text: str) -> None:
    """Print command, machine and versions."""
    facts = machine()
    listed = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())  # type: ignore[attr-defined]
    load = facts["load"][0]  # type: ignore[index]
    print(f"$ {command}\n{text}\n")
    print(f"{facts['date']}, commit {facts['commit']}, load of the machine before: {load}")
    print(f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gb']} GB, {facts['system']}\n{listed}", flush=True)


@dataclass(frozen=True)
class Stat:
    """Repeated measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        """Median and, of several, the range."""
        if not self.values:
            return "-"
        if len(self.values) == 1:
            return show(self.median)
        return f"{show(self.median)} ({show(min(self.values))} - {show(max(self.values))})"


def show(number: float) -> str:
    """Return three significant digits, without an exponent; thousands in full."""
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}" if abs(number) >= 0.001 else f"{number:.2g}"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Stat:
    """Return ours / theirs, repeat by repeat: what disturbs the machine disturbs both."""
    return Stat(tuple(a / b for a, b in zip(ours, theirs, strict=False)))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table that docs/benchmarks.md can take as it is."""
    cells = [list(columns), *([show(cell) if isinstance(cell, float) else str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    cells.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    print(f"\n{title}\n")
    for first, *others in cells:
        aligned = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print("| " + " | ".join([first.ljust(widths[0]), *aligned]) + " |")
    print(flush=True)


def interleaved(programs: Mapping[str, Callable[[int], T]], repeats: int) -> dict[str, list[T]]:
    """Run every program once a repeat (its argument), each repeat beginning with another one; return the results."""
    results: dict[str, list[T]] = {name: [] for name in programs}
    names = list(programs)
    for repeat in range(repeats):
        turn = repeat % len(names)
        for name in names[turn:] + names[:turn]:
            began = time.monotonic()
            results[name].append(programs[name](repeat))
            say(f"repeat {repeat + 1} of {repeats}: {name}, {time.monotonic() - began:.1f} s")
    return results


def say(text: str) -> None:
    """Print progress, not a result."""
    print(f"  {text}", file=sys.stderr, flush=True)


def run_all(
    commands: Sequence[Sequence[str | Path]], folder: Path, timeout: float, env: Mapping[str, str] | None = None
) -> tuple[list[str], float]:
    """Run commands side by side in a folder; return what each printed, and the seconds until the last one ended.

    env: their environment (default: this process's).

    Raises CheckFailed, with the end of its standard error, if one fails or takes longer than `timeout` seconds.
    """
    began = time.monotonic()
    logs = [folder / f"output-{index}.log" for index in range(len(commands))]
    errors = [folder / f"errors-{index}.log" for index in range(len(commands))]
    processes = []
    for command, log, error in zip(commands, logs, errors, strict=True):
        with log.open("w") as out, error.open("w") as err:
            files = {"stdout": out, "stderr": err, "stdin": subprocess.DEVNULL}
            processes.append(subprocess.Popen(command, cwd=folder, env=env, **files))
    try:
        for process, error in zip(processes, errors, strict=True):
            if process.wait(max(1.0, began + timeout - time.monotonic())):
                told = "\n".join(error.read_text(errors="replace").splitlines()[-25:])
                raise CheckFailed(f"{process.args} ended with {process.returncode}:\n{told}")
    except subprocess.TimeoutExpired as late:
        raise CheckFailed(f"{late.cmd} took longer than {timeout:.0f} s") from None
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
                process.wait()
    return [log.read_text() for log in logs], time.monotonic() - began


def drawing() -> ModuleType | None:
    """Return matplotlib.pyplot, set so that the same numbers give the same file; None, and say so, if it is not
    installed."""
    try:
        import matplotlib
    except ImportError:
        say("matplotlib is not installed: no plot")
        return None
    matplotlib.use("agg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "hpo", "font.size": 9})
    return importlib.import_module("matplotlib.pyplot")


def save(figure: Any, file: Path) -> None:
    """Write a figure into a file (.svg or .png)."""
    figure.savefig(file, dpi=150, metadata={"Date": None} if file.suffix == ".svg" else None)


@contextmanager
def temporary() -> Iterator[Path]:
    """Give a folder that goes away. Where it lies ($TMPDIR) is part of what is measured: the stores are in it."""
    with tempfile.TemporaryDirectory(prefix="hpo-benchmark-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
