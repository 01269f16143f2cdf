"""The folders of the user's modules on `sys.path`: first, as in a program of the user's, unless one of their modules
has the name of one that Python or this platform needs (`queue.py`, `torch.py`); then last, and the clash is told.
"""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpo.lazy import file_of
from hpo.spawning import expose_children, shield_children

_ROOT = Path(__file__).resolve().parents[2]  # the folder that holds this platform's packages
_OURS = ("hpo", "search_spaces")
SHIPPED = str(_ROOT / "objectives")
SHARED = "objectives"  # a package of this platform that may be one of the user's at the same time
_SUFFIXES = tuple(importlib.machinery.all_suffixes())


@dataclass(frozen=True)
class Clash:
    """A module of the user's that is not found, since another one has its name."""

    name: str
    path: Path
    folder: str  # of the user's modules, as on sys.path
    other: str  # whose the name is, in words

    def __str__(self) -> str:
        return f"{self.path} has the name of {self.other}"


def enter(folders: Sequence[str]) -> list[Clash]:
    """Put folders of the user's on sys.path, in this order; return which of their modules are hidden by others.

    They go first if all of them are free of names that Python or this platform needs, else last.
    """
    folders = [folder for folder in dict.fromkeys(folders) if not _is_one_of(folder, [str(_ROOT)])]
    rest = [entry for entry in sys.path if not _is_one_of(entry, folders)]
    found = {folder: list(_modules_in(folder)) for folder in folders}
    clashes = [clash for folder in folders for clash in _clashes(folder, found[folder], rest)]
    if not any(_is_needed(clash.name) for clash in clashes):
        sys.path[:] = [*folders, *rest]
        return []
    if not any(_is_one_of(entry, [str(_ROOT)]) for entry in rest):
        rest.append(str(_ROOT))  # of an editable installation, whose finder comes after sys.path
    sys.path[:] = [*rest, *folders]
    shield_children()
    return clashes


def leave(folders: Iterable[str], before: Sequence[str]) -> None:
    """Let sys.path be as it was before these folders went on it, but for what the user's code has added since."""
    added = [entry for entry in sys.path if not _is_one_of(entry, [*folders, *before])]
    begun = sys.path.index(added[0]) if added else 0
    first = not any(_is_one_of(entry, before) for entry in sys.path[:begun])
    sys.path[:] = [*added, *before] if first else [*before, *added]
    expose_children()


def confusions(clashes: Sequence[Clash]) -> Iterator[tuple[Path, int, Clash]]:
    """Yield where the user's code, as far as it is imported by now, imports a name that clashes: the file, the line.

    In a program of the user's the name would be that of the file beside it; here it is the other's. A file that
    imports its own name means the other one.
    """
    if not clashes:  # the usual case; to look at each loaded module costs a tenth of a second
        return
    by_folder: dict[Path, dict[str, Clash]] = {}
    for clash in clashes:
        by_folder.setdefault(Path(clash.folder).resolve(), {})[clash.name] = clash
    libraries = {Path(entry).resolve() for entry in sys.path}
    for module in list(sys.modules.values()):
        if not (file := file_of(module)).endswith(".py"):
            continue
        path = Path(file).resolve()
        for folder, names in by_folder.items():
            # Not what lies in it as a library: a virtual environment in the working directory.
            if next((parent for parent in path.parents if parent in libraries or parent == folder), None) != folder:
                continue
            for name, line in _imports(path):
                if name in names and names[name].path.resolve() != path:
                    yield path, line, names[name]


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0], node.lineno


def _is_one_of(entry: str, folders: Iterable[str]) -> bool:
    return os.path.realpath(entry or ".") in {os.path.realpath(folder) for folder in folders}


def _modules_in(folder: str) -> Iterator[tuple[str, Path]]:
    """Yield the names that can be imported from a folder, without namespace packages, which hide nothing."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        suffix = next((suffix for suffix in _SUFFIXES if entry.name.endswith(suffix)), None)
        if suffix is not None:
            name, path = entry.name.removesuffix(suffix), Path(entry.path)
        else:
            name, path = entry.name, Path(entry.path, "__init__.py")
        if name.isidentifier() and name != SHARED and path.is_file():
            yield name, path


def _clashes(folder: str, modules: Iterable[tuple[str, Path]], rest: Sequence[str]) -> Iterator[Clash]:
    for name, path in modules:
        if name in sys.stdlib_module_names or name in sys.builtin_module_names:
            yield Clash(name, path, folder, f"Python's own module {name!r}")
        elif name in _OURS:
            yield Clash(name, path, folder, f"this platform's package {name!r}")
        else:
            found = importlib.machinery.PathFinder.find_spec(name, list(rest))
            if found is not None and found.origin is not None and not path.samefile(found.origin):
                yield Clash(name, path, folder, f"the installed package {name!r} ({found.origin})")


def _is_needed(name: str) -> bool:
    return name in sys.stdlib_module_names or name in sys.builtin_module_names or name in _OURS or name in _needed()


@functools.cache
def _needed() -> frozenset[str]:
    """Return what can be imported from the distributions that this one needs, directly or not."""
    needed: set[str] = set()
    waiting = ["hpo-sweep"]
    while waiting:
        distribution = _normalised(waiting.pop())
        if distribution in needed:
            continue
        needed.add(distribution)
        try:
            wanted = importlib.metadata.requires(distribution) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        waiting += [re.split(r"[^\w.-]", requirement, maxsplit=1)[0] for requirement in wanted]
    every = importlib.metadata.packages_distributions()
    if len(needed) == 1:  # this platform is not installed, only on sys.path: what it needs is not said anywhere
        return frozenset(every)
    return frozenset(name for name, places in every.items() if needed & set(map(_normalised, places)))


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
