"""What `hpo check` shows: the space, the plan and a forecast of the most that a sweep can cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpo.engines.local import plan_workers
from hpo.engines.ray.cluster import demand_of
from hpo.plan.planner import Planner, opening
from hpo.review.display import duration, params_text
from hpo.spec.census import census_of
from hpo.spec.conditions import Clause
from hpo.spec.grammar import LocalEngineKeys
from hpo.spec.space import Constant, Parameter, counted, enumerated, show
from hpo.spec.sweep import Sweep

_WIDEST = 40  # letters of a name that others are lined up with
_DIGITS = 15  # of a number that is shown in full
_WARNING = "warning: "  # how such a note begins
_MOST = 100  # parameters, clauses and baselines that are shown


def outline(sweep: Sweep, data: Sequence[str] = ()) -> str:
    """Return a sweep in words. data: those of its notes that say how its data will be used."""
    what = sweep.objective or sweep.program
    best = " at its best report" if sweep.metric.at == "best" else ""
    lines = [f"{sweep.name}: {what}, {sweep.metric.goal} {sweep.metric.name}{best}, by {sweep.method}", ""]
    lines += space_lines(sweep)
    if not sweep.traits.define_by_run:
        lines.append("")
    lines.append(f"space     {size_text(sweep)}")
    lines += _plan_lines(sweep)
    if names := sweep.wanted_references:
        lines.append(f"beside    scikit-learn's models with their defaults (references): {', '.join(names)}")
    if (keys := sweep.confirm) is not None:
        count = (keys.top + 1) * keys.seeds
        best = f"the best {keys.top}" if keys.top > 1 else "the best"
        lines.append(f"confirm   {best} and the baseline over {keys.seeds} seeds: at most {count} trainings more")
    lines += ["report    a page on the sweep when it ends"] if sweep.report.page else []
    for key, source in sweep.report.sources.items():
        lines.append(
            f"reports   lines of JSON, and by {key}: {source if isinstance(source, str) else ', '.join(source)}"
        )
    lines += _note_lines(sweep.notes, data)
    return "\n".join(lines)


def _note_lines(notes: Sequence[str], data: Sequence[str]) -> list[str]:
    """Return the data as they will be used, then the other notes, and last what is a warning."""
    used = [note for note in data if not note.startswith(_WARNING)]
    lines = ["", *(f"{'' if place else 'data':10}{note}" for place, note in enumerate(used))] if used else []
    lines += [f"note      {note}" for note in notes if not note.startswith(_WARNING) and note not in used]
    return lines + [f"warning   {note.removeprefix(_WARNING)}" for note in notes if note.startswith(_WARNING)]


def space_lines(sweep: Sweep) -> list[str]:
    """Return a sweep's parameters, what is never tried, and what is tried first, a line each."""
    width = max((len(name) for name in sweep.space.names() if len(name) <= _WIDEST), default=0)
    lines = _some([_parameter_line(parameter, width) for parameter in sweep.space.parameters], "parameters")
    lines += _some([f"never     {_clause(clause)}" for clause in sweep.space.forbid], "clauses of 'forbid'")
    return lines + _some([f"first     {params_text(baseline)}" for baseline in sweep.baselines], "baselines")


def _some(lines: list[str], what: str) -> list[str]:
    """Return the first lines, and how many more there are."""
    more = [f"          ... and {len(lines) - _MOST:,} more {what}"] if len(lines) > _MOST else []
    return lines[:_MOST] + more


def size_text(sweep: Sweep) -> str:
    """Return in words how many configurations there are."""
    if sweep.traits.define_by_run:
        return "shows itself: the objective asks for its hyperparameters while it runs (define-by-run)"
    census = census_of(sweep.space)
    if census is None:
        return "not counted: 'when' and 'forbid' tie too many parameters together"
    if census.size is None:
        return "unbounded"
    large = math.log10(census.size) >= _DIGITS
    return f"about 10^{math.log10(census.size):.0f} configurations" if large else counted(census.size, "configuration")


def _parameter_line(parameter: Parameter, width: int) -> str:
    fixed = "=" if isinstance(parameter.domain, Constant) else ":"
    when = f"   when {_clause(parameter.when)}" if parameter.when else ""
    return f"  {parameter.name:<{width}} {fixed} {parameter.domain}{when}"


def _clause(clause: Clause) -> str:
    return " and ".join(f"{name} {condition_text(condition)}" for name, condition in clause.items())


def condition_text(condition: object) -> str:
    """Return what stands behind a parameter's name where it is said when another one is active."""
    if isinstance(condition, dict):
        return " and ".join(f"{op} {show(operand)}" for op, operand in condition.items())
    if isinstance(condition, list):
        return "is " + enumerated(list(map(show, condition)), " or ")
    return f"is {show(condition)}"


def _plan_lines(sweep: Sweep) -> list[str]:
    budget, epochs = sweep.budget, sweep.max_epochs()
    each = f" of at most {counted(epochs, 'epoch')}" if epochs is not None else ""
    lines = [f"budget    {counted(budget.trials, 'trial')}{each}"]
    if budget.seconds is not None:
        lines[0] += f", or {duration(budget.seconds)}, whichever ends first"
    lines += _member_lines(sweep)
    lines.append(f"stopping  {sweep.early_terminate.in_words(epochs)}")
    if epochs is not None:
        times = f" x {sweep.members} members" if sweep.members > 1 else ""
        lines.append(f"forecast  at most {counted(budget.trials * epochs, 'epoch')}{times}")
    if isinstance(sweep.engine, LocalEngineKeys):
        places = plan_workers(sweep.engine, budget.trials)
        workers = max(1, len(places))
        gpus = len({place for place in places if place is not None})
        processes = "1 process" if len(places) == 1 else f"{len(places)} processes"
        where = processes if places else "this process"
        lines.append(f"workers   {where}" + (f" on {counted(gpus, 'GPU')}" if gpus else ""))
        lines += _cohort_lines(sweep, workers)
    else:
        keys = sweep.engine
        count = "as many as there is room for" if keys.workers == "auto" else f"{keys.workers}"
        demand = ", ".join(f"{name} {amount:g}" for name, amount in demand_of(keys).items() if name != "memory")
        lines.append(f"workers   on Ray ({keys.address}): {count}, each with {demand}")
        lines += _cohort_lines(sweep, 1 if keys.workers == "auto" else keys.workers)
    return lines


def _member_lines(sweep: Sweep) -> list[str]:
    seeds, folds = sweep.repeats, sweep.traits.folds
    if sweep.members == 1:
        return []
    parts = [f"{seeds} seeds"] if seeds > 1 else []
    parts += [f"{folds} folds"] if folds > 1 else []
    return [f"members   a trial is the mean of {' x '.join(parts)}, which train in lock-step"]


def _cohort_lines(sweep: Sweep, workers: int) -> list[str]:
    most, names = sweep.most_in_cohort, sweep.traits.shape_parameters
    if names is None:
        return ["cohorts   none: a function or a program trains one trial at a time"]
    if sweep.stack is not None:
        others = counted(len(sweep.stack.others), "other")
        return [f"cohorts   the trial trains in one stack with {others}, as it did before"]
    if most == 1:
        alone = sweep.members > 1 and sweep.stacks
        return [f"cohorts   off: every trial trains alone{', its members as a stack' if alone else ''}"]
    shapes = sweep.shapes()
    count = counted(shapes, "shape") if shapes is not None else "any number of shapes"
    same = f"trials of one shape ({', '.join(names)}: {count})" if names else "all trials"
    open_trials, budget = opening(sweep.method, most, workers, sweep.members, shapes), sweep.budget.trials
    first, last = min(open_trials.at(0), budget), min(open_trials.at(budget), budget)
    planner: Planner[int] = Planner(most, workers, open_trials, sweep.members)
    lines = [f"cohorts   {same} train as stacks of up to {planner.share(budget, last)}"]
    at_once = counted(first, "trial") if first == last else f"{counted(first, 'trial')} at first, {last} in the end,"
    how = ", asked for by shape" if sweep.asked_by_shape else f", {first / shapes:.1f} a shape" if shapes else ""
    lines.append(f"          {at_once} {'is' if last == 1 else 'are'} open at a time{how}")
    if most is None:
        lines.append("          a shape that a worker finds slower as a stack trains one by one")
    return lines
