"""Paths in sweep files: looked up from the working directory, then from the sweep file's folder."""

from __future__ import annotations

from pathlib import Path

from hpo.spec.faults import UserError, shortened


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
