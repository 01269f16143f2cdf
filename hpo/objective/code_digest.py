"""Telling one piece of code from another where no file has it: a notebook's function before and after a change."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MethodType
from typing import Any

_PLAIN = (type(None), type(...), bool, int, float, complex, str, bytes)
_CODE = (FunctionType, MethodType, staticmethod, classmethod, property, functools.partial, type)
_CONTAINERS = (list, tuple, set, frozenset, Mapping)


def code_digest(thing: Any) -> str:
    """Return eight digits that change with the code of a function, a class or an instance; with that of functions and
    classes of the same module that it uses; and with the plain values that are bound to it (defaults, a closure's, a
    partial's, attributes).

    Comments, empty lines and where the code stands make no difference, nor do global variables. Another release of
    Python compiles to other code.
    """
    inner = thing.func if isinstance(thing, functools.partial) else thing
    home = getattr(inner, "__module__", None) or type(inner).__module__
    digest = hashlib.sha256()
    for part in _Reading(home).parts(thing):
        digest.update(f"{len(part)} {part}".encode(errors="surrogatepass"))
    return digest.hexdigest()[:8]


class _Reading:
    """Goes through what belongs to a piece of code. home: the module whose functions and classes are looked into."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._begun: dict[int, Any] = {}  # functions, classes and instances, by their ids, which stay theirs
        self._around: set[int] = set()  # containers, one in the other

    def parts(self, thing: Any) -> Iterator[str]:
        """Yield texts that tell it from another."""
        if isinstance(thing, _PLAIN):
            yield repr(thing)
        elif isinstance(thing, CodeType):
            yield from (thing.co_code.hex(), repr(thing.co_names), repr(thing.co_varnames))
            yield from self.parts(thing.co_consts)
        elif isinstance(thing, _CONTAINERS):
            yield from self._container(thing)
        elif id(thing) in self._begun:
            yield "again"
        else:
            self._begun[id(thing)] = thing
            yield from self._code(thing) if isinstance(thing, _CODE) else self._instance(thing)

    def _container(self, thing: Any) -> Iterator[str]:
        yield f"{type(thing).__name__} of {len(thing)}"
        if id(thing) in self._around:  # it holds itself
            return
        self._around.add(id(thing))
        if isinstance(thing, Mapping):
            for key in sorted(thing, key=repr):
                yield repr(key)
                yield from self.parts(thing[key])
        elif isinstance(thing, list | tuple):
            for each in thing:
                yield from self.parts(each)
        else:
            yield from sorted(map(repr, thing))
        self._around.discard(id(thing))

    def _code(self, thing: Any) -> Iterator[str]:
        if isinstance(thing, staticmethod | classmethod):
            yield from self.parts(thing.__func__)
        elif isinstance(thing, property):
            yield from self.parts((thing.fget, thing.fset))
        elif isinstance(thing, MethodType):
            yield from self.parts((thing.__func__, thing.__self__))
        elif isinstance(thing, functools.partial):
            yield from self.parts((thing.func, thing.args, thing.keywords))
        else:
            yield f"{thing.__module__}.{thing.__qualname__}"
            if thing.__module__ == self._home:
                yield from self._type(thing) if isinstance(thing, type) else self._function(thing)

    def _function(self, function: FunctionType) -> Iterator[str]:
        yield from self.parts((function.__code__, function.__defaults__, function.__kwdefaults__ or {}))
        for cell in function.__closure__ or ():
            try:
                yield from self.parts(cell.cell_contents)
            except ValueError:  # nothing is in it yet
                yield "empty"
        used = {name for code in _codes(function.__code__) for name in code.co_names}
        for name in sorted(used & function.__globals__.keys()):
            if isinstance(value := function.__globals__[name], FunctionType | type):
                yield name
                yield from self.parts(value)

    def _type(self, kind: type) -> Iterator[str]:
        for base in kind.__mro__[1:]:
            yield from self.parts(base)
        yield from self.parts(_told(vars(kind)))

    def _instance(self, thing: Any) -> Iterator[str]:
        yield from self.parts(type(thing))
        attributes = getattr(thing, "__dict__", None)
        if type(thing).__module__ == self._home and isinstance(attributes, dict):
            yield from self.parts(_told(attributes))


def _told(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is code or plain: anything else may differ from one run of a program to the next."""
    return {name: value for name, value in attributes.items() if isinstance(value, (*_PLAIN, *_CODE, *_CONTAINERS))}


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
