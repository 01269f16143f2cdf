"""A sweep file that differs from its study's: which differences leave the old trials their meaning, and to which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpo.spec.conditions import Clause, same
from hpo.spec.faults import shortened
from hpo.spec.space import Categorical, Constant, Domain, Range, Space
from hpo.spec.written import entry_of, in_words, parameter_of

_FIXED = ("objective", "program", "command", "data", "metric", "epochs", "repeats", "report")  # of Sweep.identity()
_UNSAID = {"repeats": 1, "metric.at": "last"}  # what it means where an identity does not say it
_CALLED = {"epochs": "budget.epochs"}  # what a file calls it
_NONE = "none"
_LONGEST = 200  # characters of a value


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line a difference between the Sweep.identity() of a study and of a file, in the words of a file."""
    for key in dict.fromkeys([*theirs, *ours]):
        if key == "parameters":
            parameters = theirs.get(key, {}), ours.get(key, {})
            for name in dict.fromkeys([*parameters[0], *parameters[1]]):
                yield from _in_parameter(name, *(each.get(name) for each in parameters))
        elif key == "forbid":
            yield from _in_clauses(theirs.get(key) or [], ours.get(key) or [])
        else:
            unsaid = _UNSAID.get(key)
            yield from _between(_CALLED.get(key, key), theirs.get(key, unsaid), ours.get(key, unsaid))


def _between(path: str, theirs: Any, ours: Any) -> Iterator[str]:
    """Yield a line for each key under which two values of a file differ."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for key in dict.fromkeys([*theirs, *ours]):
            unsaid = _UNSAID.get(f"{path}.{key}")
            yield from _between(f"{path}.{key}", theirs.get(key, unsaid), ours.get(key, unsaid))
    elif not same(theirs, ours):
        yield _line(path, theirs, ours)


def _line(path: str, theirs: Any, ours: Any) -> str:
    texts = [_NONE if value is None or value == [] else in_words(value) for value in (theirs, ours)]
    if max(map(len, texts)) > _LONGEST and isinstance(theirs, list) and isinstance(ours, list):
        sides = {"study": _without(theirs, ours), "file": _without(ours, theirs)}
        told = [f"only the {who} has {shortened(in_words(only))}" for who, only in sides.items() if only]
        return f"{path}: {', '.join(told) or 'the same, in another order'}"
    study, file = map(shortened, texts)
    return f"{path}: the study has {study}, the file has {file}"


def _in_parameter(name: str, theirs: Mapping[str, Any] | None, ours: Mapping[str, Any] | None) -> Iterator[str]:
    if same(theirs, ours):
        return
    path = f"parameters.{name}"
    old, new = (None if each is None else entry_of(parameter_of(name, each)) for each in (theirs, ours))
    forms = [next((key for key in ("value", "values", "min") if key in each), "") for each in (old, new) if each]
    if old is None or new is None or len(set(forms)) > 1:
        yield _line(path, old, new)
        return
    lines = [
        _line(f"{path}.{key}", old.get(key), new.get(key))
        for key in dict.fromkeys([*old, *new])
        if not same(old.get(key), new.get(key))
    ]
    yield from lines or [_line(path, old, new)]  # 1 and 1.0, say: one of them has whole numbers only


def _in_clauses(theirs: Sequence[Clause], ours: Sequence[Clause]) -> Iterator[str]:
    sides = {"study": _without(theirs, ours), "file": _without(ours, theirs)}
    for who, clauses in sides.items():
        yield from (f"forbid: only the {who} has {shortened(in_words(clause))}" for clause in clauses)
    if not any(sides.values()) and not same(theirs, ours):
        yield "forbid: the clauses stand in another order"


def _without(some: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    return [value for value in some if not any(same(value, other) for other in others)]


def obstacles(theirs: Mapping[str, Any], ours: Mapping[str, Any], old: Space, new: Space) -> list[str]:
    """Return the differences that leave no old trial its meaning, a line each.

    theirs, ours: Sweep.identity() of the study and of the file; old, new: their spaces.
    """
    if bool(theirs["parameters"]) != bool(ours["parameters"]):
        asks = "its objective asks for them while it runs"
        sides = {True: "some", False: f"none: {asks}"}
        has = [sides[bool(each["parameters"])] for each in (theirs, ours)]
        return [f"parameters: the study has {has[0]}; the file has {has[1]}"]
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
            lines += _in_parameter(name, theirs["parameters"][name], ours["parameters"][name])
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
