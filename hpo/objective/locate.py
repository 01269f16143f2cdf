"""Finding the Python object that a sweep file names as its objective."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from hpo.objective import from_file, live, user_path
from hpo.objective.import_guard import being_imported
from hpo.objective.user_path import SHARED, SHIPPED, Clash
from hpo.spec.faults import Fault, SpecError, did_you_mean
from hpo.spec.paths import resolve_path

DEFAULT_ATTRIBUTE = "objective"


def locate(reference: str, folder: Path) -> Any:
    """Return what `module`, `module:attribute` or `path/to/file.py:attribute` names (attribute: `objective`).

    Modules are looked up in the working directory, then in `folder` (the sweep file's), then among installed packages;
    files likewise. Both folders go on sys.path (user_path.py says where), so that processes that the objective starts
    find its modules, too. Raises SpecError if it can't be imported or found; whatever the module prints, it prints.
    """
    if live.is_nowhere(reference):
        name = reference.rpartition(" (code ")[0]
        raise _refuse(
            f"{name} was given to hpo.run as an object, which ended with its program",
            "call hpo.run there again, or put the objective into a file",
        )
    place, attribute = parts_of(reference)
    folders = user_folders(reference, folder)
    clashes = user_path.enter(folders)
    with being_imported(place):
        module = _load_file(place, folder) if place.endswith(".py") else _load_module(place, clashes)
    if not hasattr(module, attribute):
        public = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise _refuse(f"{place} has no attribute {attribute!r}", did_you_mean(attribute, public) or "define it there")
    return getattr(module, attribute)


def user_folders(reference: str, folder: Path) -> list[str]:
    """Return the folders that hold the user's modules: an objective file's own, the working directory, `folder`."""
    place, _ = parts_of(reference)
    own = [str(resolve_path(place, folder).parent.resolve())] if place.endswith(".py") else []
    return list(dict.fromkeys([*own, str(Path.cwd()), str(folder.resolve())]))


def parts_of(reference: str) -> tuple[str, str]:
    """Return the module or the file that a reference names, and the attribute."""
    place, colon, attribute = reference.rpartition(":")
    return (place, attribute) if colon and place else (reference.rstrip(":"), DEFAULT_ATTRIBUTE)


def _refuse(message: str, remedy: str = "") -> SpecError:
    return SpecError([Fault(message, ("objective",), remedy=remedy)])


def _load_file(place: str, folder: Path) -> ModuleType:
    path = resolve_path(place, folder)
    if not path.is_file():
        folders = dict.fromkeys([str(Path.cwd()), str(folder.resolve())])
        raise _refuse(
            f"there is no file {place}", "" if Path(place).is_absolute() else f"looked in {' and '.join(folders)}"
        )
    path = Path.cwd() / path
    name = path.stem if _is_importable(path) else from_file.module_name(path)
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise _refuse(f"{place} is no Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _import_fault(place, error) from None
    return module


def _is_importable(path: Path) -> bool:
    """Whether `import STEM` means this file, in this process and in those that it starts."""
    name = path.stem
    if name in sys.stdlib_module_names or name.startswith("__") or "." in name:
        return False
    found = importlib.machinery.PathFinder.find_spec(name)
    if found is None or found.origin is None or not path.samefile(found.origin):
        return False
    loaded = getattr(sys.modules.get(name), "__file__", None) if name in sys.modules else str(path)
    return loaded is not None and path.resolve() == Path(loaded).resolve()


def _load_module(place: str, clashes: Sequence[Clash]) -> ModuleType:
    top = place.partition(".")[0]
    for clash in clashes:
        if clash.name == top:
            raise _refuse(f"{top!r} is the name of two modules: {clash}", f"name the file: {clash.path.name}:objective")
    try:
        if top == SHARED:
            _share_package()
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and (place == error.name or place.startswith(error.name + ".")):
            remedy = "name it module:attribute or path/to/file.py:attribute"
            if place.startswith("objectives."):
                remedy = f"shipped: {', '.join(_shipped())}"
            raise _refuse(f"there is no module {place!r}", remedy) from None
        raise _import_fault(place, error) from None
    except (Exception, SystemExit) as error:
        raise _import_fault(place, error) from None


def _shipped() -> list[str]:
    """Return the objectives that are there, the user's own among them."""
    found = pkgutil.iter_modules(importlib.import_module(SHARED).__path__)
    return [f"{SHARED}.{module.name}" for module in found]


def _share_package() -> None:
    """Have `objectives` hold the user's modules of that package and those that ship."""
    loaded = sys.modules.get(SHARED)
    package = importlib.import_module(SHARED) if loaded is None else importlib.reload(loaded)
    # One of the user's own with an __init__.py, or a module of that name, comes first, and knows of no other.
    places = list(getattr(package, "__path__", ()))
    package.__path__ = places if SHIPPED in places else [*places, SHIPPED]


def _import_fault(place: str, error: BaseException) -> SpecError:
    """Say what failed, and where in the user's own file."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and not frame.filename.startswith("<")]
    at = f" at {own[-1].filename}:{own[-1].lineno}" if own and own[-1].filename != __file__ else ""
    if isinstance(error, SyntaxError):
        at = f" at {error.filename}:{error.lineno}"
    reason = " ".join(str(error).split())
    return _refuse(f"importing {place} raised {type(error).__name__}: {reason}{at}")
