"""scripts/benchmark SUITE [options]: run one suite, print its tables, keep the raw numbers."""

from __future__ import annotations

import argparse
import importlib
import json
import runpy
import shlex
import sys
from pathlib import Path

from benchmarks.common import CheckFailed, machine, print_header

SUITES = {
    "throughput": "trials a second, everything logged: this project, Optuna, Optuna + MLflow, Ray Tune",
    "short": "whole commands, 20 to 2,000 trials: wall and CPU time beside Optuna, Optuna + MLflow, and `import torch`",
    "training": "time of a trial's step: a stack of models, the plain loop, a bare PyTorch loop; CIFAR-10 alone",
    "folds": "what a trial of five folds or seeds costs beside one training: by plain loops, and as stacks",
    "ray": "the Ray engine: trials a second against Ray Tune, the gain of a second worker, results a second",
    "overhead": "wall time a trial of an objective that does nothing but report, logged in both stores",
    "ledger": "seconds to open, continue and check a study of 10,000 trials",
    "dashboards": "seconds of a sweep beside open dashboards that are reloaded, and without them",
    "pages": "seconds until each page of `hpo ui` over a study of 10,000 trials is seen, in Chromium",
    "memory": "memory and threads of a sweep of 2,000 trials; or of its workers, by how many there are",
    "scale": "what the driver bears: 1,000 simulated workers and 100,000 trials in simulated time",
    "asking": "time of an ask: this project's TPE and Optuna's, which proposes the same",
    "forecast": "the time that is left as it is said under way, against what came: simulated sweeps",
    "calibration": "verdicts of a confirmation: how often wrong on pure noise, and how large a difference is shown",
    "refine": "is the best of a refined sweep, with half the budget, as good as the first sweep's?",
    "best_epoch": "is a trial's best epoch or its last one the better rule for its value? By the winner's test rows",
    "tables": "the best of 100 default trials on seven public tables, beside untuned gradient boosting, on test rows",
    "search": "regret on test functions: random search, Optuna's TPE, this project's TPE one by one and in groups; "
    "or, with --real, the time to a target by real training",
}
HERE = Path(__file__).parent


def main() -> int:
    """Return the exit code: 1 if a check failed, as when a store lacks a trial."""
    if len(sys.argv) > 1 and sys.argv[1] not in SUITES and (HERE / sys.argv[1] / "__main__.py").exists():
        package = sys.argv.pop(1)  # a suite with a command line of its own
        runpy.run_module(f"benchmarks.{package}", run_name="__main__", alter_sys=True)
        return 0
    parser = argparse.ArgumentParser(prog="scripts/benchmark", description="Measure the platform.")
    suites = parser.add_subparsers(dest="suite", required=True, metavar="SUITE")
    for name, text in SUITES.items():
        suite = suites.add_parser(name, help=text, description=text)
        suite.add_argument("--repeats", type=int, metavar="N", help="interleaved repeats (default 3)")
        suite.add_argument("--trials", type=int, metavar="N", help="trials of this project's sweeps")
        suite.add_argument("--quick", action="store_true", help="a tiny run that only shows that everything works")
        suite.add_argument("--json", type=Path, metavar="FILE", help="keep the raw numbers")
        importlib.import_module(f"benchmarks.{name}").add_options(suite)
    options = parser.parse_args()
    options.repeats = options.repeats or (1 if options.quick else 3)

    command = f"scripts/benchmark {shlex.join(sys.argv[1:])}"
    print_header(command, SUITES[options.suite])
    failure = ""
    results: dict[str, object] = {}
    try:
        importlib.import_module(f"benchmarks.{options.suite}").run(options, results)
    except CheckFailed as failed:
        failure = str(failed)
        print(f"\nFAILED: {failure}", file=sys.stderr)
    if options.json:
        facts = {"command": command, "machine": machine(), "failure": failure, "results": results}
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
