"""Paths in sweep files: looked up from the working directory, then from the sweep file's folder."""

from __future__ import annotations

from pathlib import Path


def resolve_path(path: str | Path, folder: Path) -> Path:
    """Return a path as it stands from the working directory, or from the sweep file's folder if only that has it."""
    here = Path(path).expanduser()
    if here.is_absolute() or here.exists() or not (folder / here).exists():
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
