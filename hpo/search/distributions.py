"""Between the sweep's space and Optuna's distributions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hpo.spec.space import Categorical, Constant, Parameter, Range, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

_PLAIN = (type(None), bool, int, float, str)


def encode(value: Any) -> Any:
    """Return a choice as Optuna keeps it: lists and mappings, which it has no type for, as JSON text."""
    return value if isinstance(value, _PLAIN) else json.dumps(value)


def distribution(parameter: Parameter) -> BaseDistribution | None:
    """Return Optuna's distribution of a parameter; None for a constant, which is no matter of search."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    domain = parameter.domain
    if isinstance(domain, Constant):
        return None
    if isinstance(domain, Categorical):
        return CategoricalDistribution([encode(value) for value in domain.values])
    # Optuna's logarithmic distributions take no step: such values are snapped after they are drawn
    step = None if domain.log else domain.step
    if domain.integer:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=int(step or 1))
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=step)


def suggest(trial: Trial, space: Space) -> dict[str, Any]:
    """Walk the space in order, asking an Optuna trial for each active parameter; return the active configuration."""
    params: dict[str, Any] = {}
    for parameter in space.parameters:
        if not space.active(parameter, params):
            continue
        name, domain = parameter.name, parameter.domain
        if isinstance(domain, Constant):
            params[name] = domain.value
        elif isinstance(domain, Categorical):
            chosen = trial.suggest_categorical(name, [encode(value) for value in domain.values])
            params[name] = next(value for value in domain.values if _identical(encode(value), chosen))
        else:
            params[name] = _suggest_number(trial, name, domain)
    return params


def _identical(left: Any, right: Any) -> bool:
    return type(left) is type(right) and left == right


def _suggest_number(trial: Trial, name: str, domain: Range) -> float:
    step = None if domain.log else domain.step
    if domain.integer:
        value: float = trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log, step=int(step or 1))
    else:
        value = trial.suggest_float(name, domain.low, domain.high, log=domain.log, step=step)
    return domain.snap(value) if domain.log else value


def searched_params(space: Space, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """Return an active configuration as an Optuna trial has it: encoded, without constants, with distributions."""
    values, distributions = {}, {}
    for parameter in space.parameters:
        found = distribution(parameter)
        if parameter.name in params and found is not None:
            values[parameter.name] = encode(params[parameter.name])
            distributions[parameter.name] = found
    return values, distributions


def decode_params(space: Space, stored: dict[str, Any]) -> dict[str, Any]:
    """Return the active configuration behind an Optuna trial's params: the reverse of `searched_params`."""
    decoded = {}
    for parameter in space.parameters:
        if parameter.name not in stored:
            continue
        value, domain = stored[parameter.name], parameter.domain
        if isinstance(domain, Categorical):
            value = next((option for option in domain.values if _identical(encode(option), value)), value)
        decoded[parameter.name] = value
    return space.complete(decoded)
