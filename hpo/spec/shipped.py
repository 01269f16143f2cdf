"""Sweep files by their names: those that are there, and those that ship."""

from __future__ import annotations

import contextlib
from pathlib import Path

from hpo.spec.faults import UserError


def find_sweep_file(name: str | Path) -> Path:
    """Return the path of a sweep file: as given, or one that ships (`binary`, `search_spaces/binary.yaml`).

    Raises UserError if there is neither.
    """
    path = Path(name)
    with contextlib.suppress(OSError):  # a name that is too long is no file's
        if path.exists() and not path.is_dir():
            return path
    import search_spaces

    shipped = {entry.stem: entry for entry in Path(next(iter(search_spaces.__path__))).glob("*.yaml")}
    inside = path.parent in (Path(), Path("search_spaces")) and path.suffix in ("", ".yaml", ".yml")
    if inside and path.stem in shipped:
        return shipped[path.stem]
    with contextlib.suppress(OSError):
        if path.is_dir():
            raise UserError(f"{name}: this is a folder, not a sweep file")
    raise UserError(f"{name}: there is no such file (shipped: {', '.join(sorted(shipped))})")
