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
from hpo.spec.grammar import Keep, Metric, Stack
from hpo.spec.methods import UNGUIDED
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
        if reason := known.objection(_canonical(parameter.name, value, contract)):
            place: ConfigPath = ("value",) if isinstance(domain, Constant) else ("values", index)
            hint = did_you_mean(str(value), names) if known.kind == "choice" else ""
            remedy = known.hints.get(_key(value), hint if hint.startswith("did you mean") else "")
            kind = _as_it_is(contract) if known.kind == "choice" else ""
            yield Fault(f"{parameter.name} {reason}{kind}", (*where, *place), remedy=remedy)


def _as_it_is(contract: Contract) -> str:
    """Return what to add where a task lacks something that one of another kind may have."""
    return f": {contract.kind_said}" if contract.kind_said else ""


def _canonical(name: str, value: Any, contract: Contract) -> Any:
    """Return a value by the name that the objective has for it."""
    return contract.aliases.get(name, {}).get(value, value) if isinstance(value, str) else value


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
        aliases = contract.aliases.get(other, {})
        reachable = _values_while_active(parameter, other, space, contract)
        useless = [value for value in reachable if aliases.get(_key(value), value) not in allowed]
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


def flags_given_values(space: Space, flags: Mapping[str, str]) -> Iterator[str]:
    """Yield a note for each boolean parameter that its program takes as a flag. flags: those, with what to write."""
    for parameter in space.parameters:
        choices = () if isinstance(parameter.domain, Range) else parameter.domain.choices() or ()
        if parameter.name in flags and any(isinstance(value, bool) for value in choices):
            name = parameter.name
            yield (
                f"the program takes --{name} as a flag, without a value, and so refuses --{name}=True: write "
                f"{flags[name]}"
            )


def shared_files(sources: Mapping[str, Any]) -> Iterator[str]:
    """Yield a note for each file that all trials of a program would write their reports into. sources: by their keys of
    `report`."""
    for key in ("csv", "tensorboard"):
        if key in sources and "${HPO_FOLDER}" not in sources[key] and "${HPO_TRIAL}" not in sources[key]:
            yield (
                f"report.{key} names one place for all trials, so those that run at the same time would mix: give each "
                f"its own, as in ${{HPO_FOLDER}}/..., or set engine.workers: 1"
            )


def needs_no_metric(keys: Mapping[str, Any]) -> bool:
    """Whether a file without a metric can be run, as W&B runs it: of a program, by a method that looks at no values,
    and without a stopping rule, which looks at them. keys: its valid keys."""
    unguided = keys["method"] in UNGUIDED
    return keys["program"] is not None and unguided and keys["early_terminate"].type == "none"


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


def check_stack(stack: Stack, space: Space, contract: Contract | None) -> Iterator[Fault]:
    """A stack belongs to one configuration of a Torch task; its other trials have hyperparameters that are known."""
    where: ConfigPath = ("stack",)
    if contract is None:
        yield Fault("'stack' needs a Torch task: functions and programs train one by one", where, remedy="drop it")
        return
    if varied := [parameter.name for parameter in space.parameters if not isinstance(parameter.domain, Constant)]:
        message = f"'stack' trains one configuration again, but {', '.join(varied)} would be searched"
        yield Fault(message, where, remedy="write 'value' for each parameter, or drop 'stack'")
    if stack.place > len(stack.others):
        yield Fault(f"must be at most {len(stack.others)}, the number of others", (*where, "place"))
    for index, other in enumerate(stack.others):
        for name, value in other.params.items():
            place, known = (*where, "others", index, "params", name), contract.parameters.get(name)
            if known is None:
                remedy = did_you_mean(name, contract.parameters)
                yield Fault(f"the objective knows no hyperparameter {name!r}", place, remedy=remedy)
            elif reason := known.objection(_canonical(name, value, contract)):
                yield Fault(f"{name} {reason}", place)


def check_repeats(repeats: int, space: Space, contract: Contract | None) -> Iterator[Fault]:
    """Repeats belong to a Torch task, and a trial's seed is not searched beside them."""
    if repeats == 1:
        return
    if contract is None:
        message = (
            "'repeats' needs a Torch task: a function or a program reports the steps of one training after another"
        )
        remedy = "train with several seeds in it, and report their mean; or drop 'repeats'"
        yield Fault(message, ("repeats",), remedy=remedy)
    elif "seed" in space:
        message = f"'repeats' trains each trial with {repeats} seeds, but the hyperparameter 'seed' gives it one"
        yield Fault(message, ("repeats",), remedy="drop one of them")


def has_references(is_table: bool, data: Mapping[str, Any], metric: str) -> bool:
    """Whether other models can be measured on the very rows that all trials are measured on, by the same metric."""
    return is_table and data.get("resample") != "reshuffle" and metric.startswith("val_")


def check_keep(
    given: Mapping[str, Any], data: Mapping[str, Any], contract: Contract | None, program: bool
) -> Iterator[Fault]:
    """A trial has weights that can be kept, and they are those of one model; or files. given: the file's section."""
    why = ""
    if given.get("files", "best") != "best" and (program or contract is not None):  # the default says nothing
        what = "a program" if program else "a Torch task"
        message = f"the files that are kept are those in trial.folder, which functions have, and {what} has not"
        yield Fault(message, ("keep", "files"), remedy="leave it out")
    if contract is None:
        if not program and (given.keys() <= {"files"} or given == Keep().plain() | {"files": given.get("files")}):
            return
        why = "only the weights of a Torch task can be kept: functions and programs save their own"
        why += "" if program else " (of a function, what is in trial.folder: keep: {files: best})"
    elif data.get("resample") == "kfold":
        why = "there are no weights to keep: a trial trains a model for each fold, and none of these is its own"
    if why:
        yield Fault(why, ("keep",), remedy="leave 'keep' out")


def check_health(health: bool, contract: Contract | None) -> Iterator[Fault]:
    """A trial has layers that can be looked at while it trains."""
    if health and contract is None:
        message = "'health' needs a Torch task: nobody else can look into the model of a function or a program"
        remedy = (
            "leave 'health' out: what curves show is diagnosed without it; or report health/LAYER/gradient_norm "
            "and the like yourself"
        )
        yield Fault(message, ("health",), remedy=remedy)


def check_references(
    references: Any, is_table: bool, data: Mapping[str, Any], metric: str, notes: list[str]
) -> Iterator[Fault]:
    """References that are asked for by name can be had. Where `auto` finds none, a note is added that says so."""
    if has_references(is_table, data, metric):
        return
    why = f"they are measured on the validation split, but the metric is {metric}"
    if data.get("resample") == "reshuffle":
        why = "resample: reshuffle gives each trial other validation rows"
    if not is_table:
        why = "they need a table task (hpo.TableTask): of other objectives nobody knows what to fit a model on"
    if isinstance(references, list):
        yield Fault(f"there are no references here: {why}", ("references",), remedy="leave 'references' out")
    elif references == "auto":
        notes.append(f"'references' has no effect here: {why}")


def check_define_by_run(method: str, data: Mapping[str, Any]) -> Iterator[Fault]:
    """Of a space that shows itself as trials run, nothing is said that only one known beforehand has. data: the file's
    own."""
    why = "the file has no 'parameters': the objective asks for them while it runs"
    remedy = "add parameters: ..., or leave this out"
    if method == "grid":
        yield Fault(f"a grid needs to know the space, but {why}", ("method",), remedy="use method: tpe, or random")
    for key in ("forbid", "baselines"):
        if data.get(key):
            yield Fault(f"{key!r} needs to know the space, but {why}", (key,), remedy=remedy)
    if data.get("duplicates") == "skip":
        message = f"no configuration can be known to be new before it is trained: {why}"
        yield Fault(message, ("duplicates",), remedy=remedy)


def complete_baseline(
    baseline: Mapping[str, Any], index: int, space: Space, contract: Contract | None, places: Places
) -> tuple[dict[str, Any], list[Fault]]:
    """Return a baseline with every active parameter, and what is wrong with it.

    A parameter that it leaves out takes its constant, or the objective's default if the space holds that.
    """
    faults: list[Fault] = []
    params: dict[str, Any] = {}
    for name in baseline:
        if name not in places:
            remedy = did_you_mean(name, places)
            faults.append(Fault(f"unknown parameter {name!r}", ("baselines", index, name), remedy=remedy))
    for parameter in space.parameters:
        name, where = parameter.name, ("baselines", index, parameter.name)
        if not space.active(parameter, params):
            if name in baseline:
                faults.append(Fault(f"{name} is inactive here: it needs {show(dict(parameter.when))}", where))
            continue
        known = contract.parameters.get(name) if contract else None
        if name in baseline:
            value = baseline[name]
        elif isinstance(parameter.domain, Constant):
            value = parameter.domain.value
        elif contract and known and parameter.domain.holds(default := default_beside(name, baseline, space, contract)):
            value = default
        else:
            faults.append(
                Fault(f"{name} is active here and has no value", ("baselines", index), remedy=f"add {name}: ...")
            )
            continue
        if not parameter.domain.holds(value):
            faults.append(
                Fault(f"{name} must be one of the space's values ({parameter.domain}), but got {show(value)}", where)
            )
            continue
        params[name] = parameter.domain.own(value)  # 32.0 is 32, and the objective gets that
    if not faults and not space.allowed(params):
        faults.append(Fault("this configuration is forbidden by 'forbid'", ("baselines", index)))
    return params, faults


def default_beside(name: str, baseline: Mapping[str, Any], space: Space, contract: Contract) -> Any:
    """Return a hyperparameter's default beside what a baseline, the space's constants and the contract say."""
    known = contract.parameters[name]
    others: dict[str, Any] = {}
    for other in known.default_where:
        value = contract.parameters[other].default if other in contract.parameters else None
        if other in baseline:
            value = baseline[other]
        elif other in space and isinstance(constant := space[other].domain, Constant):
            value = constant.value
        others[other] = contract.aliases.get(other, {}).get(_key(value), value)
    return known.default_beside(others)
