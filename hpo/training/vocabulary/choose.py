"""From a trial's hyperparameters to one entry of a registry and the values of what that entry takes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from hpo.spec.contract import Known
from hpo.training.vocabulary.registry import C, Registry


def choose(registry: Registry[C], params: Mapping[str, Any]) -> tuple[C, dict[str, Any]]:
    """Return the entry that `params` names (or the registry's default) and a value for everything it takes.

    A hyperparameter that is absent gets its default beside this entry. Names of other kinds are left alone.

    Raises:
        ValueError: the entry is unknown, or `params` holds a hyperparameter of this kind that the entry does not take
            (a momentum for adam): it would have no effect, and nothing is ignored in silence.
    """
    choice = registry[params.get(registry.kind, registry.default)]
    known = _known(registry)
    for name in known:
        if name != registry.kind and name not in choice.takes and params.get(name) is not None:
            takes = ", ".join(choice.takes) or "no hyperparameters"
            raise ValueError(f"{registry.kind} {choice.name!r} takes {takes}, but got {name}={params[name]!r}")
    beside = {registry.kind: choice.name}
    return choice, {name: params.get(name, known[name].default_beside(beside)) for name in choice.takes}


@functools.cache
def _known(registry: Registry[Any]) -> dict[str, Known]:
    return registry.known()
