"""Parameters as a sweep file writes them: the reverse of hpo.spec.parameters."""

from __future__ import annotations

from typing import Any

from hpo.spec.space import Categorical, Constant, Parameter, Range


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
