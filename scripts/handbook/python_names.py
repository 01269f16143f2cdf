"""Each public name of Python: `hpo.*` and `hpo.tune.*`, with what its docstring says first."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import hpo
import hpo.tune
from handbook.markdown import code, first_sentence, table
from hpo.objective.function import Trial

_LONGEST = 110  # characters of a signature, which the docstring tells whole


def name_lines() -> list[str]:
    """Return the section on Python's names."""
    lines = ["## Python", "", "`help(hpo.run)` and the like say more: arguments, units, errors."]
    lines += ["", "### What a function gets: `trial`", *_class_lines(Trial)]
    for module, names in ((hpo, sorted(set(hpo.__all__))), (hpo.tune, sorted(hpo.tune.__all__))):
        lines += ["", f"### {module.__name__}"]
        lines += table(("name", ""), [_row(f"{module.__name__}.{name}", getattr(module, name)) for name in names])
        for name in names:
            found = getattr(module, name)
            if inspect.isclass(found) and (described := _class_lines(found)):
                lines += ["", f"#### {module.__name__}.{name}", *described]
    return lines


def _class_lines(found: type) -> list[str]:
    """Return what a class has: its docstring as it is, which tells of attributes, then methods and properties."""
    text = inspect.getdoc(found) or ""
    members = table(("name", ""), _members(found)) if _members(found) else []
    said = ["", *(f"    {line}".rstrip() for line in text.splitlines()), ""]
    return [*(said if first_sentence(text) != " ".join(text.split()) else []), *members]


def _row(name: str, found: Any) -> tuple[str, str]:
    if not callable(found):
        return code(name), _constant(name)
    return code(f"{name}{_arguments(found)}"), first_sentence(inspect.getdoc(found) or "")


def _constant(name: str) -> str:
    constants = {
        "hpo.Cut": "How the rows that are not for the test are cut: a `hpo.Fold` or a `hpo.Reshuffle`.",
        "hpo.SPLIT_OPTIONS": "The keys of `data` that say how a table is split, each a `hpo.Known`.",
        "hpo.STANDARDIZED_TARGET": "`parameters` of a regression whose targets are standardized by default.",
        "hpo.RECURRENT_PARAMETERS": "`parameters` of a task whose model is `hpo.recurrent`.",
    }
    return constants[name]


def _members(found: type) -> list[tuple[str, str]]:
    rows = []
    for name, member in _defined(found):
        if isinstance(member, property) or hasattr(member, "func"):  # a cached property
            rows.append((code(name), first_sentence(inspect.getdoc(member) or "")))
        elif callable(member) or isinstance(member, classmethod | staticmethod):
            function = getattr(found, name)
            rows.append((code(f"{name}{_arguments(function)}"), first_sentence(inspect.getdoc(function) or "")))
    return rows


def _defined(found: type) -> Iterator[tuple[str, Any]]:
    """Yield what a class and those of ours that it comes from define, in their order."""
    members: dict[str, Any] = {}
    for each in reversed(found.__mro__):
        if each.__module__.startswith("hpo."):
            members |= vars(each)
    for name, member in members.items():
        if not name.startswith("_") and not inspect.isclass(member):
            yield name, member


def _arguments(function: Callable[..., Any]) -> str:
    try:
        signature = inspect.signature(function)
    except ValueError:
        return "(...)"
    left = [p.replace(annotation=p.empty) for p in signature.parameters.values() if p.name not in ("self", "cls")]
    if any("object at 0x" in repr(p.default) for p in left):
        return "(...)"
    text = str(signature.replace(parameters=left, return_annotation=signature.empty))
    return text if len(text) <= _LONGEST else f"({', '.join(p.name for p in left[:6])}, ...)"
