"""Parameters and values as a sweep file writes them: the reverse of hpo.spec.parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hpo.spec.space import Categorical, Constant, Domain, Parameter, Range
from hpo.spec.yaml_text import in_one_line


def entry_in_records(parameter: Parameter) -> dict[str, Any]:
    """Return a parameter as plain JSON types, without what is None: `parameter_of` makes the same one of it."""
    domain = parameter.domain
    facts = {key: _plain(value) for key, value in dataclasses.asdict(domain).items() if value is not None}
    when = {"when": _plain(parameter.when)} if parameter.when else {}
    return {"type": type(domain).__name__.lower(), **facts, **when}


def _plain(value: Any) -> Any:
    """Return a value with tuples as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def parameter_of(name: str, entry: Mapping[str, Any]) -> Parameter:
    """Return a parameter from its entry in the records (`entry_in_records`)."""
    facts = {key: value for key, value in entry.items() if key not in ("type", "when")}
    domain: Domain
    if entry["type"] == "constant":
        domain = Constant(facts.get("value"))
    elif entry["type"] == "categorical":
        shares = facts.get("probabilities")
        domain = Categorical(tuple(facts["values"]), tuple(shares) if shares else None)
    else:
        domain = Range(**facts)
    return Parameter(name, domain, entry.get("when", {}))


def in_words(value: Any) -> str:
    """Return a value as people write it in a sweep file, on one line, to the last digit: `[adam, sgd]`, `1e-05`."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{in_words(key)}: {in_words(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(in_words, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return in_one_line([value])[1:-1]  # text in quotes where it needs them inside of a list


def entry_of(parameter: Parameter) -> dict[str, Any]:
    """Return a parameter's entry in `parameters`, from which `parse_parameters` makes the same one."""
    domain = parameter.domain
    if isinstance(domain, Constant):
        entry = {"value": domain.value}
    elif isinstance(domain, Categorical):
        entry = {"values": list(domain.values)}
        if domain.probabilities is not None:
            entry["probabilities"] = list(domain.probabilities)
    else:
        entry = _entry_of_range(domain)
    return entry | ({"when": dict(parameter.when)} if parameter.when else {})


def _entry_of_range(domain: Range) -> dict[str, Any]:
    number = int if domain.integer else float  # the bounds' type says which numbers they are
    bounds = {"min": number(domain.low), "max": number(domain.high)}
    step = domain.step
    if domain.log and domain.integer:
        step = step or 1  # without it, real numbers are drawn even between whole bounds
    steps = {} if step is None else {"q": number(step)}
    if not domain.log:
        return bounds | steps
    return {"distribution": "q_log_uniform_values" if steps else "log_uniform_values"} | bounds | steps
