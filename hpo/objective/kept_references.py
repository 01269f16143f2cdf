"""What references reach, kept in the user's cache: other studies of the same rows then need not fit them again."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import hpo.events
import hpo.training
from hpo.cache import Cache
from hpo.events import ReferenceMeasured
from hpo.training.task import Kind, Splits

_CACHE = Cache("references", 2**22)  # some thousands of them
_LIBRARIES = ("numpy", "scikit-learn", "scipy", "torch")


def find(key: dict[str, Any] | None) -> ReferenceMeasured | None:
    """Return what was measured before. key: as of `key_of`."""
    kept = None if key is None else _CACHE.find(key)
    return None if kept is None else ReferenceMeasured(**json.loads(kept))


def keep(key: dict[str, Any] | None, measured: ReferenceMeasured) -> None:
    """Keep what was measured, if something was. key: as of `key_of`."""
    if key is not None and not measured.missing:
        _CACHE.keep(key, json.dumps(dataclasses.asdict(measured)).encode())


def key_of(
    name: str, data: str, kind: Kind, folds: Sequence[Splits], loss: Mapping[str, Any] | None, measuring: Path
) -> dict[str, Any] | None:
    """Return all that a measurement depends on; None: it can't be told, since a library does not say its version, or
    since the code is not there as text.

    data: the digest of the rows of all folds. loss: the parameters of the trials' loss, if it is measured too.
    measuring: the file that fits and measures.
    """
    try:
        libraries = {library: version(library) for library in _LIBRARIES}
        code = _code(measuring)
    except (PackageNotFoundError, OSError):
        return None
    return {
        "name": name,
        "data": data,
        "kind": kind,
        "classes": [list(splits.classes) for splits in folds],
        "outputs": [splits.outputs for splits in folds],
        "loss": None if loss is None else dict(loss),
        "code": code,
        "libraries": libraries,
        "machine": platform.machine(),
    }


@functools.cache
def _code(measuring: Path) -> str:
    """Return a digest of a file, of what says how its results are kept, and of all that trains and measures."""
    digest = hashlib.sha256()
    for path in (
        measuring,
        Path(__file__),
        Path(hpo.events.__file__),
        *sorted(Path(hpo.training.__path__[0]).rglob("*.py")),
    ):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)} ".encode() + content)
    return digest.hexdigest()
