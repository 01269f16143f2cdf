"""Baselines, made whole: each active parameter has a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.spec.contract import Contract
from hpo.spec.faults import ConfigPath, Fault, did_you_mean
from hpo.spec.space import Constant, Space, show


def complete_baseline(
    baseline: Mapping[str, Any], index: int, space: Space, contract: Contract | None, places: Mapping[str, ConfigPath]
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
        others[other] = contract.canonical(other, value)
    return known.default_beside(others)
