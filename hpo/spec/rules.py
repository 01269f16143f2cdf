"""Rules between the sections of a sweep file, and between the file and its objective's contract.

Each rule is a function that yields faults; none depends on another having passed.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from hpo.spec import conditions
from hpo.spec.census import census_of, drawn_where_uncounted
from hpo.spec.contract import Contract, Goal, Known
from hpo.spec.faults import ConfigPath, Fault, closest, did_you_mean
from hpo.spec.goals import goal_by_name
from hpo.spec.grammar import Metric
from hpo.spec.parameters import Parsed, ambiguity, possible
from hpo.spec.space import Categorical, Constant, Domain, Parameter, Range, Space, enumerated, show

Places = Mapping[str, ConfigPath]

_LOOKED_AT = 1000  # values of a parameter that another one belongs to


def correct_names(parsed: Parsed, contract: Contract) -> None:
    """Every parameter is one that the objective knows. A misspelt one is a fault; from there on it goes by the name
    that was probably meant, so that what else refers to it is no fault as well."""
    for name in [name for name in parsed.places if name not in contract.parameters]:
        other = next((each for each, known in contract.parameters.items() if name in known.also), None)
        remedy = f"it is called {other!r} here" if other else did_you_mean(name, contract.parameters)
        message = f"the objective knows no hyperparameter {name!r}{_as_it_is(contract)}"
        parsed.faults.append(Fault(message, parsed.places[name], remedy=remedy))
        meant = other or closest(name, contract.parameters)
        if meant is not None and meant not in parsed.places:
            parsed.rename(name, meant)


def check_hyperparameters(space: Space, contract: Contract, places: Places) -> Iterator[Fault]:
    """Every parameter has values that the objective accepts, and is active only where it means something."""
    for parameter in space.parameters:
        where = places[parameter.name]
        known = contract.parameters.get(parameter.name)
        if known is None:
            continue  # said by correct_names
        yield from _check_values(parameter, known, contract, where)
        yield from _check_relevance(parameter, known, contract, space, places)
        yield from _check_exclusions(parameter, known, contract, space, where)


def _check_values(parameter: Parameter, known: Known, contract: Contract, where: ConfigPath) -> Iterator[Fault]:
    domain = parameter.domain
    if isinstance(domain, Range):
        if known.kind in ("choice", "bool"):
            options = ", ".join(known.choices) or "true, false"
            yield Fault(f"{parameter.name} is no number", where, remedy=f"use values: [{options}]")
            return
        if known.kind in ("int", "layers") and not _is_whole(domain):
            remedy = "add distribution: int_uniform" if domain.step is None else "give min, max and q whole numbers"
            yield Fault(f"{parameter.name} takes whole numbers only", where, remedy=remedy)
            return
        for key, bound in (("min", domain.low), ("max", domain.high)):
            if reason := known.objection(bound):
                yield Fault(f"{parameter.name} {reason}", (*where, key))
        return
    names = [*known.choices, *contract.aliases.get(parameter.name, {})]
    for index, value in enumerate(domain.choices() or []):
        if reason := known.objection(contract.canonical(parameter.name, value)):
            place: ConfigPath = ("value",) if isinstance(domain, Constant) else ("values", index)
            hint = did_you_mean(str(value), names) if known.kind == "choice" else ""
            remedy = known.hints.get(_key(value), hint if hint.startswith("did you mean") else "")
            kind = _as_it_is(contract) if known.kind == "choice" else ""
            yield Fault(f"{parameter.name} {reason}{kind}", (*where, *place), remedy=remedy)


def _as_it_is(contract: Contract) -> str:
    """Return what to add where a task lacks something that one of another kind may have."""
    return f": {contract.kind_said}" if contract.kind_said else ""


def _is_whole(domain: Range) -> bool:
    """Whether a range has whole numbers only."""
    return domain.integer or (
        domain.step is not None and float(domain.low).is_integer() and float(domain.step).is_integer()
    )


def _check_relevance(
    parameter: Parameter, known: Known, contract: Contract, space: Space, places: Places
) -> Iterator[Fault]:
    for other, allowed in known.requires.items():
        if other in places and other not in space:
            continue  # it is faulty itself: what it can be is not known
        reachable = _values_while_active(parameter, other, space, contract)
        useless = [value for value in reachable if contract.canonical(other, value) not in allowed]
        if not useless:
            continue
        useful = [value for value in reachable if value not in useless]
        if useful:
            remedy = f"add when: {{{other}: [{enumerated(list(map(show, useful)))}]}}"
        else:
            some = allowed if len(allowed) < 10 else (*allowed[:3], "...", allowed[-1])
            remedy = f"it belongs to {other}: {', '.join(map(show, some))}"
        default = "" if other in space else f" (its default is {show(contract.parameters[other].default)})"
        yield Fault(
            f"{parameter.name} means nothing while {other} is {enumerated(list(map(show, useless)), ' or ')}{default}",
            places[parameter.name],
            remedy=remedy,
        )


def _check_exclusions(
    parameter: Parameter, known: Known, contract: Contract, space: Space, where: ConfigPath
) -> Iterator[Fault]:
    for other, reasons in known.excludes.items():
        layers = other in contract.parameters and contract.parameters[other].kind == "layers"
        # No layer is written in two ways.
        each = [
            (also, why) for value, why in reasons.items() for also in ((0, []) if layers and not value else (value,))
        ]
        for value, why in each:
            default = contract.parameters[other].default if other in contract.parameters else None
            pair = {parameter.name: True, **({other: value} if other in space.names() else {})}
            if (other in pair or conditions.same(default, value)) and _may_meet(pair, space):
                clause = ", ".join(f"{name}: {show(its)}" for name, its in pair.items())
                message = f"{parameter.name} can't be true while {other} is {show(value)}: {why}"
                yield Fault(message, where, remedy=f"forbid: [{{{clause}}}], or leave one of the values out")


def _may_meet(pair: Mapping[str, Any], space: Space) -> bool:
    """Whether an allowed configuration may have these values: they are some, none of the pair's conditions contradicts
    them or one another, and no clause forbids them whatever else there is."""
    if not all(space[name].domain.holds(value) for name, value in pair.items()):
        return False
    required: dict[str, list[Any]] = {}
    for name in pair:
        for other, found in _all_conditions(space[name], space).items():
            required.setdefault(other, []).extend(found)
    for name, found in required.items():
        values = [pair[name]] if name in pair else _some_values(space[name].domain)
        if values is not None and not any(all(conditions.holds(each, value) for each in found) for value in values):
            return False
    constant = {p.name: p.domain.value for p in space.parameters if isinstance(p.domain, Constant) and not p.when}
    return not any(conditions.clause_holds(clause, {**constant, **pair}) for clause in space.forbid)


def _some_values(domain: Domain) -> Sequence[Any] | None:
    """Return the values of a domain, None where they are too many to look at."""
    return None if isinstance(domain, Range) else domain.choices()


def _key(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _values_while_active(parameter: Parameter, other: str, space: Space, contract: Contract) -> list[Any]:
    """Return the values that `other` can have while `parameter` is active."""
    default = contract.parameters[other].default
    if other not in space:
        return [default]
    required = _all_conditions(parameter, space)
    choices = space[other].domain.choices() or []
    values = [*itertools.islice(choices, _LOOKED_AT), *choices[max(len(choices) - 1, _LOOKED_AT) :]]
    values = [
        value for value in values if all(conditions.holds(condition, value) for condition in required.get(other, []))
    ]
    may_be_inactive = space[other].when and other not in required
    return [*values, default] if may_be_inactive and default not in values else values


def _all_conditions(parameter: Parameter, space: Space) -> dict[str, list[Any]]:
    """Return the conditions that hold while a parameter is active, its own and those of what it depends on."""
    found: dict[str, list[Any]] = {}
    waiting, seen = [parameter], {parameter.name}
    while waiting:
        for name, condition in waiting.pop().when.items():
            found.setdefault(name, []).append(condition)
            if name in space and name not in seen:  # others are unknown or faulty: said elsewhere
                seen.add(name)
                waiting.append(space[name])
    return found


def check_told_apart(space: Space, as_text: Callable[[Any], Hashable], places: Places) -> Iterator[Fault]:
    """A program, which gets text, can tell the choices of a parameter from one another."""
    for parameter in space.parameters:
        first: dict[Hashable, Any] = {}
        for value in parameter.domain.values if isinstance(parameter.domain, Categorical) else ():
            text = as_text(value)
            if text in first:
                message = (
                    f"the program gets {show(first[text])} and {show(value)} as the same text: it can't tell which"
                )
                remedy = "keep one of them, or pass ${args_json} in 'command'"
                yield Fault(message, (*places[parameter.name], "values"), remedy=remedy)
                break
            first[text] = value


def check_metric(name: str, goal: str | None, space: Space, contract: Contract) -> Iterator[Fault]:
    """The metric exists, its goal is its own, and its values can be compared across trials."""
    known = contract.metrics.get(name)
    if known is None:
        remedy = did_you_mean(name, contract.metrics)
        if contract.default_metric:
            remedy = f"metric: {{name: {contract.default_metric}}}, or leave metric out"
        message = f"the objective reports no metric {name!r}{_as_it_is(contract)}"
        yield Fault(message, ("metric", "name"), remedy=remedy)
        return
    if goal is not None and goal != known.goal:
        better = "higher" if known.goal == "maximize" else "lower"
        yield Fault(
            f"{name} is better when {better}, but goal is {goal}", ("metric", "goal"), remedy=f"goal: {known.goal}"
        )
    changing = [parameter.name for parameter in space.searched() if parameter.name in known.varies_with]
    others = [
        metric
        for metric, fact in contract.metrics.items()
        if not fact.varies_with and not fact.absent_with and metric.startswith("val_")
    ]
    for other, values in known.without_scale.items():
        if (value := _possible(other, values, space, contract)) and not changing:
            why = "smaller weights make it smaller"
            message = f"{name} says nothing of how good a trial is with {other}: {value}: {why}"
            yield Fault(message, ("metric", "name"), remedy=f"use one of {', '.join(others)}")
    for other, reasons in known.absent_with.items():
        if value := _possible(other, reasons, space, contract):
            message = f"{name} is not reported with {other}: {value}: {reasons[value]}"
            yield Fault(message, ("metric", "name"), remedy=f"use one of {', '.join(others)}")
    if changing:
        yield Fault(
            f"{name} can't be compared across trials: its scale changes with what is searched ({', '.join(changing)})",
            ("metric", "name"),
            remedy=f"use one of {', '.join(others)}",
        )


def _possible(name: str, values: Iterable[str], space: Space, contract: Contract) -> str:
    """Return the first of these values that a hyperparameter can have in a trial; "": none."""
    if name in space.names():
        return next((value for value in values if space[name].domain.holds(value)), "")
    known = contract.parameters.get(name)
    return next((value for value in values if known is not None and known.default == value), "")


def goal_of(metric: Metric, contract: Contract | None, faults: list[Fault], notes: list[str]) -> Goal | None:
    """Return a metric's goal: as the file says, as the objective's contract knows, or as the metric's name says; None,
    and a fault, if nothing says it."""
    known = contract.metrics.get(metric.name) if contract else None
    usual = goal_by_name(metric.name)
    if known is not None or (contract is not None and metric.goal is None):  # check_metric judges these
        return metric.goal or (known.goal if known else None)
    if metric.goal is None and usual is None:
        message = f"nothing says whether a trial is better with a higher or a lower {metric.name}"
        faults.append(Fault(message, ("metric",), remedy="add goal: maximize, or goal: minimize"))
    elif metric.goal is None:
        notes.append(f"{metric.name} is to {usual}, by its name (metric.goal says otherwise)")
    elif usual is not None and usual != metric.goal:
        better = "higher" if usual == "maximize" else "lower"
        notes.append(f"metric.goal is to {metric.goal} {metric.name}, though by its name {better} is better")
    return metric.goal or usual


def check_forbid(space: Space, places: Places) -> Iterator[Fault]:
    """Every forbidden clause names parameters and values that occur, and something is left."""
    known = {parameter.name: parameter for parameter in space.parameters}
    sound = True
    for index, clause in enumerate(space.forbid):
        where = ("forbid", index)
        if not clause:
            yield Fault("an empty clause forbids everything", where)
            sound = False
        for name, condition in clause.items():
            fault = None
            if name not in places:
                fault = Fault(f"unknown parameter {name!r}", (*where, name), remedy=did_you_mean(name, places))
            elif reason := conditions.objection(condition):
                fault = Fault(reason, (*where, name))
            elif name in known and not possible(condition, known[name].domain):
                message = f"the condition can never hold: {name!r} never is {show(condition)}"
                fault = Fault(message, (*where, name), remedy=f"{name} is: {known[name].domain}")
            elif name in known:
                fault = ambiguity(condition, known[name], (*where, name))
            if fault:
                sound = False
                yield fault
    if not sound or not space.forbid:
        return
    census, remedy = census_of(space), "loosen a clause, or widen the parameters"
    if census is not None and census.empty:
        yield Fault("no configuration is left: 'forbid' excludes them all", ("forbid",), remedy=remedy)
    if census is None and drawn_where_uncounted(space, random.Random(0)) is None:
        yield Fault("no configuration that 'forbid' allows was found by thousands of draws", ("forbid",), remedy=remedy)
