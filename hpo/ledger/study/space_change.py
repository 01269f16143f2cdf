"""A sweep file that differs from its study's: which differences leave the old trials their meaning, and to which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hpo.spec.conditions import same
from hpo.spec.space import Categorical, Constant, Domain, Range, Space

_FIXED = ("objective", "program", "command", "data", "metric", "epochs", "repeats")  # of Sweep.identity()
_UNSAID = {"repeats": 1, "metric.at": "last"}  # what it means where an identity does not say it


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[str]:
    """Yield one line a difference between two plain structures."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for key in dict.fromkeys([*theirs, *ours]):
            where = f"{path}.{key}" if path else str(key)
            unsaid = _UNSAID.get(where)
            yield from differences(theirs.get(key, unsaid), ours.get(key, unsaid), where)
    elif not same(theirs, ours):
        yield f"{path}: the study has {theirs!r}, the file has {ours!r}"


def obstacles(theirs: Mapping[str, Any], ours: Mapping[str, Any], old: Space, new: Space) -> list[str]:
    """Return the differences that leave no old trial its meaning, a line each.

    theirs, ours: Sweep.identity() of the study and of the file; old, new: their spaces.
    """
    fixed, now = ({key: each[key] for key in _FIXED if key in each} for each in (theirs, ours))
    lines = list(differences(fixed, now))
    for name in dict.fromkeys([*old.names(), *new.names()]):
        if name not in new.names():
            if not old[name].when:
                lines.append(f"parameters.{name}: all trials of the study have it, the file does not")
        elif name not in old.names():
            if not new[name].when:
                lines.append(f"parameters.{name}: no trial of the study has it, the file always does")
        elif not _share_values(old[name].domain, new[name].domain):
            lines += differences(theirs["parameters"][name], ours["parameters"][name], f"parameters.{name}")
    return lines


def _share_values(old: Domain, new: Domain) -> bool:
    """Whether some values of two domains are the same, and are searched in the same way."""
    if isinstance(old, Constant):
        return new.holds(old.value)
    if isinstance(new, Constant):
        return old.holds(new.value)
    if isinstance(old, Categorical) and isinstance(new, Categorical):
        return any(new.holds(value) for value in old.values)
    if isinstance(old, Range) and isinstance(new, Range):
        alike = (old.log, old.integer) == (new.log, new.integer)
        return alike and max(old.low, new.low) <= min(old.high, new.high)
    return False


def fits(space: Space, params: Mapping[str, Any]) -> bool:
    """Whether the space could have proposed a configuration: just these parameters active, of such values, allowed."""
    active = {parameter.name for parameter in space.parameters if space.active(parameter, params)}
    return (
        active == params.keys()
        and all(space[name].domain.holds(value) for name, value in params.items())
        and space.allowed(params)
    )
