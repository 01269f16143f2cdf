"""What workers on other machines need of the driver's disk: what goes to them. (unpack.py has what they do with it.)

Code (this platform, the user's modules, a program) goes as one package by Ray's runtime_env; data that the sweep file
names goes through Ray's object store, once, and only to machines that don't have it at the same path.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpo.engines.base import EngineError
from hpo.engines.ray.copies import SentContent, digests_of
from hpo.lazy import file_of
from hpo.places import CIFAR10_FILES, CIFAR10_FOLDER, data_folders
from hpo.spec.faults import UserError
from hpo.spec.named import Named
from hpo.spec.paths import expanded, resolve_path

MOST_CODE = 50_000_000  # bytes of a package; Ray keeps it in the memory of the head node
MOST_DATA = 2_000_000_000  # bytes of one thing that `data` names
_MOST_FILES = 10_000  # of a folder that is sent
_SAMPLE = 100  # files by which one that is not sent is compared
_PROJECT = "_project"
_SKIPPED = ("__pycache__", "node_modules", "site-packages", "mlruns")


@dataclass(frozen=True)
class Data:
    """A file or a folder that the objective reads, as it is on the driver's machine."""

    inode: int
    files: tuple[tuple[str, int, int], ...]  # name in it ("" for a file itself), bytes, time of change in ns
    too_large: str = ""  # why it can't be sent


@dataclass(frozen=True)
class Shipment:
    """What a package holds and where. Paths on the driver's machine are absolute."""

    folder: str  # of the working directory in the package
    moved: Mapping[str, str]  # folders and files of the package, by their path on the driver's machine
    data: Mapping[str, Data]  # by path
    links: Mapping[str, str]  # data that is named relative to the working directory: its name, and its path


def pack(named: Named, files: Iterable[str], package: Path) -> Shipment:
    """Fill the folder `package` with the code that workers need; return what goes where.

    files: further files and folders that the objective reads. Raises UserError if it is too much, or not there.
    """
    here = Path.cwd().resolve()
    roots = _roots(named, here)
    for index, root in enumerate(roots):
        for source in _code_below(root):
            target = package / _PROJECT / str(index) / source.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    (package / _PROJECT / "0").mkdir(parents=True, exist_ok=True)
    for name in ("hpo", "objectives"):  # the shipped objectives; the user's own of that name come first
        found = importlib.util.find_spec(name)
        for place in (found.submodule_search_locations or ()) if found else ():
            shutil.copytree(place, package / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    _check_size(package, here)
    moved = {str(root): f"{_PROJECT}/{index}" for index, root in enumerate(roots)}
    data, links = _data_of(named, files, here)
    return Shipment(f"{_PROJECT}/0", moved, data, links)


def _roots(named: Named, here: Path) -> list[Path]:
    """Return the folders with the user's code: the working directory first, none inside another."""
    places = [here, named.folder.resolve()]
    if named.objective is not None and ".py" in named.objective:
        file = named.objective.partition(".py")[0] + ".py"
        places.append(resolve_path(file, named.folder).resolve().parent)
    if named.program is not None:
        places.append(resolve_path(named.program, named.folder).resolve().parent)
    roots: list[Path] = []
    for place in places:
        if not any(place.is_relative_to(root) and _reaches(root, place) for root in roots):
            roots.append(place)
    return roots


def _reaches(root: Path, place: Path) -> bool:
    """Whether the code of `place` is taken along with that of a folder above it."""
    return all(
        (folder / "__init__.py").exists()
        for folder in [place, *place.parents]
        if folder.is_relative_to(root) and folder != root
    )


def _code_below(root: Path) -> Iterator[Path]:
    """Yield a folder's Python files, all files of the packages in it, and what of it this process has imported."""
    seen: set[Path] = set()
    ours = package_folder()  # which goes by itself

    def new(path: Path) -> bool:
        if path in seen or not path.is_file():
            return False
        seen.add(path)
        return True

    with contextlib.suppress(PermissionError):
        for entry in sorted(root.iterdir()):
            if entry.name.startswith(".") or entry.name in _SKIPPED:
                continue
            if entry.suffix in (".py", ".sh") or (entry.is_file() and os.access(entry, os.X_OK)):
                yield from filter(new, [entry])
            elif (entry / "__init__.py").exists() and entry != ours:
                yield from filter(new, _package_files(entry))
    for module in list(sys.modules.values()):
        path = Path(file_of(module))
        if not path.is_absolute() or not path.is_relative_to(root) or _is_installed(path.relative_to(root)):
            continue
        if root / path.relative_to(root).parts[0] != ours:
            yield from filter(new, path.parent.glob("*.py"))


def _package_files(package: Path) -> Iterator[Path]:
    for folder, below, names in os.walk(package):
        below[:] = [name for name in below if not name.startswith(".") and name not in _SKIPPED]
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def package_folder() -> Path:
    """Return the folder of the package `hpo` that this process runs."""
    found = importlib.util.find_spec("hpo")
    assert found is not None and found.submodule_search_locations
    return Path(found.submodule_search_locations[0]).resolve()


def _is_installed(path: Path) -> bool:
    return any(part in ("site-packages", "dist-packages") or part.startswith((".", "python3")) for part in path.parts)


def _check_size(package: Path, here: Path) -> None:
    sizes = {path: path.stat().st_size for path in package.rglob("*") if path.is_file()}
    if (total := sum(sizes.values())) > MOST_CODE:
        largest = sorted(sizes, key=lambda path: -sizes[path])[:3]
        listed = ", ".join(f"{path.name} ({sizes[path] / 1e6:.0f} MB)" for path in largest)
        raise UserError(
            f"the workers' code must be at most {MOST_CODE / 1e6:.0f} MB, but has {total / 1e6:.0f} MB: {listed} "
            f"(start from a smaller folder than {here}, and name data in `data` or in engine.files)"
        )


def _data_of(named: Named, files: Iterable[str], here: Path) -> tuple[dict[str, Data], dict[str, str]]:
    data: dict[str, Data] = {}
    links: dict[str, str] = {}
    for text in _strings(named.data):
        with contextlib.suppress(OSError, UserError):  # a text that no path can be
            path = resolve_path(text, named.folder)
            if text and path.exists():
                whole = str(path.absolute())  # a link's own name may say what it is: data.csv
                if not Path(text).is_absolute() and ".." not in Path(text).parts and (here / text).exists():
                    links[text] = whole
                data[whole] = _measure(Path(whole))
    for text in files:
        path = expanded(text)
        inside = path.resolve()
        if not path.exists():
            raise UserError(f"engine.files: there is no {text}")
        if not inside.is_relative_to(here):
            raise UserError(f"engine.files: {text} must lie below the working directory {here} (name it in `data`)")
        links[str(inside.relative_to(here))] = str(inside)
        data[str(inside)] = _measure(inside)
    return data, links


def complete(named: Named) -> Named:
    """Return an objective with the place of CIFAR-10 named, which the shipped one looks for itself."""
    if named.objective != "objectives.cifar10" or "root" in named.data:
        return named
    for place in data_folders():
        for folder in (place / CIFAR10_FOLDER, place):
            if all((folder / name).is_file() for name in CIFAR10_FILES):
                return replace(named, data={**named.data, "root": str(folder.resolve())})
    return named


def _measure(path: Path) -> Data:
    inode = path.stat().st_ino
    if path.is_file():
        files = [path]
    else:
        files = []
        for folder, _, names in os.walk(path):
            files += [Path(folder, name) for name in names]
            if len(files) > _MOST_FILES:
                return Data(inode, _states(path, files[:_SAMPLE]), f"more than {_MOST_FILES:,} files")
    found = _states(path, sorted(files))
    total = sum(size for _, size, _ in found)
    if total > MOST_DATA:
        return Data(inode, found[:_SAMPLE], f"{total / 1e9:.1f} GB")
    return Data(inode, found)


def _states(path: Path, files: Iterable[Path]) -> tuple[tuple[str, int, int], ...]:
    found = []
    for file in files:
        state = file.stat()
        found.append(("" if file == path else str(file.relative_to(path)), state.st_size, state.st_mtime_ns))
    return tuple(found)


def _contents(path: str, data: Data) -> dict[str, bytes]:
    return {name: (Path(path) / name if name else Path(path)).read_bytes() for name, _, _ in data.files}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _strings(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _strings(entry)


class SentData:
    """Data in Ray's object store: put there once, for all workers that lack it."""

    def __init__(self) -> None:
        self._sent: dict[str, SentContent] = {}  # by path

    def contents(self, paths: Iterable[str], shipment: Shipment) -> dict[str, SentContent]:
        """Return contents, by path. Raises EngineError if something can't be read."""
        import ray

        for path in paths:
            if path not in self._sent:
                try:
                    contents = _contents(path, shipment.data[path])
                except OSError as error:
                    raise EngineError(f"{path} can't be sent to the workers: {error}") from None
                self._sent[path] = SentContent(digests_of(contents), [ray.put(contents)])
        return {path: self._sent[path] for path in paths}
