"""Whether a function asks for its hyperparameters while it runs, as objectives do that are written for Optuna."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

from hpo.objective.sources import words_of
from hpo.spec.named import Named

_ASKS = "suggest_"  # what the names of the methods that ask begin with


def asks_itself(function: Callable[..., Any], named: Named) -> bool:
    """Whether a function calls `trial.suggest_...` somewhere in its code or in the user's modules that this imports, or
    says that it takes Optuna's trial."""
    if _takes_optunas(function) or any(name.startswith(_ASKS) for name in _names_in(function, set())):
        return True
    found = words_of(named)
    return found is not None and any(name.startswith(_ASKS) for name in found.names)


def _takes_optunas(function: Callable[..., Any]) -> bool:
    try:
        first = next(iter(inspect.signature(function).parameters.values()), None)
    except (TypeError, ValueError):  # some builtins have no signature
        return False
    annotation = first.annotation if first is not None else None
    if isinstance(annotation, str):  # under `from __future__ import annotations`
        known = getattr(inspect.unwrap(function), "__globals__", {}).get(annotation)
        return annotation.startswith("optuna.") or _is_optunas(known)
    return _is_optunas(annotation)


def _is_optunas(annotation: Any) -> bool:
    return str(getattr(annotation, "__module__", "")).startswith("optuna.")


def _names_in(thing: Any, seen: set[int]) -> Iterator[str]:
    """Yield the names and texts that code uses, and that of functions which it calls by names of its own module; of
    an object's method that of all its class's."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    owner = getattr(thing, "__self__", None if isinstance(thing, FunctionType) else thing)
    for kind in type(owner).__mro__ if owner is not None else ():
        if kind.__module__ not in ("builtins", "abc"):
            for method in vars(kind).values():
                yield from _names_in(getattr(method, "__func__", method), seen) if callable(method) else ()
    if not isinstance(thing, FunctionType):
        thing = getattr(thing, "__func__", None) or vars(type(thing)).get("__call__")
    if not isinstance(thing, FunctionType) or id(thing) in seen:
        return
    seen.add(id(thing))
    codes = list(_codes(thing.__code__))
    names = {name for code in codes for name in code.co_names}
    yield from names
    yield from (text for code in codes for text in code.co_consts if isinstance(text, str))  # for getattr
    for name in sorted(names & thing.__globals__.keys()):
        if isinstance(other := thing.__globals__[name], FunctionType) and other.__module__ == thing.__module__:
            yield from _names_in(other, seen)
    if isinstance(inner := getattr(thing, "__wrapped__", None), FunctionType):
        yield from _names_in(inner, seen)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
