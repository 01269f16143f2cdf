"""Sweep files by their names: those that are there, and those that ship."""

from __future__ import annotations

import contextlib
from pathlib import Path

from hpo.spec.faults import UserError, closest


def find_sweep_file(name: str | Path) -> Path:
    """Return the path of a sweep file: as given, or one that ships (`binary`, `course/momentum`,
    `search_spaces/binary.yaml`).

    Raises UserError if there is neither.
    """
    path = Path(name)
    with contextlib.suppress(OSError):  # a name that is too long is no file's
        if path.exists() and not path.is_dir():
            return path
    import search_spaces

    folder = Path(next(iter(search_spaces.__path__)))
    shipped = {entry.relative_to(folder).with_suffix("").as_posix(): entry for entry in folder.rglob("*.yaml")}
    asked = path.with_suffix("").as_posix().removeprefix("search_spaces/")
    if path.suffix in ("", ".yaml", ".yml") and asked in shipped:
        return shipped[asked]
    with contextlib.suppress(OSError):
        if path.is_dir():
            raise UserError(f"{name}: this is a folder, not a sweep file")
    close = closest(asked, shipped)
    plain = sorted(entry for entry in shipped if "/" not in entry)
    within = len(shipped) - len(plain)
    also = f"did you mean {close!r}? " if close else ""
    raise UserError(f"{name}: there is no such file ({also}shipped: {', '.join(plain)}, and {within} as course/...)")
