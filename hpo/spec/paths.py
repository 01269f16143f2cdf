"""Paths in sweep files: looked up from the working directory, then from the sweep file's folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpo.spec.columns import LISTS, ROLES
from hpo.spec.faults import UserError, shortened

_LIKE_A_FILE = re.compile(r"[/\\]|\.\w{1,8}$")
# What the last word of such a key is.
_OF_A_PATH = re.compile(r"(^|[^a-zA-Z])(csv|root|file|filename|path|folder|dir|directory)s?$", re.IGNORECASE)

# Of a table, which is given by `csv` beside them: names of columns, and a class.
_NO_PATHS = frozenset({*LISTS, *ROLES, "positive"})


def expanded(path: str | Path) -> Path:
    """Return a path with `~` as the folder that it stands for. Raises UserError if no file can have such a path."""
    if "\0" in str(path):
        raise UserError(f"{shortened(str(path))!a} is no path: it has the character NUL")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{shortened(str(path))} is no path: there is no user {Path(path).parts[0][1:]!r}") from None


def is_there(path: Path) -> bool:
    """Whether something has this path. Raises UserError if that can't be found out."""
    try:
        return path.exists()
    except OSError as error:  # too long, or in a folder that nobody may look into
        raise UserError(f"{shortened(str(path))} can't be looked at: {error.strerror}") from None


def resolve_path(path: str | Path, folder: Path) -> Path:
    """Return a path as it stands from the working directory, or from the sweep file's folder if only that has it.

    Raises UserError if it can't be a path, or can't be looked at.
    """
    here = expanded(path)
    if is_there(here) or here.is_absolute() or not is_there(folder / here):
        return here
    return folder / here


def looks_like_a_file(text: str) -> bool:
    """Whether a text of a sweep file may name a file: it has a suffix, or a folder before it."""
    return bool(_LIKE_A_FILE.search(text))


def with_paths(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a `data` section in which every path, of whatever depth, is absolute, so that it holds in any working
    directory and process.

    A text is a path if it looks like one (`looks_like_a_file`), or if its key does: `file`, `train_file`, in the plural
    with a list. It is looked up as in `resolve_path`, and keeps a slash at its end; what is not there, and all other
    texts, stay as they are written. Beside a `csv`, keys that name its columns (`target`, `drop`, ...) are no paths,
    whatever files there are.
    """
    named = _NO_PATHS if "csv" in data else ()
    return {key: value if key in named else _with_paths(value, folder, str(key)) for key, value in data.items()}


def _with_paths(value: Any, folder: Path, key: str) -> Any:
    if isinstance(value, Mapping):
        return with_paths(value, folder)
    if isinstance(value, list):
        return [_with_paths(entry, folder, key) for entry in value]
    if not isinstance(value, str) or not value or not (looks_like_a_file(value) or _OF_A_PATH.search(key)):
        return value
    try:
        path = resolve_path(value, folder)
        if not is_there(path):
            return value
        absolute = str(path.absolute())
        return f"{absolute}/" if value.endswith("/") and not absolute.endswith("/") else absolute
    except UserError:  # what can be no path is none
        return value


def program_path(program: str, folder: Path) -> str:
    """Return a program's file as `resolve_path` does; the name of a module or of a command on PATH stays as it is."""
    path = resolve_path(program, folder)
    return str(path) if path.is_file() or "/" in program else program


def absolute_program(program: str, folder: Path) -> str:
    """Return what `program_path` does, with an absolute path if it is a file."""
    path = program_path(program, folder)
    return str(Path(path).resolve()) if Path(path).is_file() or "/" in path else path


def absolute_reference(reference: str, folder: Path) -> str:
    """Return `path/to/file.py:attribute` with an absolute path; a module's name stays as it is."""
    place, colon, attribute = reference.partition(".py:")
    if not colon and not reference.endswith(".py"):
        return reference
    place = place + ".py" if colon else reference
    return f"{resolve_path(place, folder).resolve()}{':' + attribute if colon else ''}"
