"""Between the sweep's space and Optuna's distributions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hpo.spec.choices import told_apart
from hpo.spec.conditions import same
from hpo.spec.once import once
from hpo.spec.space import Categorical, Constant, Parameter, Range, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

_PLAIN = (type(None), bool, int, float, str)


@once
def encoded(domain: Categorical) -> list[Any]:
    """Return the choices as Optuna keeps them, all different to it: as JSON text what it has no type for (lists and
    mappings), and booleans beside numbers, since `True` and `1` are one to it; all of them as JSON text where two would
    be the same so (`true` beside 1 and the text "true")."""
    return told_apart(domain.values, _readable(domain))


def _readable(domain: Categorical) -> Callable[[Any], Any]:
    """Return how a choice is kept by itself. For two choices that may be equal, as Optuna compares."""
    numbers = any(isinstance(value, int | float) and not isinstance(value, bool) for value in domain.values)

    def code(value: Any) -> Any:
        return value if isinstance(value, _PLAIN) and not (numbers and isinstance(value, bool)) else json.dumps(value)

    return code


def is_encoded(domain: Categorical) -> bool:
    """Whether Optuna keeps some choice as something else than itself."""
    return any(code is not value for code, value in zip(encoded(domain), domain.values, strict=True))


def kept_otherwise(space: Space, distributions: Mapping[str, BaseDistribution]) -> list[str]:
    """Return the parameters of whose choices a trial keeps others than `encoded` does: two that were one to Optuna,
    before such were told apart, or lists that are written otherwise now ([64.0] for [64]), which Optuna takes for other
    choices. distributions: a trial's."""
    found = []
    for parameter in space.parameters:
        kept = getattr(distributions.get(parameter.name), "choices", None)
        if isinstance(parameter.domain, Categorical) and kept is not None:
            codes = encoded(parameter.domain)
            if len(codes) == len(kept) and not all(map(same, codes, kept)):
                found.append(parameter.name)
    return found


@once
def _values_of(domain: Categorical) -> dict[tuple[type, Any], Any]:
    """Return the choices by what Optuna keeps them as: its type, and itself."""
    pairs = zip(encoded(domain), domain.values, strict=True)
    return {(type(code), code): value for code, value in reversed(list(pairs))}  # of two that are alike the first


@once
def distribution(parameter: Parameter) -> BaseDistribution | None:
    """Return Optuna's distribution of a parameter; None for a constant, which is no matter of search."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    domain = parameter.domain
    if isinstance(domain, Constant):
        return None
    if isinstance(domain, Categorical):
        return CategoricalDistribution(encoded(domain))
    low, high, step = _bounds(domain)
    if domain.integer:
        return IntDistribution(int(low), int(high), log=domain.log, step=int(step or 1))
    return FloatDistribution(low, high, log=domain.log, step=step)


def _bounds(domain: Range) -> tuple[float, float, float | None]:
    """Return low, high and step as Optuna takes them: it warns of a high that is no multiple of the step from low, and
    its logarithmic distributions take no step (such values are snapped after they are drawn)."""
    if domain.log or domain.step is None:
        return domain.low, domain.high, None
    return domain.low, domain.snap(domain.high), domain.step


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
            chosen = trial.suggest_categorical(name, encoded(domain))
            params[name] = _decode(domain, chosen)
        else:
            params[name] = _suggest_number(trial, name, domain)
    return params


def _decode(domain: Categorical, stored: Any) -> Any:
    """Return the choice that Optuna keeps as `stored`; `stored` itself if there is none."""
    return _values_of(domain).get((type(stored), stored), stored)


def _suggest_number(trial: Trial, name: str, domain: Range) -> float:
    low, high, step = _bounds(domain)
    if domain.integer:
        return domain.snap(trial.suggest_int(name, int(low), int(high), log=domain.log, step=int(step or 1)))
    return domain.snap(trial.suggest_float(name, low, high, log=domain.log, step=step))


def recorded_param(parameter: Parameter, value: Any) -> tuple[float, BaseDistribution]:
    """Return the value of a searched parameter as Optuna's storages hold it, with its distribution."""
    values, distributions = searched_params(Space((parameter,)), {parameter.name: value})
    found = distributions[parameter.name]
    return found.to_internal_repr(values[parameter.name]), found


def searched_params(space: Space, params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """Return an active configuration as an Optuna trial has it: encoded, without constants, with distributions."""
    values, distributions = {}, {}
    for parameter in space.parameters:
        found = distribution(parameter)
        if parameter.name in params and found is not None:
            value, domain = params[parameter.name], parameter.domain
            if isinstance(domain, Categorical) and (place := domain.place_of(value)) is not None:
                value = encoded(domain)[place]
            values[parameter.name] = value
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
            value = _decode(domain, value)
        decoded[parameter.name] = value
    return space.complete(decoded)
