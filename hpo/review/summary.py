"""What is said at the end of a sweep."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpo.diagnosis.words import health_lines
from hpo.ledger.study.home import Home
from hpo.ledger.study.urls import masked
from hpo.review.display import duration, states_text
from hpo.review.references import compared, reference_lines, references_json
from hpo.spec.census import size_of
from hpo.spec.space import counted, show
from hpo.spec.sweep import Sweep
from hpo.standing import Standing


def summary_json(standing: Standing, home: Home) -> dict[str, Any]:
    """Return the object that `hpo sweep --json` prints (README, "For scripts")."""
    best = standing.best
    value = best.value if best else None
    rows = compared(standing.references, standing.metric, standing.goal, value)
    rate = standing.counts.ended_here / standing.seconds if standing.seconds else 0.0
    return {
        "study": standing.study,
        "trials": {
            "complete": standing.counts.complete,
            "pruned": standing.counts.pruned,
            "failed": standing.counts.failed,
        },
        "best": {"number": best.number, "value": best.value, "params": dict(best.params)} if best else None,
        "diagnoses": {
            "best": None if best is None or best.diagnoses is None else [asdict(each) for each in best.diagnoses],
            "trials": dict(standing.counts.diagnoses),
        },
        "references": references_json(standing.references, rows, value),
        "seconds": round(standing.seconds, 3),
        "trials_per_second": round(rate, 3),
        "home": str(home.path.resolve()),
    }


def summary_text(sweep: Sweep, standing: Standing, home: Home, options: Sequence[str] = ()) -> str:
    """Return the summary for people: outcome, best configuration, where everything lies, what to do next.

    options: that the command was given besides the home's.
    """
    lines = [*outcome_lines(sweep, standing, home, "--extend {}"), ""]
    option = home_options(home)
    hpo = hpo_command()
    if standing.interrupted:
        lines.append(f"continue  {hpo} sweep {shlex.join([str(sweep.source), *options])}{option}")
    if more := more_trials(sweep, standing):
        lines.append(f"more      {hpo} sweep {shlex.join([str(sweep.source), *options])} --extend {more}{option}")
    if standing.best is not None:
        lines.append(f"re-run    {hpo} best {shlex.quote(sweep.name)} --format yaml{option} > best.yaml")
        lines.append(f"          {hpo} sweep best.yaml{option}")
        if standing.best.state == "pruned":
            lines.append("          (it was stopped early: the file says how long it trains again, and to which value)")
    lines.append(f"look      {hpo} ui{option}")
    return "\n".join(lines)


def outcome_lines(sweep: Sweep, standing: Standing, home: Home, extend: str = "extend={}") -> list[str]:
    """Return how a sweep ended, its best configuration, and where everything lies.

    extend: how more trials are asked for, {} in the place of their number.
    """
    lines = [f"{standing.study}: {states_text(standing)} in {duration(standing.seconds)}"]
    if standing.reason:
        lines.append(f"ended early: {standing.reason}")
    elif is_used_up(standing):
        lines.append(_budget_line(sweep, standing, extend))
    lines += standing.remarks
    if standing.best is None:
        lines += ["no trial finished", *health_lines(None, standing.counts.diagnoses)]
    else:
        lines += _best_lines(standing)
    return [
        *lines,
        "",
        f"study     {masked(home.storage_url)}",
        f"mlflow    {masked(home.tracking_uri)}",
        f"logs      {home.logs / sweep.name}",
    ]


def is_used_up(standing: Standing) -> bool:
    """Whether a sweep ended because its budget of trials is used up."""
    early = standing.reason or standing.interrupted or standing.error
    return not early and standing.done >= standing.trials


def more_trials(sweep: Sweep, standing: Standing) -> int:
    """Return how many trials more are worth asking for: as many again, as far as there are configurations; 0: none."""
    if not is_used_up(standing):
        return 0
    size = size_of(sweep.space) if sweep.duplicates == "skip" else None
    return standing.trials if size is None else max(0, min(standing.trials, size - standing.done))


def _budget_line(sweep: Sweep, standing: Standing, extend: str) -> str:
    before = "" if standing.counts.ended_here else ", so nothing was trained now"
    used = f"the budget of {counted(standing.trials, 'trial')} is used{before}"
    if more := more_trials(sweep, standing):
        return f"{used}; {extend.format(more)} gives {more:,} more"
    return f"{used}, and each configuration of the space was tried"


def home_options(home: Home) -> str:
    """Return the options that lead a command to this home; "" where it finds it by itself. A password is left to
    the user to fill in."""
    option = "" if home.path == Path("mlruns").absolute() else f" --home {shlex.quote(str(home.path))}"
    return option + (f" --storage {shlex.quote(masked(home.storage))}" if home.storage else "")


def hpo_command() -> str:
    """Return how this command is called from here: `hpo` where the shell finds it, else with its path."""
    if shutil.which("hpo"):
        return "hpo"
    path = Path(sys.argv[0])
    if path.name != "hpo":
        return f"{shlex.quote(sys.executable)} -m hpo"
    return shlex.quote(os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path))


def _best_lines(standing: Standing) -> list[str]:
    best = standing.best
    assert best is not None
    lines = [f"best {standing.metric} {show(best.value)} ({best.in_words})"]
    baseline = standing.baseline
    if baseline is not None and baseline.value is not None and best.value is not None:
        difference = best.value - baseline.value
        lines.append(
            f"the baseline's is {show(baseline.value)} (trial {baseline.number}), a difference of {difference:+.4g}"
        )
    width = max(len(name) for name in best.params) if best.params else 0
    lines += [f"  {name:<{width}}  {show(value)}" for name, value in best.params.items()]
    rows = compared(standing.references, standing.metric, standing.goal, best.value)
    lines += health_lines(best.diagnoses, standing.counts.diagnoses)
    return lines + reference_lines(rows, standing.metric, best.value)
