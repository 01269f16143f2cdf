"""The space of a define-by-run objective, as far as its trials have asked for it: a study's attribute `space`.

Each parameter has the widest range that was asked for. When which one is active only the code knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.spec.conditions import same
from hpo.spec.names import clash_fault, clashes
from hpo.spec.space import Categorical, Constant, Domain, Parameter, Range, Space
from hpo.spec.written import entry_in_records, parameter_of

SPACE = "space"


def shown_space(attributes: Mapping[str, Any]) -> Space:
    """Return what has shown itself. attributes: the study's."""
    return Space(tuple(parameter_of(name, entry) for name, entry in attributes.get(SPACE, {}).items()))


def attribute_of(space: Space) -> dict[str, Any]:
    """Return the study's attribute."""
    return {parameter.name: entry_in_records(parameter) for parameter in space.parameters}


def objection(space: Space, asked: Parameter) -> str:
    """Return why a study can't have a parameter beside what it has; "": it can.

    The rules are Optuna's: of one name, trials may ask for other bounds, but not for another kind, another scale or
    other choices.
    """
    name = asked.name
    if name not in space:
        clash = clashes([*space.names(), name]).get(name)
        return f"{name!r} can't be a parameter here: {clash_fault(name, clash)}" if clash is not None else ""
    known, new = space[name].domain, asked.domain
    if _kind(known) != _kind(new):
        return f"{name!r} was {_kind(known)} before, and is asked for as {_kind(new)}: give it another name"
    if isinstance(known, Range) and isinstance(new, Range) and known.log != new.log:
        return f"{name!r} has a log scale in some trials only: give it another name"
    if isinstance(known, Categorical) and isinstance(new, Categorical) and not same(known.values, new.values):
        return f"{name!r} was one of {known} before, and is one of {new} now: give it another name"
    return ""


def _kind(domain: Domain) -> str:
    if isinstance(domain, Range):
        return "a whole number" if domain.integer else "a number"
    return "a constant" if isinstance(domain, Constant) else "a choice"


def with_parameter(space: Space, asked: Parameter) -> Space:
    """Return a space with one more parameter, or with a wider range of it; the same object if nothing is new."""
    if asked.name not in space:
        return Space((*space.parameters, asked))
    known, new = space[asked.name].domain, asked.domain
    if not isinstance(known, Range) or not isinstance(new, Range) or known == new:
        return space
    step = known.step if (known.low, known.step) == (new.low, new.step) else None
    wider = Range(min(known.low, new.low), max(known.high, new.high), known.log, known.integer, step)
    if wider == known:
        return space
    kept = (Parameter(each.name, wider) if each.name == asked.name else each for each in space.parameters)
    return Space(tuple(kept))
