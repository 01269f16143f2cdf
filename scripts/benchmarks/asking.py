"""What asking TPE for a trial costs: this project's (hpo/search/tpe.py) beside Optuna's own, which proposes the same.

Both work on the same copy of a study that keeps so many ended trials, a third of them pruned. Groups are asked for
at once, and all of a group end before the next. A quarter of the parameters are categorical, a quarter whole numbers,
half are real. Milliseconds of processor time a trial.
"""

from __future__ import annotations

import argparse
import random
import time
from functools import partial
from typing import Any

from optuna.samplers import TPESampler
from optuna.trial import TrialState

from benchmarks.common import CheckFailed, Stat, interleaved, print_table, ratios
from hpo.search.keep import Bound
from hpo.search.samplers import STARTUP_TRIALS, make_sampler
from hpo.search.working_copy import WorkingCopy
from hpo.spec.space import Categorical, Parameter, Range, Space
from hpo.spec.sweep import Target

DOMAINS = (Categorical(("a", "b", "c", "d")), Range(1e-5, 1e-1, log=True), Range(1, 64, integer=True), Range(0.0, 1.0))
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options."""
    parser.add_argument("--groups", type=int, nargs="+", default=[1, 16], metavar="N", help="asked at once")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`."""
    asks = options.trials or (16 if options.quick else 96)
    rows = []
    for parameters in (5, 10):
        for kept in (50, 300):
            for group in options.groups:
                case = (parameters, kept, group, asks)
                programs = {name: partial(measure, name, *case) for name in ("Optuna", "this project")}
                found = interleaved(programs, options.repeats)
                if found["Optuna"][0][1] != found["this project"][0][1]:
                    raise CheckFailed(
                        f"the proposals differ: {parameters} parameters, {kept} trials, groups of {group}"
                    )
                theirs, ours = ([each[0] for each in found[name]] for name in programs)
                rows.append([parameters, kept, group, Stat(tuple(theirs)), Stat(tuple(ours)), ratios(theirs, ours)])
                results[f"{parameters} parameters, {kept} trials, groups of {group}"] = {"Optuna": theirs, "ours": ours}
    title = f"asking: median (range) of {options.repeats} repeats of {asks} asks"
    columns = ["parameters", "ended trials", "asked at once", "ms an ask, Optuna's", "this project's", "times as fast"]
    print_table(title, columns, rows)


def measure(name: str, parameters: int, kept: int, group: int, asks: int, repeat: int) -> tuple[float, list[Any]]:
    """Return the ms that an ask takes, and what was proposed."""
    space = Space(tuple(Parameter(f"p{index}", DOMAINS[index % len(DOMAINS)]) for index in range(parameters)))
    if name == "Optuna":
        sampler = TPESampler(seed=1, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True)
    else:
        sampler = make_sampler("tpe", space, 1)
    copy, lot, proposed, seconds = (
        WorkingCopy(space, Target("x", "minimize"), sampler, Bound(ENDED), 1),
        random.Random(1),
        [],
        0.0,
    )
    numbers = [(copy.fix(params), params) for params in (space.draw(lot) for _ in range(kept))]
    while True:
        for number, params in numbers:
            value = sum((part - 0.3) ** 2 if isinstance(part, float) else 0.1 for part in params.values())
            state = ENDED[number % 3 == 0]
            copy.end(number, state, value, (1 + number % 5, value))
        if len(proposed) >= asks:
            return seconds / len(proposed) * 1000, proposed
        began = time.process_time()
        numbers = [copy.ask() for _ in range(group)]
        seconds += time.process_time() - began
        proposed += [params for _, params in numbers]
