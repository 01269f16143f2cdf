"""What the search finds: random search, Optuna's TPE, and this project's TPE, asked one by one and in groups.

This project's sampler sees at most 300 trials, and a sweep that trains cohorts asks for many trials before it knows how
any of them ends (docs/cohorts.md). What does either cost? The regret (best value so far - minimum) is compared after
100, 300 and 1,000 trials. Groups have the size that the planner gives a sweep of so many trials with two workers, and
all of a group end before the next is asked for.

The functions are cheap standards, with domains such that no minimum lies in the middle, where TPE's prior is.

`--real` measures something else: the time to a target by real training (target.py).
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from scipy.stats import mannwhitneyu

from benchmarks import target
from benchmarks.common import drawing, print_table, save, say
from hpo.plan.planner import opening
from hpo.search.distributions import suggest
from hpo.search.searcher import Searcher
from hpo.spec.space import Categorical, Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target

WORKERS = 2  # that the planner's groups are for
OPENING = opening("tpe", None, WORKERS)  # how many trials the planner has open at a time
FLOOR = 1e-12  # of a regret, for its logarithm

Params = Mapping[str, Any]
Curve = list[float]  # the value of each trial, in the order in which they were asked for


@dataclass(frozen=True)
class Problem:
    """A function to minimize."""

    space: Space
    value: Callable[[Params], float]
    minimum: float


@dataclass(frozen=True)
class Job:
    """One search: `method` of METHODS, or this project's TPE in groups of a fixed size."""

    problem: str
    method: str
    group: int
    trials: int
    seed: int


def box(dimensions: int, low: float, high: float) -> Space:
    """Return a cube."""
    return Space(tuple(Parameter(f"x{index}", Range(low, high)) for index in range(dimensions)))


def branin(params: Params) -> float:
    """Dixon and Szego, "The global optimization problem: an introduction", 1978."""
    x, y = params["x"], params["y"]
    valley = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


HARTMANN_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
HARTMANN_P = np.array(
    [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ]
)


def hartmann(params: Params) -> float:
    """Hartman, "Some experiments in global optimization", 1973; constants as in Dixon and Szego, 1978."""
    point = np.array(list(params.values()))
    return -float(np.exp(-(HARTMANN_A * (point - HARTMANN_P) ** 2).sum(axis=1)) @ [1.0, 1.2, 3.0, 3.2])


def ackley(params: Params) -> float:
    """Ackley, "A connectionist machine for genetic hillclimbing", 1987; on Hedar's domain, [-15, 30]."""
    point = np.array(list(params.values()))
    waves = math.exp(np.cos(2 * math.pi * point).mean())
    return 20 - 20 * math.exp(-0.2 * math.sqrt((point**2).mean())) + math.e - waves


def rastrigin(params: Params) -> float:
    """Rastrigin, 1974, in the form of Muehlenbein et al., 1991; its domain, of width 10.24, moved by 2."""
    return math.fsum(x**2 - 10 * math.cos(2 * math.pi * x) + 10 for x in params.values())


TREE = Space(
    (
        Parameter("a", Categorical(("left", "right"))),
        Parameter("b", Categorical(("up", "down")), {"a": "left"}),
        Parameter("c", Categorical(("up", "down")), {"a": "right"}),
        Parameter("x0", Range(-1.0, 1.5), {"b": "up"}),
        Parameter("x1", Range(-1.0, 1.5), {"b": "down"}),
        Parameter("x2", Range(-1.0, 1.5), {"c": "up"}),
        Parameter("x3", Range(-1.0, 1.5), {"c": "down"}),
        Parameter("left", Range(0.0, 1.0), {"a": "left"}),
        Parameter("right", Range(0.0, 1.0), {"a": "right"}),
    )
)


def tree(params: Params) -> float:
    """Jenatton et al., "Bayesian optimization with tree-structured dependencies", 2017: a leaf has a square, a height,
    and a parameter that it shares with its neighbour."""
    leaf = next(index for index in range(4) if f"x{index}" in params)
    return float(params[f"x{leaf}"] ** 2 + 0.1 * (leaf + 1) + params[params["a"]])


PLANE = Space((Parameter("x", Range(-5.0, 10.0)), Parameter("y", Range(0.0, 15.0))))
PROBLEMS = {
    "Branin, 2": Problem(PLANE, branin, 0.397887357729738),
    "Hartmann, 6": Problem(box(6, 0.0, 1.0), hartmann, -3.322368011415515),
    "Ackley, 5": Problem(box(5, -15.0, 30.0), ackley, 0.0),
    "Rastrigin, 5": Problem(box(5, -3.12, 7.12), rastrigin, 0.0),
    "Tree, 9 conditional": Problem(TREE, tree, 0.1),
}


def ask_optuna(job: Job, sampler: optuna.samplers.BaseSampler) -> tuple[Curve, float]:
    """Search with a sampler of Optuna's as it comes; return the values and the seconds of asking and telling."""
    problem = PROBLEMS[job.problem]
    study = optuna.create_study(sampler=sampler)
    values, seconds = [], 0.0
    for _ in range(job.trials):
        began = time.perf_counter()
        trial = study.ask()
        params = suggest(trial, problem.space)
        seconds += time.perf_counter() - began
        values.append(problem.value(params))
        began = time.perf_counter()
        study.tell(trial, values[-1])
        seconds += time.perf_counter() - began
    return values, seconds


def ask_searcher(job: Job) -> tuple[Curve, float]:
    """Search with this project's TPE, `job.group` trials at a time; 0: as many as the planner would."""
    problem = PROBLEMS[job.problem]
    sweep = Sweep(
        name=job.problem, source=Path("search.yaml"), text="", metric=Target("value", "minimize"), space=problem.space,
        budget=Limits(job.trials), objective="", method="tpe", seed=job.seed,
    )  # fmt: skip
    searcher = Searcher(sweep)
    values: Curve = []
    seconds = 0.0
    while len(values) < job.trials:
        began = time.perf_counter()
        group = job.group or OPENING.at(len(values))
        asked = [searcher.propose() for _ in range(min(group, job.trials - len(values)))]
        seconds += time.perf_counter() - began
        found = [problem.value(proposal.params) for proposal in asked if proposal]
        began = time.perf_counter()
        for number, (proposal, value) in enumerate(zip(asked, found, strict=True), len(values)):
            assert proposal is not None
            searcher.begin(proposal.key, number, None)
            searcher.finish(proposal.key, optuna.trial.TrialState.COMPLETE, value)
        seconds += time.perf_counter() - began
        values += found
    return values, seconds


def search(job: Job) -> tuple[Job, Curve, float]:
    """Run one search, in a process of its own."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if job.method == "random":
        return job, *ask_optuna(job, optuna.samplers.RandomSampler(seed=job.seed))
    if job.method == "Optuna":
        return job, *ask_optuna(job, optuna.samplers.TPESampler(seed=job.seed))
    return job, *ask_searcher(job)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options."""
    parser.add_argument("--seeds", type=int, metavar="N", help="searches of each kind (default 10; --real: 5)")
    parser.add_argument("--groups", type=int, nargs="+", default=[], metavar="N", help="also groups of these sizes")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw what was found (.svg or .png; needs matplotlib)"
    )
    target.add_options(parser)


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`."""
    if options.real:
        target.run(options, results)
        return
    budgets = [options.trials] if options.trials else [12, 24] if options.quick else [100, 300, 1000]
    seeds = options.seeds or (2 if options.quick else 10)
    jobs = [
        job
        for seed in range(seeds)
        for problem in PROBLEMS
        for job in [
            *(Job(problem, method, 1, max(budgets), seed) for method in ("random", "Optuna", "one by one")),
            *(Job(problem, f"groups of {size}", size, max(budgets), seed) for size in options.groups),
            Job(problem, "planner's groups", 0, max(budgets), seed),
        ]
    ]
    ended = []
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
        for job, values, seconds in pool.imap_unordered(search, jobs):
            ended.append((job, np.minimum.accumulate(values) - PROBLEMS[job.problem].minimum, seconds))
            if len(ended) % 25 == 0 or len(ended) == len(jobs):
                say(f"{len(ended)} of {len(jobs)} searches, {time.monotonic() - began:.0f} s")
    results["search"] = [
        {**vars(job), "seconds": seconds, "regret": regret.tolist()} for job, regret, seconds in ended
    ]  # fmt: skip
    methods = ["random", "Optuna", "one by one", *(f"groups of {size}" for size in options.groups), "planner's groups"]

    def regrets(problem: str, method: str, trials: int) -> np.ndarray:
        """Return log10 of the regret of each seed's search after so many trials."""
        found = [
            (job.seed, regret[trials - 1]) for job, regret, _ in ended if (job.problem, job.method) == (problem, method)
        ]
        return np.log10(np.maximum([regret for _, regret in sorted(found)], FLOOR))

    print_table(
        f"search: log10 of the regret (lower is better), median (quartiles) of {seeds} seeds; planner's groups hold "
        + ", ".join(f"{OPENING.at(budget)} trials after {budget:,}" for budget in (0, *budgets)),
        ["function", "trials", *methods],
        [
            [problem, f"{budget:,}", *(quartiles(regrets(problem, method, budget)) for method in methods)]
            for problem in PROBLEMS
            for budget in budgets
        ],
    )
    references = [("one by one", "Optuna"), *((name, "one by one") for name in methods[3:])]
    print_table(
        "difference of median log10 regrets (negative: the first is better; * p < 0.05, ** p < 0.01, Mann-Whitney)",
        ["function", "trials", *(f"{one} - {other}" for one, other in references)],
        [
            [
                problem,
                f"{budget:,}",
                *(
                    difference(regrets(problem, one, budget), regrets(problem, other, budget))
                    for one, other in references
                ),
            ]
            for problem in PROBLEMS
            for budget in budgets
        ],
    )
    print_table(
        f"ms of asking and telling a trial, mean of a search of {max(budgets):,} trials",
        ["function", *methods],
        [[problem, *(cost(ended, problem, method, max(budgets)) for method in methods)] for problem in PROBLEMS],
    )
    if options.plot:
        draw(options.plot, ended, methods, max(budgets), seeds)


def quartiles(values: np.ndarray) -> str:
    """Return the median and the quartiles."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.2f} ({low:.2f}, {high:.2f})"


def difference(one: np.ndarray, other: np.ndarray) -> str:
    """Return the difference of medians, with stars for one that is hardly chance."""
    chance = float(mannwhitneyu(one, other).pvalue)
    return f"{np.median(one) - np.median(other):+.2f}{'**' if chance < 0.01 else '*' if chance < 0.05 else ''}"


def cost(ended: Sequence[tuple[Job, np.ndarray, float]], problem: str, method: str, trials: int) -> float:
    """Return the ms that one trial of a search costs."""
    seconds = [
        seconds for job, _, seconds in ended if (job.problem, job.method, job.trials) == (problem, method, trials)
    ]
    return float(np.mean(seconds)) / trials * 1000


COLOURS = (
    "#999999",
    "#0072b2",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#f0e442",
)  # Okabe and Ito's; random is grey


def draw(
    file: Path, ended: Sequence[tuple[Job, np.ndarray, float]], methods: Sequence[str], trials: int, seeds: int
) -> None:
    """Draw a panel for each function: the median regret, and the quartiles around it."""
    if (pyplot := drawing()) is None:
        return
    from matplotlib.ticker import NullFormatter

    figure, panels = pyplot.subplots(2, 3, figsize=(10, 6), layout="constrained")
    *used, rest = panels.flat
    shown = np.unique(np.geomspace(1, trials, 60).round().astype(int))
    colours = dict(zip([*methods[:3], methods[-1], *methods[3:-1]], COLOURS * 2, strict=False))
    for panel, problem in zip(used, PROBLEMS, strict=True):
        for method in methods:
            curves = [
                regret for job, regret, _ in ended if (job.problem, job.method, job.trials) == (problem, method, trials)
            ]
            low, middle, high = np.percentile(np.maximum(curves, FLOOR)[:, shown - 1], [25, 50, 75], axis=0)
            panel.plot(shown, middle, color=colours[method], label=label(method, trials), linewidth=1.5)
            panel.fill_between(shown, low, high, color=colours[method], alpha=0.15, linewidth=0)
        panel.set(title=problem, xscale="log", yscale="log", xlim=(1, trials))
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[:, 0]:
        panel.set_ylabel("regret")
    for panel in (*panels[1, :2], panels[0, 2]):
        panel.set_xlabel("trials")
    rest.axis("off")
    rest.legend(
        *used[0].get_legend_handles_labels(), loc="center left", frameon=False,
        title=f"median and quartiles of {seeds} searches",
    )  # fmt: skip
    save(figure, file)


def label(method: str, trials: int) -> str:
    """Return what the legend calls a method."""
    names = {
        "random": "random search",
        "Optuna": "Optuna's TPE",
        "one by one": "hpo's TPE, one by one",
        "planner's groups": f"hpo's TPE, planner's groups (up to {OPENING.at(trials)})",
    }
    return names.get(method, f"hpo's TPE, {method}")
