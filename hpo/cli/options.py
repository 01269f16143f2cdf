"""Options that several commands share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hpo.spec.faults import UserError

F = TypeVar("F", bound=Callable[..., Any])


def home_options(function: F) -> F:
    """Add --home and --storage."""
    storage = click.option(
        "--storage", metavar="URL", help="Optuna database or journal file  [default: a journal in the home]"
    )
    home = click.option(
        "--home", "home_folder", metavar="DIR", default="mlruns", show_default=True, help="where everything is kept"
    )
    return home(storage(function))


def engine_options(function: F) -> F:
    """Add --engine and --workers."""
    engine = click.option("--engine", metavar="TYPE", help="local or ray  [default: the sweep file's]")
    workers = click.option("--workers", metavar="N", help="how many train at a time; 0: this process does")
    return engine(workers(function))


def sweep_file_options(function: F) -> F:
    """Add FILE and -o."""
    override = click.option(
        "-o", "--override", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="set a key; VALUE is YAML"
    )
    return click.argument("file", metavar="FILE")(override(function))


def find_sweep_file(name: str) -> Path:
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
