"""What `program` names: a file, a module after `-m`, or a command on PATH; and what is wrong with it."""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from hpo.spec.faults import Fault

Target = Literal["file", "module", "command"]

PROGRAM = "${program}"
_MODULE_OPTION = re.compile(r"-[A-Za-z]*m|--module")  # of Python; of torchrun
_BEFORE = re.compile(r"\$\{env\}|(.*/)?env|[A-Za-z_]\w*=.*|-i")  # what env takes before the command itself


def target_of(items: Sequence[str], program: str, folder: Path) -> Target:
    """Return what `program` is in a command that is started in `folder`."""
    for index, item in enumerate(items):
        if item == PROGRAM and index and _MODULE_OPTION.fullmatch(items[index - 1]):
            return "module"
    return (
        "command" if first_of(items) == PROGRAM and "/" not in program and not (folder / program).is_file() else "file"
    )


def first_of(items: Sequence[str]) -> str:
    """Return the item of a command that is executed."""
    return next((item for item in items if not _BEFORE.fullmatch(item)), "")


def command_path(program: str) -> str | None:
    """Return where a command is: on PATH, or beside this Python, as a virtual environment that is not activated has
    it; None if it is nowhere."""
    return shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))


def module_folder(module: str, places: Sequence[Path]) -> Path | None:
    """Return the first folder that has the module's outermost package or file."""
    top = module.partition(".")[0]
    return next((place for place in places if (place / top).is_dir() or (place / f"{top}.py").is_file()), None)


def program_faults(target: Target, program: str, folder: Path, beside: Path, own: bool) -> Iterator[Fault]:
    """Yield what is wrong with `program`. own: the command's interpreter is this one, whose packages are known."""
    if not program:
        yield Fault(
            "the command uses ${program}, but the file names no program", ("command",), remedy="program: train.py"
        )
    elif target == "module":
        yield from _module_faults(program, folder, beside, own)
    elif target == "command":
        if command_path(program) is None:
            message = f"there is neither a file {program} nor a command of that name on PATH"
            yield Fault(message, ("program",), remedy=_similar(program, folder))
    elif not (folder / program).is_file():
        message = f"the program must be a file, but there is no {folder / program}"
        yield Fault(message, ("program",), remedy=_similar(program, folder))


def _similar(program: str, folder: Path) -> str:
    near = (folder / program).parent
    files = [entry.name for entry in near.iterdir() if entry.is_file()] if near.is_dir() else []
    close = difflib.get_close_matches(Path(program).name, files, n=1)
    return f"did you mean {str(Path(program).parent / close[0])!r}?" if close else ""


def _module_faults(module: str, folder: Path, beside: Path, own: bool) -> Iterator[Fault]:
    names = module.split(".")
    if not all(name.isidentifier() for name in names):
        stem = module.removesuffix(".py").replace(os.sep, ".")
        remedy = f"program: {stem}" if all(part.isidentifier() for part in stem.split(".")) else ""
        yield Fault(f"after -m the program must be a module's name, but got {module!r}", ("program",), remedy=remedy)
        return
    place = module_folder(module, (folder, beside))
    if place is None:
        if own and importlib.util.find_spec(names[0]) is None:
            where = " or ".join(dict.fromkeys(map(str, (folder, beside))))
            yield Fault(f"there is no module {names[0]!r}, neither installed nor in {where}", ("program",))
        return
    path = place.joinpath(*names)
    if path.with_name(f"{names[-1]}.py").is_file() or (path / "__main__.py").is_file():
        return
    if path.is_dir():
        yield Fault(f"{module!r} is a package without a __main__.py, which can't be run", ("program",))
        return
    close = difflib.get_close_matches(names[-1], [file.stem for file in path.parent.glob("*.py")], n=1)
    remedy = f"did you mean {'.'.join([*names[:-1], close[0]])!r}?" if close else ""
    yield Fault(f"there is no module {module!r} in {place}", ("program",), remedy=remedy)
