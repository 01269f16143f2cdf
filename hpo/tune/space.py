"""Search spaces of Tune and of Optuna as the `parameters` of a sweep file, where that says exactly the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from ray.tune.search.sample import Categorical, Domain, Float, Function, Integer, LogUniform, Quantized, Uniform

from hpo.spec.faults import Fault
from hpo.spec.plain import plain
from hpo.tune.compat import FUNCTION_PLACEHOLDER, PLACEHOLDERS

SEPARATOR = "/"  # between the names of nested parameters, as in Tune's own results

Entry = dict[str, Any]  # of a sweep file's `parameters`


class Inexact(ValueError):
    """Something that no sweep file can say exactly; the text says what, and what to write instead."""


def is_foreign(space: Mapping[str, Any]) -> bool:
    """Whether a mapping is a search space of Tune's or of Optuna's, and not the `parameters` of a sweep file."""
    kinds = (Domain, BaseDistribution)
    return any(isinstance(value, kinds) or _is_grid(value) for _, value in _leaves(space))


def convert(space: Mapping[str, Any], faults: list[Fault]) -> dict[str, Entry]:
    """Return a search space of Tune's or Optuna's as `parameters`; nested names are joined by `/`.

    Constants that a record can keep (numbers, text, lists of them) become `value`; others are Tune's alone. What can't
    be said exactly is added to the faults.
    """
    entries: dict[str, Entry] = {}
    for name, value in _leaves(space):
        try:
            entry = _entry(value)
        except Inexact as reason:
            text, _, remedy = str(reason).partition("; ")
            faults.append(Fault(text, ("parameters", name), remedy=remedy))
            continue
        if entry is not None:
            entries[name] = entry
    return entries


def nested(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as Tune's trainables get it: names with `/` are nested."""
    config: dict[str, Any] = {}
    for name, value in params.items():
        *outer, last = name.split(SEPARATOR)
        inner = config
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return config


def flat(config: Mapping[str, Any], names: Collection[str] = ()) -> dict[str, Any]:
    """Return a nested mapping with its names joined by `/`: the reverse of `nested`.

    names: parameters' own, which stay whole where their value is a mapping.
    """
    return dict(_leaves(config, names=names))


def _leaves(space: Mapping[str, Any], prefix: str = "", names: Collection[str] = ()) -> Iterator[tuple[str, Any]]:
    for key, value in space.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and not _is_grid(value) and name not in names:
            yield from _leaves(value, f"{name}{SEPARATOR}", names)
        else:
            yield name, value


def _is_grid(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"grid_search"}


def _entry(value: Any) -> Entry | None:
    """Return the entry of one parameter; None for a constant that no record can keep."""
    if isinstance(value, BaseDistribution):
        return _of_distribution(value)
    if isinstance(value, Domain):
        return _of_domain(value)
    if _is_grid(value):
        raise Inexact("tune.grid_search multiplies trials outside of the study; write tune.choice, with method='grid'")
    if isinstance(value, tuple) and value[:1] == (FUNCTION_PLACEHOLDER,):
        raise Inexact("tune.sample_from draws what the study does not see; write the distribution, or derive the value "
                      "in the trainable")  # fmt: skip
    if isinstance(value, list) and any(isinstance(item, Domain) or _is_grid(item) for item in value):
        raise Inexact("a list can't hold parameters of its own; name them in a dict")
    faults: list[Fault] = []
    constant = plain(value, (), faults)
    # A tuple would come back as a list.
    return {"value": constant} if not faults and not isinstance(value, tuple) else None


def _of_distribution(found: BaseDistribution) -> Entry:
    if isinstance(found, CategoricalDistribution):
        return {"values": _choices(found.choices)}
    if isinstance(found, FloatDistribution):
        return _floats(found.low, found.high, found.log, found.step)
    if isinstance(found, IntDistribution):
        return _integers(found.low, found.high, found.log, found.step)
    raise Inexact(f"there is no counterpart of {type(found).__name__}; write a Float, Int or CategoricalDistribution")


def _of_domain(found: Domain) -> Entry:
    if isinstance(found, Function):
        raise Inexact("tune.sample_from draws what the study does not see; write the distribution, or derive the value "
                      "in the trainable")  # fmt: skip
    sampler: Any = found.get_sampler()  # type: ignore[no-untyped-call]
    step: float | None = None
    if isinstance(sampler, Quantized):
        step, sampler = sampler.q, sampler.sampler
    if isinstance(found, Categorical) and isinstance(sampler, Uniform):
        return {"values": _choices(found.categories)}
    if isinstance(sampler, Uniform | LogUniform) and isinstance(found, Float | Integer):
        log = isinstance(sampler, LogUniform)
        if isinstance(found, Float):
            return _floats(found.lower, found.upper, log, step)
        # Tune's upper bound is no value, unless values are quantized
        upper = found.upper if step not in (None, 1) else found.upper - 1
        return _integers(found.lower, upper, log, int(step or 1))
    kind = type(sampler).__name__.removeprefix("_").lower()
    raise Inexact(f"there is no counterpart of a {kind} distribution; write tune.uniform(mean - 2*sd, mean + 2*sd)")


def _choices(categories: Sequence[Any]) -> list[Any]:
    for choice in categories:
        if isinstance(choice, tuple) and choice[:1] and choice[0] in PLACEHOLDERS:
            raise Inexact("a choice must be a number, text or a list of them, to be recorded; choose among names, and "
                          "look the objects up in the trainable")  # fmt: skip
    faults: list[Fault] = []
    choices = [plain(choice, (), faults) for choice in categories]
    for fault in faults:
        raise Inexact(f"a choice {fault.message}; {fault.remedy}")
    return choices


def _floats(low: float, high: float, log: bool, step: float | None) -> Entry:
    bounds = {"min": float(low), "max": float(high)}
    if step is not None:
        _check_steps(low, high, step)
        return {"distribution": "q_log_uniform_values" if log else "q_uniform", **bounds, "q": float(step)}
    return {"distribution": "log_uniform_values" if log else "uniform", **bounds}


def _integers(low: int, high: int, log: bool, step: int) -> Entry:
    if low == high:
        return {"value": int(low)}
    if step != 1:
        _check_steps(low, high, step)
    return {
        "distribution": "q_log_uniform_values" if log else "int_uniform",
        "min": int(low), "max": int(high), "q": int(step),
    }  # fmt: skip


def _check_steps(low: float, high: float, step: float) -> None:
    """Tune rounds to multiples of q, Optuna and this platform count steps from the lower bound."""
    count = (high - low) / step
    if abs(count - round(count)) > 1e-6:
        raise Inexact(f"the range {low:g} to {high:g} is no whole number of steps of {step:g}; move a bound")
