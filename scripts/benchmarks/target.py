"""`search --real`: the time until a search has found a value that was fixed in advance, by real training.

The target is the median best of plain Optuna's TPE after 100 trials, over as many seeds as are compared, none of which
is used again. Then each program starts with each seed, whole command from start to exit, everything logged; all take
turns. This project: `hpo sweep` with `metric.target`, which starts no more trials once one has reached it, and trains
those that run to their end. Peer: Optuna + MLflow on two processes, which call Study.stop in a callback. Nobody stops
trials early or begins with given configurations (`early_terminate: none`, `baselines: []`), and a trial's value is that
of its last epoch. After 1,500 trials a search is given up; its time is then a lower bound, and so are ratios with it.

`binary` is search_spaces/binary.yaml, `regression` that of spaces.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.common import CheckFailed, Stat, drawing, interleaved, print_table, ratios, save, say, temporary
from benchmarks.cost import Cost, cost_of
from benchmarks.ours import read_stores, sweep_command
from benchmarks.programs import TIMEOUT, environment, fresh, make_mlflow, optuna_loop, optuna_mlflow
from benchmarks.spaces import SPACES, Space

OURS, BEFORE, PEER = "this project", "this project, before", "Optuna + MLflow, 2 processes"
TARGET_SEED, SEED = 500, 42  # of the first search of either kind


@dataclass(frozen=True)
class Search:
    """One search, whole command.

    reached: whether it found the target.
    curve: (seconds since the start, best so far) at each improvement.
    """

    seconds: float
    cpu: float
    trials: int
    reached: bool
    curve: list[tuple[float, float]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `--real`."""
    parser.add_argument("--real", action="store_true", help="instead: time to a target, by real training")
    parser.add_argument("--space", choices=("binary", "regression"), help="--real: one of the two only")
    parser.add_argument("--target", type=float, metavar="X", help="--real --space: one from before, not searched for")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="--real: also the hpo of this other checkout")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`."""
    if options.target is not None and not options.space:
        raise CheckFailed("--target belongs to one space: add --space binary or --space regression")
    cap = options.trials or (6 if options.quick else 1500)
    seeds = options.seeds or (1 if options.quick else 5)
    trials = 3 if options.quick else 100
    env = environment(options.before)
    for name in (options.space,) if options.space else ("binary", "regression"):
        space = SPACES[name]
        with temporary() as folder:
            target = options.target
            if target is None:
                target = find_target(folder, space, trials, seeds)
            say(f"{name}: the target is {target}")
            empty = make_mlflow(folder)
            programs: dict[str, Callable[[int], Search]] = {OURS: partial(ours, folder, space, cap, target, OURS, None)}
            if env:
                programs[BEFORE] = partial(ours, folder, space, cap, target, BEFORE, env)
            programs[PEER] = partial(peer, folder, empty, space, cap, target)
            found = interleaved(programs, seeds)
        results[name] = {"target": target, **{who: [asdict(one) for one in runs] for who, runs in found.items()}}
        title = f"time to {space.metric} {target:.4g}, space {name}, at most {cap:,} trials"
        print_searches(f"{title}: median (range) of {seeds} seeds", found)
    if options.plot:
        draw(options.plot, results)


def find_target(folder: Path, space: Space, trials: int, seeds: int) -> float:
    """Return the median best of plain Optuna after so many trials."""
    best = []
    for seed in range(TARGET_SEED, TARGET_SEED + seeds):
        done = optuna_loop(fresh(folder, f"target-{seed}"), space, trials, seed)
        best.append(curve_of(space, 0.0, zip(done.ends[0], done.values[0], strict=True))[-1][1])
        say(f"{space.name}: the best of seed {seed} is {best[-1]}")
    return statistics.median(best)


def ours(
    folder: Path, space: Space, cap: int, target: float, program: str, env: Mapping[str, str] | None, repeat: int
) -> Search:
    """Run a sweep with a target. env: with another checkout's hpo."""
    place = fresh(folder, f"{'ours' if program == OURS else 'before'}-{repeat}")
    file, home = space.write(place), place / "home"
    options = [*space.options(cap, SEED + repeat), "-o", f"metric.target={target!r}", "-o", "baselines=[]"]
    began = time.time()
    cost = cost_of([sweep_command(file, home, *options)], place, TIMEOUT, env)
    trials = sum(json.loads(cost.printed[0].splitlines()[-1])["trials"].values())
    stores = read_stores(home, space.name, trials, space.epochs, space.metrics)
    curve = curve_of(space, began, [(trial.ended, trial.value) for trial in stores.trials])
    return searched(space, target, cost, trials, curve)


def peer(folder: Path, empty: Path, space: Space, cap: int, target: float, repeat: int) -> Search:
    """Run peers/optuna_mlflow.py on two processes, with a target."""
    place = fresh(folder, f"peer-{repeat}")
    began = time.time()
    done = optuna_mlflow(place, empty, space, -(-cap // 2), 2, SEED + repeat, target)
    trials = zip(chain.from_iterable(done.ends), chain.from_iterable(done.values), strict=True)
    return searched(space, target, done.cost, done.trained, curve_of(space, began, trials))


def searched(space: Space, target: float, cost: Cost, trials: int, curve: list[tuple[float, float]]) -> Search:
    """Return a search of which all is known."""
    return Search(cost.seconds, cost.cpu, trials, bool(curve) and space.reached(curve[-1][1], target), curve)


def curve_of(space: Space, began: float, trials: Any) -> list[tuple[float, float]]:
    """Return (seconds since `began`, best so far) at each improvement. trials: (when it ended, value or None) each."""
    curve: list[tuple[float, float]] = []
    for ended, value in sorted((ended, value) for ended, value in trials if value is not None):
        if value == value and (not curve or (value != curve[-1][1] and space.reached(value, curve[-1][1]))):
            curve.append((ended - began, value))
    return curve


def print_searches(title: str, found: Mapping[str, Sequence[Search]]) -> None:
    """Print a row a program."""
    reference = [one.seconds for one in found[OURS]]
    rows = [
        [
            name,
            f"{sum(one.reached for one in runs)} of {len(runs)}",
            Stat(tuple(one.seconds for one in runs)),
            ratios([one.seconds for one in runs], reference),
            Stat(tuple(float(one.trials) for one in runs)),
            Stat(tuple(one.cpu for one in runs)),
        ]
        for name, runs in found.items()
    ]
    columns = ["program", "reached it", "whole command s", "times this project's, seed by seed", "trials", "CPU s"]
    print_table(title, columns, rows)


COLOURS = {OURS: "#009e73", BEFORE: "#e69f00", PEER: "#0072b2"}  # Okabe and Ito's


def draw(file: Path, results: Mapping[str, Any]) -> None:
    """Draw a panel for each space: the best so far over the seconds since the start, a line a seed."""
    if (pyplot := drawing()) is None:
        return

    figure, panels = pyplot.subplots(
        1, len(results), figsize=(5 * len(results), 3.6), squeeze=False, layout="constrained"
    )
    for panel, (name, found) in zip(panels[0], results.items(), strict=True):
        for program in [program for program in COLOURS if program in found]:
            for index, one in enumerate(found[program]):
                if one["curve"]:
                    seconds, values = zip(*one["curve"], (one["seconds"], one["curve"][-1][1]), strict=True)
                    label = program if not index else None
                    panel.step(seconds, values, where="post", color=COLOURS[program], linewidth=1.2, label=label)
        panel.axhline(found["target"], color="#999999", linestyle=":", label="target")
        panel.set(title=name, xscale="log", xlabel="seconds since the command's start")
        panel.set_ylabel(f"best {SPACES[name].metric} so far")
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False)
    save(figure, file)
