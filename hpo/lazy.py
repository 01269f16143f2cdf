"""Deferred imports: heavy libraries load at first use, so that `hpo check` and `--help` answer at once.

Use with a type-checking twin, so that editors and mypy see the real module:

    if TYPE_CHECKING:
        import torch
    else:
        torch = lazy_import("torch")
"""

from __future__ import annotations

import gc
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

_waiting: dict[
    str, dict[str, Callable[[], object]]
] = {}  # modules that nobody has used yet; what is done at their load


def lazy_import(name: str) -> ModuleType:
    """Return module `name`, executed at its first attribute access (recipe of Python's importlib manual).

    Raises ModuleNotFoundError at once if there is no such module.
    """
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.find_spec(name)
    if found is None or found.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    execute = found.loader.exec_module

    def load(module: ModuleType) -> None:
        with quick_imports():
            execute(module)
        for act in _waiting.pop(name, {}).values():
            act()

    # On the loader itself: others ask it for a module's source and files.
    vars(found.loader)["exec_module"] = load
    _waiting[name] = {}
    found.loader = importlib.util.LazyLoader(found.loader)
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


def file_of(module: object) -> str:
    """Return the file of an entry of sys.modules, "" if it has none, without loading one that nobody has used yet."""
    if issubclass(type(module), ModuleType):  # some only say that they are one
        file = ModuleType.__getattribute__(module, "__dict__").get("__file__")
    else:  # anything may stand there
        file = getattr(module, "__file__", None)
    return file if isinstance(file, str) else ""


def when_loaded(name: str, purpose: str, act: Callable[[], object]) -> None:
    """Call `act` now if module `name` is loaded, else as soon as somebody uses it, in their thread.

    Until then, a later call with the same purpose replaces it. Raises ModuleNotFoundError if there is no such module.
    """
    if name not in sys.modules:
        lazy_import(name)
    if name in _waiting:
        _waiting[name][purpose] = act
    else:
        act()


@contextmanager
def hidden_while_unused(name: str) -> Iterator[None]:
    """Take a module that nobody has used yet out of sys.modules for a while: SciPy and scikit-learn look there for
    Torch, to see whether what they are given is its tensor, and would load it by that.

    Raises RuntimeError if it was imported meanwhile: it would be there twice.
    """
    if name not in _waiting:
        yield
        return
    hidden = sys.modules.pop(name)
    try:
        yield
    finally:
        other = sys.modules.get(name)
        sys.modules[name] = hidden
    if other is not None:
        raise RuntimeError(f"{name} was imported while it was hidden")


@contextmanager
def quick_imports() -> Iterator[None]:
    """Collect no garbage while libraries are imported inside the block: nearly all that they make stays, and looking
    for the rest takes a fifth of the time. Not for a module of the user's, which may set the collector itself."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def keep_imports() -> None:
    """Take what is there now, which is mostly imported modules, out of the garbage collector's sight.

    It lives as long as the process, and is hundreds of thousands of objects: each full collection would look at all of
    them, and the end of a process that has imported Torch takes a second. For processes of our own.
    """
    gc.freeze()
