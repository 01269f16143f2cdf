"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

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
