"""What `hpo.run`, `hpo.load` and a result are given that is no key of a sweep file, and so checked nowhere else."""

from __future__ import annotations

import math
from os import PathLike, fspath
from typing import Any

from hpo.ledger.study.home import Home, make_home
from hpo.spec.faults import UserError
from hpo.spec.plain import shown


def check_whole(call: str, name: str, value: Any, least: int, most: int | None = None) -> None:
    """Raise UserError if a value is neither None nor a whole number within bounds."""
    wrong = isinstance(value, bool) or not isinstance(value, int)
    if value is not None and (wrong or value < least or (most is not None and value > most)):
        bounds = f"{least} or more" if most is None else f"{least} to {most:,}"
        raise UserError(f"{call}: {name} must be a whole number, {bounds}, but got {shown(value)}")


def check_number(call: str, name: str, value: Any) -> None:
    """Raise UserError if a value is neither None nor a finite number."""
    wrong = isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)
    if value is not None and wrong:
        raise UserError(f"{call}: {name} must be a number, but got {shown(value)}")


def check_truth(call: str, name: str, value: Any) -> None:
    """Raise UserError if a value is neither True nor False."""
    if not isinstance(value, bool):
        raise UserError(f"{call}: {name} must be True or False, but got {shown(value)}")


def check_text(call: str, name: str, value: Any) -> None:
    """Raise UserError if a value is neither None nor text."""
    if value is not None and not isinstance(value, str):
        raise UserError(f"{call}: {name} must be text, but got {shown(value)}")


def check_path(call: str, name: str, value: Any) -> None:
    """Raise UserError if a value is neither None nor a path."""
    if value is not None and not (isinstance(value, str | PathLike) and isinstance(fspath(value), str)):
        raise UserError(f"{call}: {name} must be a path, but got {shown(value)}")


def home_of(call: str, home: str | PathLike[str] | None, storage: str | None) -> Home:
    """Return the home that a call names. Raises UserError for what names none."""
    check_path(call, "home", home)
    check_text(call, "storage", storage)
    return make_home(home if home is None else fspath(home), storage)
