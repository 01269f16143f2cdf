"""What the source of a task gave, kept for the next sweep, whose workers then do without scikit-learn: to load it takes
nearly as long as to load Torch."""

from __future__ import annotations

import inspect
import io
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hpo.cache import Cache
from hpo.files import digest_of
from hpo.lazy import lazy_import

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")

_CACHE = Cache("sources", 2**28)
_LARGEST = 2**26  # bytes of a source that is kept


class HasSource(Protocol):
    """What a TableTask is here."""

    def load_source(self, options: Mapping[str, Any]) -> tuple[Any, Any]: ...


def is_kept(task: HasSource, options: Mapping[str, Any]) -> bool:
    """Return whether `load` will find what the task's source gave before."""
    key = _key(task, options)
    return key is not None and _CACHE.has(key)


def load(task: HasSource, options: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return `task.load_source(options)`, or what is kept of an earlier call, and keep it if the task allows that."""
    key = _key(task, options)
    if key is None:
        return task.load_source(options)
    if (kept := _CACHE.find(key)) is not None:
        with np.load(io.BytesIO(kept), allow_pickle=False) as arrays:
            return arrays["x"], arrays["y"]
    x, y = task.load_source(options)
    if all(isinstance(part, np.ndarray) and not part.dtype.hasobject for part in (x, y)) and (
        x.nbytes + y.nbytes <= _LARGEST
    ):
        file = io.BytesIO()
        np.savez(file, x=x, y=y)
        _CACHE.keep(key, file.getvalue())
    return x, y


def _key(task: HasSource, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return all that a source depends on; None: its task does not say that this is all, or it can't be told.

    A class that overrides `load_source` says so anew.
    """
    by = next(cls for cls in type(task).__mro__ if "load_source" in vars(cls))
    if not vars(by).get("source_is_fixed", False):
        return None
    try:
        code = digest_of(Path(inspect.getfile(by)))
        libraries = {name: version(name) for name in ("numpy", "scikit-learn", "scipy")}
    except (OSError, TypeError, PackageNotFoundError):  # a class that no file has; a library that was not installed
        return None
    machine = platform.machine()
    return {"class": by.__qualname__, "code": code, "options": dict(options), "libraries": libraries, "on": machine}
