"""Deferred imports: heavy libraries load at first use, so that `hpo check` and `--help` answer at once.

Use with a type-checking twin, so that editors and mypy see the real module:

    if TYPE_CHECKING:
        import torch
    else:
        torch = lazy_import("torch")
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType


def lazy_import(name: str) -> ModuleType:
    """Return module `name`, executed at its first attribute access (recipe of Python's importlib manual).

    Raises ModuleNotFoundError at once if there is no such module.
    """
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.find_spec(name)
    if found is None or found.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    found.loader = importlib.util.LazyLoader(found.loader)
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module
