"""The configurations of a space, worked out by brute force: what the census has to agree with."""

from __future__ import annotations

from typing import Any

from hpo.spec.conditions import clause_holds
from hpo.spec.space import Space


def grid_of(space: Space) -> list[dict[str, Any]]:
    """Return all allowed configurations of a small countable space in order."""
    found: list[dict[str, Any]] = [{}]
    for parameter in space.parameters:
        choices = list(parameter.domain.choices() or ())
        found = [
            extended
            for params in found
            for extended in (
                [{**params, parameter.name: value} for value in choices]
                if clause_holds(parameter.when, params)
                else [params]
            )
        ]
    return [params for params in found if not any(clause_holds(clause, params) for clause in space.forbid)]
