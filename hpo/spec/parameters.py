"""The `parameters` section of a sweep file becomes a search space."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter

from hpo.section import LARGEST, SMALLEST
from hpo.spec import conditions
from hpo.spec.bell_curves import unsupported
from hpo.spec.classes import numbers_in, satisfied
from hpo.spec.faults import ConfigPath, Fault, did_you_mean, reading, shortened
from hpo.spec.grammar import ParameterKeys
from hpo.spec.names import clash_fault, clashes, name_fault
from hpo.spec.space import Categorical, Constant, Domain, Parameter, Range, show
from hpo.spec.validation import validate
from hpo.spec.wandb_entries import EXPONENTS, merged_values, remarks

_KEYS: TypeAdapter[ParameterKeys] = TypeAdapter(ParameterKeys)
_LOG = (
    "log_uniform_values", "q_log_uniform_values", "log_uniform", "q_log_uniform", "inv_log_uniform",
    "inv_log_uniform_values",
)  # fmt: skip
_LARGEST_EXPONENT = 700  # e**709 is the largest float
_VALUES = "log_uniform_values takes the values themselves"

_NOT_FINITE = "a number must be finite, but got {}"
_AS_TEXT = "as text, 'inf', it can stand here"
_MOST = 2**53  # Optuna's samplers count in float64, which is exact up to here

MOST_PARAMETERS = 2000
_FINEST = 1e9 * (1 + 1e-9)  # values of a range with steps, about

Conditions = tuple[tuple[str, Any], ...]  # (parameter, condition), all of which must hold


@dataclass
class Parsed:
    """Parameters by name, where each stands in the file (the faulty ones too), the faults, and what the user should
    know of how an entry was read."""

    parameters: dict[str, Parameter] = field(default_factory=dict)
    places: dict[str, ConfigPath] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def rename(self, name: str, meant: str) -> None:
        """Have the parameter `name` go by the name `meant`."""
        self.places[meant] = self.places.pop(name)
        if name in self.parameters:
            self.parameters[meant] = replace(self.parameters.pop(name), name=meant)


def parse_parameters(section: Any, path: ConfigPath = ("parameters",), *, merge: bool = False) -> Parsed:
    """Turn a `parameters` mapping into parameters by (dotted) name, leaving out the faulty ones.

    merge: a value that is repeated in `values` is one choice that weighs as much as its places, as W&B has it, and a
    note; else it is a fault.
    """
    parsed = Parsed()
    if not isinstance(section, Mapping):
        parsed.faults.append(Fault(f"must be a mapping of names, but got {show(section)}", path))
        return parsed
    if not section:
        parsed.faults.append(Fault("there is nothing to search: no parameter is named", path))
    entries = list(itertools.islice(_flatten(section, path), MOST_PARAMETERS + 1))
    if len(entries) > MOST_PARAMETERS:
        parsed.faults.append(Fault(f"a sweep has at most {MOST_PARAMETERS:,} parameters", path))
        return parsed
    for name, entry, place, outer in entries:
        if name in parsed.places:
            parsed.faults.append(Fault(f"the parameter {name!r} is named twice", place))
            continue
        parsed.places[name] = place
        if fault := "a name must not be empty" if "" in place else name_fault(name):
            parsed.faults.append(Fault(f"no parameter can go by this name: {fault}", place))
            continue
        with reading(place):
            entry, merged = merged_values(name, entry) if merge else (entry, [])
            parameter, faults = _parse_parameter(name, entry, place, outer)
        parsed.faults += faults
        if parameter is not None:
            parsed.parameters[name] = parameter
            parsed.notes += [*merged, *remarks(name, entry, parameter.domain)]
    for name, earlier in clashes(parsed.places).items():
        fault = f"no parameters can go by these names: {clash_fault(name, earlier)}"
        parsed.faults.append(Fault(fault, parsed.places[name], remedy="rename one of them"))
    return parsed


def _flatten(
    section: Mapping[str, Any], path: ConfigPath, prefix: str = "", outer: Conditions = ()
) -> Iterator[tuple[str, Any, ConfigPath, Conditions]]:
    """Yield (dotted name, entry, its path in the file, conditions of the groups around it)."""
    for key, entry in section.items():
        name = f"{prefix}{key}"
        if _is_group(entry):
            inner = (*outer, *entry.get("when", {}).items())
            yield from _flatten(entry["parameters"], (*path, key, "parameters"), f"{name}.", inner)
        else:
            yield name, entry, (*path, key), outer


def _is_group(entry: Any) -> bool:
    """Whether an entry is a sound group of nested parameters; a faulty one is treated as a parameter, and refused."""
    if not isinstance(entry, Mapping) or not set(entry) <= {"parameters", "when", "description"}:
        return False
    nested = entry.get("parameters")
    return isinstance(nested, Mapping) and bool(nested) and isinstance(entry.get("when", {}), Mapping)


def _parse_parameter(
    name: str, entry: Any, path: ConfigPath, outer: Conditions
) -> tuple[Parameter | None, list[Fault]]:
    if not isinstance(entry, Mapping):
        example = f"{{values: {entry}}}" if isinstance(entry, list) else f"{{value: {show(entry)}}}"
        return None, [Fault(f"must be a mapping, but got {show(entry)}", path, remedy=f"write {name}: {example}")]
    if faults := unsupported(entry, path):
        return None, faults
    keys, faults = validate(_KEYS, dict(entry), path, ParameterKeys.model_fields)
    if keys is None:
        return None, faults
    domain, faults = _domain(keys, entry, path)
    when: dict[str, Any] = {}
    for other, condition in (*outer, *(keys.when or {}).items()):
        if reason := conditions.objection(condition):
            faults.append(Fault(reason, (*path, "when", other)))
        elif not conditions.same(when.setdefault(other, condition), condition):
            message = f"'when' names {other!r} here and, with another condition, in the group around it"
            faults.append(Fault(message, (*path, "when", other), remedy="write one condition that says both"))
    if domain is None or faults:
        return None, faults
    return Parameter(name, domain, when), []


def _domain(keys: ParameterKeys, entry: Mapping[str, Any], path: ConfigPath) -> tuple[Domain | None, list[Fault]]:
    if keys.parameters is not None:
        what = "goes with 'when' and 'description' only" if keys.parameters else "must name at least one parameter"
        return None, [Fault(f"'parameters' {what}", (*path, "parameters"))]
    forms = [form for form in ("value", "values") if form in entry]
    forms += ["min/max"] if "min" in entry or "max" in entry else []
    if len(forms) != 1:
        what = "has none" if not forms else f"has {' and '.join(forms)}"
        return None, [Fault(f"a parameter is a value, values, or min and max; this {what}", path)]
    belongs = {"value": ("constant",), "values": ("categorical", "categorical_w_probabilities")}.get(forms[0])
    faults = []
    if belongs and keys.distribution not in (None, *belongs):
        faults.append(Fault(f"{forms[0]!r} goes with no distribution {keys.distribution!r}", (*path, "distribution")))
    if forms[0] != "min/max" and keys.q is not None:
        faults.append(Fault("'q' is a step between min and max, so it needs both", (*path, "q")))
    if forms[0] != "values" and keys.probabilities is not None:
        faults.append(Fault("'probabilities' goes with 'values' only", (*path, "probabilities")))
    if faults:
        return None, faults
    if forms[0] == "value":
        if not _finite(keys.value):
            return None, [Fault(_NOT_FINITE.format(show(keys.value)), (*path, "value"), remedy=_AS_TEXT)]
        return Constant(keys.value), []
    return _categorical(keys, path) if forms[0] == "values" else _range(keys, entry, path)


def _categorical(keys: ParameterKeys, path: ConfigPath) -> tuple[Domain | None, list[Fault]]:
    values = keys.values or []
    if not values:
        return None, [Fault("'values' must name at least one value", (*path, "values"))]
    if any(isinstance(value, float) and math.isnan(value) for value in values):
        return None, [Fault("nan is no choice: it does not even equal itself", (*path, "values"))]
    if unbounded := [value for value in values if not _finite(value)]:
        return None, [Fault(_NOT_FINITE.format(show(unbounded[0])), (*path, "values"), remedy=_AS_TEXT)]
    if (twins := conditions.repeated(values)) is not None:
        first, second = map(repr, twins)
        also = f", as {second}" if first != second else ""
        return None, [Fault(f"the value {show(twins[0])} is repeated{also}", (*path, "values"), remedy="keep one")]
    shares = keys.probabilities
    if shares is None and keys.distribution == "categorical_w_probabilities":
        message = "categorical_w_probabilities needs 'probabilities', one for each of 'values'"
        return None, [Fault(message, (*path, "distribution"), remedy="add them, or use distribution: categorical")]
    if shares is not None:
        where = (*path, "probabilities")
        if len(shares) != len(values):
            return None, [Fault(f"one probability a value, but got {len(shares)} for {len(values)} values", where)]
        if min(shares) < 0 or not math.isclose(sum(shares), 1.0, rel_tol=1e-6):
            return None, [Fault(f"probabilities must be >= 0 and sum to 1, but they sum to {sum(shares):g}", where)]
    return Categorical(tuple(values), tuple(shares) if shares is not None else None), []


def _range(keys: ParameterKeys, entry: Mapping[str, Any], path: ConfigPath) -> tuple[Domain | None, list[Fault]]:
    if keys.min is None or keys.max is None:
        missing = "min" if keys.min is None else "max"
        return None, [Fault(f"the key {missing!r} is missing: a range needs both", path)]
    low, high = keys.min, keys.max
    if not (_finite(low) and _finite(high)):
        return None, [Fault(f"min and max must be finite, but got min={show(low)}, max={show(high)}", path)]
    distribution = keys.distribution
    if distribution in ("constant", "categorical", "categorical_w_probabilities"):
        return None, [Fault(f"min and max go with no distribution {distribution!r}", (*path, "distribution"))]
    if low >= high:
        return None, [
            Fault(
                f"min < max must hold, but got min={_exact(low)}, max={_exact(high)}",
                (*path, "min"),
                remedy="swap them, or use 'value'",
            )
        ]
    if distribution in EXPONENTS:
        key = "max"
        if distribution == "inv_log_uniform":  # log(1/x) is uniform: x is log uniform between exp(-max) and exp(-min)
            key, low, high = "min", -high, -low
        if high > _LARGEST_EXPONENT:
            given = show(entry[key])
            return None, [Fault(f"{key} is an exponent of e here, but got {given}", (*path, key), remedy=_VALUES)]
        low, high = math.exp(low), math.exp(high)
    if (beyond := max(-low, high)) > LARGEST:
        message = f"min and max must be within ±{LARGEST:g}, but got {beyond if beyond == high else -beyond:g}"
        return None, [Fault(message, (*path, "max" if beyond == high else "min"))]
    log = distribution in _LOG
    if log and low <= 0:
        return None, [
            Fault(
                f"min > 0 must hold on a log scale, but got min={show(low)}",
                (*path, "min"),
                remedy="a small number such as 1e-6",
            )
        ]
    if log and low < SMALLEST:
        return None, [Fault(f"min >= {SMALLEST:g} must hold on a log scale, but got min={low:g}", (*path, "min"))]
    whole = isinstance(entry["min"], int) and isinstance(entry["max"], int)  # as written: an exponent is none
    q_whole = keys.q is None or float(keys.q).is_integer()
    if distribution == "int_uniform" and not (whole and q_whole):
        return None, [Fault("int_uniform takes whole numbers as min, max and q", path)]
    integer = distribution == "int_uniform" or (distribution in (None, "q_uniform", *_LOG[:2]) and whole and q_whole)
    if distribution == "log_uniform_values" and not keys.q:
        integer = False  # W&B draws real numbers even between whole bounds
    step = keys.q
    if step is None and distribution is not None and distribution.startswith("q_"):
        step = 1.0  # W&B's default
    if step is not None and step > high - low:
        return None, [
            Fault(f"q <= max - min must hold, but got q={_exact(step)}, max - min={_exact(high - low)}", (*path, "q"))
        ]
    if step is not None and not integer and step < (finest := max(abs(low), abs(high)) / _FINEST):
        message = f"q >= {finest:.3g} must hold (neighbours differ in nine digits), but got q={step:g}"
        return None, [Fault(message, (*path, "q"), remedy="leave q out")]
    if not integer:
        return Range(float(low), float(high), log=log, step=step), []
    if max(-low, high) > _MOST:
        return None, [Fault(f"whole numbers must be within ±2**53, but got min={low}, max={high}", path)]
    return Range(int(low), int(high), log=log, integer=True, step=None if step in (None, 1) else int(step)), []


def _finite(value: Any) -> bool:
    """Whether each number in a value is one that a float can be near to."""
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    try:
        return not isinstance(value, int | float) or math.isfinite(value)
    except OverflowError:
        return False


def _exact(number: float) -> str:
    """Return all digits of a number."""
    return repr(number).removesuffix(".0")


def order_by_conditions(parsed: Parsed) -> list[Parameter]:
    """Return the parameters, each after those its `when` names; unknown names and circles are added to the faults."""
    parameters, places = parsed.parameters, parsed.places
    for parameter in parameters.values():
        for other, condition in parameter.when.items():
            where = (*places[parameter.name], "when", other)
            if other not in places:
                message = f"'when' names the unknown parameter {other!r}"
                parsed.faults.append(Fault(message, where, remedy=did_you_mean(other, places)))
            elif other in parameters and not possible(condition, parameters[other].domain):
                message = f"the condition can never hold: {other!r} never is {show(condition)}"
                parsed.faults.append(Fault(message, where, remedy=f"{other} is: {parameters[other].domain}"))
            elif other in parameters and (fault := ambiguity(condition, parameters[other], where)):
                parsed.faults.append(fault)
    ordered, waiting = _in_order(parameters)
    if waiting:
        circle = _circle(waiting)
        message = f"'when' goes round in a circle: {' -> '.join(map(shortened, [*circle, circle[0]]))}"
        parsed.faults.append(Fault(message, (*places[circle[0]], "when"), remedy="drop one of these conditions"))
    return ordered


def _in_order(parameters: Mapping[str, Parameter]) -> tuple[list[Parameter], dict[str, Parameter]]:
    """Return the parameters in the file's order, as far as conditions allow, and those that wait for each other."""
    places = {name: place for place, name in enumerate(parameters)}
    needs = {name: sum(other in parameters for other in parameter.when) for name, parameter in parameters.items()}
    needed_by: dict[str, list[str]] = {}
    for name, parameter in parameters.items():
        for other in parameter.when:
            needed_by.setdefault(other, []).append(name)
    free = [(places[name], name) for name, count in needs.items() if not count]
    ordered: list[Parameter] = []
    while free:
        _, name = heappop(free)
        ordered.append(parameters[name])
        for other in needed_by.get(name, ()):
            needs[other] -= 1
            if not needs[other]:
                heappush(free, (places[other], other))
    return ordered, {name: parameters[name] for name, count in needs.items() if count}


def possible(condition: Any, domain: Domain) -> bool:
    """Whether some value of the domain satisfies the condition."""
    if isinstance(domain, Range):
        return any(conditions.holds(condition, value) for value in _telling(condition, domain) if domain.holds(value))
    if isinstance(domain, Categorical):
        return bool(satisfied(condition, domain, domain.values))
    return conditions.holds(condition, domain.value)


def ambiguity(condition: Any, parameter: Parameter, where: ConfigPath) -> Fault | None:
    """Return what is wrong with a condition that could be meant in two ways, None if it could not."""
    domain = parameter.domain
    if not isinstance(domain, Categorical) or not conditions.is_ambiguous(condition, domain.values):
        return None
    message = f"{condition} may be the choice of {parameter.name!r} that is this list, or the choices in it"
    return Fault(message, where, remedy=f"write {{'==': {condition}}} or {{in: {condition}}}")


def _telling(condition: Any, domain: Range) -> list[float]:
    """Return values of a range of which one satisfies the condition if any does: it changes only at the numbers that it
    names, so those and the middles between them, put on the grid, tell."""
    inside = [number for number in numbers_in([condition]) if domain.low <= number <= domain.high]
    marks = sorted({domain.low, domain.high, *inside})
    marks += [(left + right) / 2 for left, right in pairwise(marks)]
    return [domain.snap(mark) for mark in marks]


def _circle(waiting: Mapping[str, Parameter]) -> list[str]:
    """Follow conditions among the waiting parameters until one comes again."""
    trail = [next(iter(waiting))]
    places = {trail[0]: 0}
    while True:
        following = next(other for other in waiting[trail[-1]].when if other in waiting)
        if following in places:
            return trail[places[following] :]
        places[following] = len(trail)
        trail.append(following)
