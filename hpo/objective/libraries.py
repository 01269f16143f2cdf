"""Which libraries an objective's workers load: a server loads them once for all of them (hpo.forking)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType

from hpo.lazy import file_of

# Those that take long to load, start no threads then, and touch no GPU: a process that has loaded them may be forked.
_SLOW = frozenset({"numpy", "pandas", "scipy", "sklearn", "torch"})


def libraries_of(objective: object) -> tuple[str, ...]:
    """Return the modules of slow libraries that an objective's module imports, and its neighbours that it imports.

    objective: the function, or the task, as its module has it.
    """
    module = sys.modules.get(_module_of(objective) or "")
    return tuple(sorted(_imported(module, Path(file_of(module)).parent, set()))) if module is not None else ()


def _imported(module: ModuleType, folder: Path, seen: set[str]) -> Iterator[str]:
    for value in list(vars(module).values()):
        name = _module_of(value)
        if name is None or name in seen or (found := sys.modules.get(name)) is None:
            continue
        seen.add(name)
        if name.partition(".")[0] in _SLOW:
            yield name
        elif (file := file_of(found)) and folder in Path(file).parents:
            yield from _imported(found, folder, seen)


def _module_of(value: object) -> str | None:
    """Return the name of a module, or of the one that a function, a class or a task is from; None: something else."""
    if isinstance(value, ModuleType):
        name = ModuleType.__getattribute__(value, "__name__")  # without loading one that is loaded at its first use
    elif isinstance(value, type | FunctionType | BuiltinFunctionType):
        name = value.__module__
    else:
        name = type(value).__module__
    return name if isinstance(name, str) else None
